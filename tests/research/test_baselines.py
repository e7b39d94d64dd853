"""Baselines (MES-SANE-01 .. -04): no skill, foresight, its mirror, shuffled labels; the best of all possible paths."""

import hashlib
from itertools import product

import numpy as np
import pytest

from tests.plain import answer_of
from tests.research.kit import int64
from trading.research.baselines import (
    DOWN,
    FLAT,
    NO_LABEL,
    UP,
    best_possible,
    foresight_labels,
    inverse_oracle,
    oracle,
    random_signals,
    shuffled_labels,
)
from trading.research.records import ResearchError

TICK = 1_250_000


def held(signals: np.ndarray, open_tick: np.ndarray, segment: np.ndarray, bars: int) -> list[int]:
    """Ticks of each trade of the simplest engine: in at the next bar's open, out `bars` later, one at a time."""
    found, free = [], 0
    for t in range(len(signals)):
        out = t + 1 + bars
        if signals[t] == 0 or t < free or out >= len(open_tick) or segment[out] != segment[t]:
            continue
        found.append(int(signals[t]) * int(open_tick[out] - open_tick[t + 1]))
        free = out
    return found


def walk(seed: int, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return 20_000 + rng.integers(-2, 3, n).cumsum(), np.arange(n) // 1_000


def test_random_directions_earn_nothing_before_costs_mes_sane_01() -> None:
    """At least 1,000 trades: the mean gross lies within three standard errors of 0."""
    opens, segment = walk(1, 200_000)
    ticks = held(random_signals(np.ones(len(opens), np.bool_), seed=5, share=0.2), opens, segment, 30)
    assert len(ticks) >= 1_000
    assert abs(np.mean(ticks)) <= 3 * np.std(ticks, ddof=1) / np.sqrt(len(ticks))


def test_random_signals_are_seeded_balanced_and_only_where_trading_is_allowed() -> None:
    tradable = np.arange(10_000) % 3 != 0
    signals = random_signals(tradable, seed=1, share=0.5)
    assert (signals == random_signals(tradable, seed=1, share=0.5)).all()
    assert (signals != random_signals(tradable, seed=2, share=0.5)).any()
    assert not signals[~tradable].any() and signals.dtype == np.int8
    assert np.mean(signals[tradable] != 0) == pytest.approx(0.5, abs=0.03)
    assert abs(int(signals.sum())) < 4 * np.sqrt(np.count_nonzero(signals))


def test_labels_by_hand_mes_label_01_02() -> None:
    close = int64(10, 14, 13, 9, 6, 20, 20)
    segment = int64(0, 0, 0, 0, 0, 1, 1)
    # over two bars: +3, -5, -7, then the segment ends; the other one is too short
    assert foresight_labels(close, segment, 2, 3).tolist() == [FLAT, DOWN, DOWN, NO_LABEL, NO_LABEL, NO_LABEL, NO_LABEL]
    assert foresight_labels(close, segment, 1, 3).tolist() == [UP, FLAT, DOWN, FLAT, NO_LABEL, FLAT, NO_LABEL]
    assert foresight_labels(close[:2], segment[:2], 5, 3).tolist() == [NO_LABEL, NO_LABEL]


def test_the_oracle_earns_the_hand_computed_sum_mes_sane_02() -> None:
    opens = int64(100, 100, 104, 108, 108, 103, 98, 98)
    labels = np.array([UP, FLAT, FLAT, DOWN, FLAT, NO_LABEL, NO_LABEL, NO_LABEL], np.int8)
    signals = oracle(labels)
    assert signals.tolist() == [1, 0, 0, -1, 0, 0, 0, 0]
    # long at the open of bar 1, out two later: +8; short at the open of bar 4, out at bar 6: +10
    assert held(signals, opens, np.zeros(8, np.int64), 2) == [8, 10]


def test_the_mirror_earns_the_exact_negative_mes_sane_03() -> None:
    opens, segment = walk(2)
    labels = foresight_labels(opens, segment, 30, 3)
    for_it, against = (held(side(labels), opens, segment, 30) for side in (oracle, inverse_oracle))
    assert len(for_it) > 300 and for_it == [-ticks for ticks in against]
    assert sum(for_it) > 3 * len(for_it)


def test_shuffled_labels_keep_each_days_counts_and_nothing_else_mes_sane_04() -> None:
    rng = np.random.default_rng(3)
    day = np.repeat(np.arange(40), 500)
    labels = rng.integers(-1, 3, len(day)).astype(np.int8)
    labels[day % 2 == 0] = np.sort(labels[day % 2 == 0])
    shuffled = shuffled_labels(labels, day, seed=4)
    for number in range(40):
        here = day == number
        assert (np.bincount(labels[here] + 1, minlength=4) == np.bincount(shuffled[here] + 1, minlength=4)).all()
    assert ((labels == NO_LABEL) == (shuffled == NO_LABEL)).all()
    assert (shuffled == shuffled_labels(labels, day, seed=4)).all()
    odd = (day % 2 == 1) & (labels != NO_LABEL)
    assert (labels[odd] == shuffled[odd]).mean() == pytest.approx(1 / 3, abs=0.02)
    with pytest.raises(ResearchError, match="do not ascend"):
        shuffled_labels(labels, day[::-1], seed=4)


def every_path(opens: list[int], segment: list[int], cost: int) -> int:
    """The best of all 3^n position paths, flat at the last open of each segment."""
    best = 0
    for path in product((-1, 0, 1), repeat=len(opens)):
        before, net = 0, 0
        for i, position in enumerate(path):
            last = i + 1 == len(opens) or segment[i + 1] != segment[i]
            if last and position != 0:
                break
            net -= cost * abs(position - before)
            net += 0 if last else position * (opens[i + 1] - opens[i]) * TICK
            before = position
        else:
            best = max(best, net)
    return best


def test_the_best_possible_is_the_best_of_all_paths() -> None:
    rng = np.random.default_rng(5)
    for _ in range(25):
        n = int(rng.integers(1, 8))
        opens, segment = (100 + rng.integers(-3, 4, n).cumsum()), np.sort(rng.integers(0, 2, n))
        cost = int(rng.integers(0, 4)) * 700_000
        found = best_possible(opens, segment, TICK, cost)
        assert found.net_micros == every_path(opens.tolist(), segment.tolist(), cost)
        assert found.net_micros == worth_of(found.position, opens, segment, cost)


def worth_of(position: np.ndarray, opens: np.ndarray, segment: np.ndarray, cost: int) -> int:
    """What the named positions earn."""
    net, before = 0, 0
    for i, p in enumerate(position.tolist()):
        inside = i + 1 < len(opens) and segment[i + 1] == segment[i]
        net += (p * int(opens[i + 1] - opens[i]) * TICK if inside else 0) - cost * abs(p - before)
        before = p
    return net


def test_the_best_possible_by_hand() -> None:
    """Up 5, down 2, up 4, then a new segment that jumps by 50: one long over all is 7 ticks less one round trip; taking
    the dip as a short costs two more sides a turn, which pays only when a side is cheaper than two ticks."""
    opens, segment = int64(100, 105, 103, 107, 157, 157), int64(0, 0, 0, 0, 1, 1)
    assert best_possible(opens, segment, TICK, 3 * TICK).net_micros == (7 - 6) * TICK
    assert best_possible(opens, segment, TICK, 3 * TICK).position.tolist() == [1, 1, 1, 0, 0, 0]
    assert best_possible(opens, segment, TICK, 0).net_micros == 11 * TICK
    assert best_possible(opens, segment, TICK, 0).position.tolist() == [1, -1, 1, 0, 0, 0]
    assert best_possible(opens, segment, TICK, 9 * TICK).net_micros == 0


def test_no_strategy_beats_the_best_possible() -> None:
    opens, segment = walk(6)
    best = best_possible(opens, segment, TICK, 300_000).net_micros
    for seed in range(5):
        ticks = held(random_signals(np.ones(len(opens), np.bool_), seed), opens, segment, 10)
        assert sum(ticks) * TICK - 600_000 * len(ticks) < best
    ticks = held(oracle(foresight_labels(opens, segment, 30, 3)), opens, segment, 30)
    assert 0 < sum(ticks) * TICK - 600_000 * len(ticks) < best


def test_amounts_beyond_64_bits_are_refused() -> None:
    with pytest.raises(ResearchError, match="int64"):
        best_possible(int64(0, 2**31) * 1, int64(0, 0), 2**32, 0)
    with pytest.raises(ResearchError, match="do not belong"):
        best_possible(int64(0, 1), int64(0), TICK, 0)
    assert best_possible(int64(), int64(), TICK, 0).net_micros == 0


def test_the_plain_interpreter_finds_the_same_path() -> None:
    program = (
        "import numpy as np, hashlib\n"
        "from trading.research.baselines import best_possible\n"
        "opens = 100 + np.random.default_rng(9).integers(-3, 4, 3_000).cumsum()\n"
        "found = best_possible(opens, np.arange(3_000) // 500, 1_250_000, 900_000)\n"
        "print(found.net_micros, hashlib.sha256(found.position.tobytes()).hexdigest())"
    )
    opens = 100 + np.random.default_rng(9).integers(-3, 4, 3_000).cumsum()
    found = best_possible(opens, np.arange(3_000) // 500, TICK, 900_000)
    assert answer_of(program) == f"{found.net_micros} {hashlib.sha256(found.position.tobytes()).hexdigest()}"
