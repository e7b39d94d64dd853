"""The compiled universe against the plain one, second by second on random tapes, and what must hold in every second."""

import random

import numpy as np
import pytest

from marketdata.core.universe import metrics, step
from marketdata.core.universe.records import ACTIVE, NOBODY, STATES, SUBSCRIBING
from tests.core.universe.kit import MINUTE, SECOND, START, Pool
from tests.core.universe.oracle import Desk, Share

COUNT, SLOTS = 14, 6
SECONDS = 2_400


class Tape:
    """Random conditions of each instrument, told to both sides alike."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.width = [self.random.choice((2, 4)) for _ in range(COUNT)]
        self.rub = [10.0 ** self.random.randint(4, 8) for _ in range(COUNT)]
        self.thin = [1.0] * COUNT
        self.quiet = [False] * COUNT
        self.silent_until = [0] * COUNT
        self.close = [100_000] * COUNT

    def move(self, pool: Pool, desk: Desk, now: int) -> None:
        """What happened in the second before `now`."""
        rng = self.random
        for i, share in enumerate(desk.shares):
            member = pool.members[i]
            if rng.random() < 0.002:
                self.width[i] = rng.choice((2, 4, 4, 8, 14))
            if rng.random() < 0.002:
                self.thin[i] = rng.choice((0.3, 1.0, 1.0, 1.5))
            if rng.random() < 0.001:
                self.quiet[i] = rng.random() < 0.4
            if rng.random() < 0.001:
                self.silent_until[i] = now + rng.randint(5, 150) * SECOND
            if rng.random() < 0.004:
                share.pinned = rng.random() < 0.3
            if rng.random() < 0.002:
                share.trading = rng.random() < 0.8
            if rng.random() < 0.003:
                share.confirmed = rng.random() < 0.7
            member["pinned"], member["trading"], member["confirmed"] = share.pinned, share.trading, share.confirmed
            if now > self.silent_until[i] and rng.random() < 0.6:
                bid = self.close[i] - self.width[i] * 5
                ask = self.close[i] + self.width[i] * 5
                rub = self.rub[i] * self.thin[i] * (0.9 + 0.2 * rng.random())
                share.book = (now, bid, ask, rub)
                member["book_ns"] = member["valid_ns"] = now
                member["bid_tick"], member["ask_tick"], member["value"] = bid, ask, rub
            if now % MINUTE == 0 and rng.random() < 0.97:
                self.close[i] += rng.choice((-1, 1)) * (1 if self.quiet[i] else 60)
                share.candles.append((now - MINUTE, self.close[i]))
                assert metrics.take_candle(pool.members, i, now - MINUTE, self.close[i])


def begin(seed: int) -> tuple[Pool, Desk, Tape]:
    pool, desk = Pool(COUNT, SLOTS), Desk([Share(i) for i in range(COUNT)], SLOTS)
    for i in range(SLOTS):
        pool.members["state"][i] = SUBSCRIBING
        desk.shares[i].state = "SUBSCRIBING"
    return pool, desk, Tape(seed)


def compare(pool: Pool, desk: Desk, now: int) -> None:
    for share, member in zip(desk.shares, pool.members, strict=True):
        where = (share.name, (now - START) // SECOND)
        assert STATES[int(member["state"])] == share.state, where
        assert bool(member["unhealthy"]) == share.unhealthy, where
        swap = NOBODY if share.swap_with is None else share.swap_with.name
        assert int(member["replaces"]) == swap, where
    out = np.empty((COUNT, 3))
    step.known_metrics(pool.members, now, out)
    for share, row in zip(desk.shares, out, strict=True):
        told = (share.known_spread(now), share.known_ratio(now), share.known_vol(now))
        for mine, theirs in zip(row, told, strict=True):
            assert (theirs is None) == bool(np.isnan(mine))
            assert theirs is None or mine == pytest.approx(theirs, rel=1e-9)
    assert int(pool.universe["rotations"][0]) == desk.rotations


@pytest.mark.parametrize("seed", range(3))
def test_every_second_equals_the_oracle_moex_data_05_06_08_09(seed: int) -> None:
    pool, desk, tape = begin(seed)
    entered: dict[int, int] = {}
    left: dict[int, int] = {}
    swaps = 0
    for k in range(1, SECONDS + 1):
        now = START + k * SECOND
        tape.move(pool, desk, now)
        before = pool.members.copy()
        rows = step.second(pool.universe, pool.members, now, pool.news)
        desk.second(now)
        compare(pool, desk, now)
        states = pool.members["state"]
        joining = (states == SUBSCRIBING) & (pool.members["replaces"] == NOBODY)
        assert (states == ACTIVE).sum() + joining.sum() <= SLOTS
        waiting = pool.members["replaces"][pool.members["replaces"] != NOBODY]
        assert len(set(waiting.tolist())) == len(waiting)
        assert rows == pool.news[0, 0] < 100
        for i in range(COUNT):
            was, now_is = before["state"][i] == ACTIVE, states[i] == ACTIVE
            if was and not now_is:
                assert not pool.members["pinned"][i]  # MOEX-DATA-09
                failed = pool.members["valid_ns"][i] <= now - 60 * SECOND
                assert failed or now - entered[i] >= 300 * SECOND
                left[i] = now
                swaps += not failed
            if now_is and not was:
                assert i not in left or now - left[i] >= 900 * SECOND or before["state"][i] == SUBSCRIBING
                entered[i] = now
    assert swaps > 0 and pool.universe["rotations"][0] > 0


def test_records_that_were_stored_each_second_go_on_the_same() -> None:
    """All that the next second needs is in the records: written and read back they continue to the bit."""
    pool, desk, tape = begin(3)
    for k in range(1, 601):
        tape.move(pool, desk, START + k * SECOND)
        step.second(pool.universe, pool.members, START + k * SECOND, pool.news)
    stored = (pool.universe.tobytes(), pool.members.tobytes())
    other, same_desk, same_tape = begin(3)
    for k in range(1, 601):
        same_tape.move(other, same_desk, START + k * SECOND)
        step.second(other.universe, other.members, START + k * SECOND, other.news)
        other.universe = np.frombuffer(bytearray(other.universe.tobytes()), other.universe.dtype)
        other.members = np.frombuffer(bytearray(other.members.tobytes()), other.members.dtype)
    assert stored == (other.universe.tobytes(), other.members.tobytes())
