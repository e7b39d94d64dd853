"""What the members read: model vectors, the last ten of them, three windows; against a plain statement of each.

Rules: MOEX-FEAT-06.
"""

import math
from collections import deque

import numpy as np
import pytest

from marketdata.core.bookfeatures import members, schema
from marketdata.core.bookfeatures.engine import BookFeatures
from marketdata.core.bookfeatures.records import VALID, new_book_states
from marketdata.core.bookfeatures.schema import FEATURE_NAMES
from tests.core.bookfeatures.kit import TICK_NANOS, as_tape
from tests.core.bookfeatures.oracle import Book, Oracle, Reset, S, Trade
from tests.core.bookfeatures.tapes import tape


def slots(t: int, records: list[tuple[int, dict[str, float]]], trades: list[Trade]) -> np.ndarray:
    """(3, 10, 8): each slot from the whole history."""
    now = records[-1][1]["mid_price"]
    out = np.zeros((3, 10, 8))
    for w, seconds in enumerate((1, 10, 60)):
        for k in range(10):
            high = t - seconds * S + (k + 1) * seconds * S // 10
            low = high - seconds * S // 10
            old = [f for ts, f in records if ts <= high]
            if not old:
                continue
            f = old[-1]
            inside = [trade for trade in trades if low < trade.ts <= high]
            buys = sum(trade.lots for trade in inside if trade.side == 1)
            sells = sum(trade.lots for trade in inside if trade.side == -1)
            out[w, k] = (
                1e4 * math.log(f["mid_price"] / now),
                f["spread_rel"],
                f["imbalance"],
                f["imbalance_1"],
                f["ofi_cks_5"],
                (buys - sells) / (buys + sells) if buys + sells else 0,
                math.log(1 + sum(trade.lots for trade in inside)),
                1,
            )
    return out


@pytest.mark.parametrize("seed", range(3_000, 3_006))
def test_sequences_and_windows_equal_a_plain_statement(seed):
    events = tape(seed, 250)
    made = as_tape(events)
    engine = BookFeatures(TICK_NANOS, FEATURE_NAMES)
    oracle = Oracle(TICK_NANOS, [])
    last: deque[np.ndarray] = deque(maxlen=10)
    records: dict[int, tuple[int, dict[str, float]]] = {}
    sequence, mask = members.new_sequence()
    windows = members.new_windows()
    book = compared = 0
    for event in events:
        want = oracle.take(event)
        if isinstance(event, Reset):
            engine.reset()
            last.clear()
            records.clear()
        elif isinstance(event, Trade):
            engine.trade(event.ts, event.tick, event.lots, event.side)
        elif isinstance(event, Book):
            verdict = engine.book(made.depths, book, event.ts, event.venue)
            book += 1
            if verdict != VALID:
                continue
            assert isinstance(want, dict)
            last.append(members.model_vector(engine.vector))
            count = members.write_sequence(engine.states, 0, sequence, mask)
            assert count == len(last) and mask.tolist() == [0.0] * (10 - count) + [1.0] * count
            assert np.array_equal(sequence[10 - count :], np.array(last)) and not sequence[: 10 - count].any()
            bucket = oracle.now // 10**8
            records = {b: record for b, record in records.items() if b > bucket - 640}
            records[bucket] = (oracle.now, want)
            assert members.write_windows(engine.states, 0, windows)
            plain = slots(oracle.now, [records[b] for b in sorted(records)], oracle.trades)
            assert np.allclose(windows, plain, rtol=1e-5, atol=1e-5), (seed, book)
            compared += 1
    assert compared > 60


def test_nothing_is_there_before_the_first_book():
    states = new_book_states([TICK_NANOS])
    sequence, mask = members.new_sequence()
    windows = members.new_windows()
    windows[:], sequence[:], mask[:] = 7, 7, 7
    assert members.write_sequence(states, 0, sequence, mask) == 0
    assert not members.write_windows(states, 0, windows)
    assert not sequence.any() and not mask.any() and not windows.any()


def test_member_vectors_are_taken_by_place():
    row = np.arange(88.0)
    assert members.model_vector(row).tolist() == [0.0, *range(4, 88)]
    assert members.volatility_vector(row).tolist() == [6, 36, 37, 38, 39, 40]
    assert members.model_vector(row).dtype == np.float32 and len(members.CHANNELS) == 8
    assert members.MODEL_COUNT == len(schema.MODEL_PLACES) == 85
