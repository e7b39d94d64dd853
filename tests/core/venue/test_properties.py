"""What holds on every tape: positions, quantities, queues, numbers; and that compiled and plain code agree."""

import os
import random
import subprocess
import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bootstrap import ROOT
from tests.core.venue.kit import Floor
from tests.core.venue.tape import drive, tape_hash
from trading.core.records import FILL
from trading.core.venue.warm import warm

MODELS = st.sampled_from(("bar", "print", "book"))
SEEDS = st.integers(0, 2**32)


@settings(max_examples=60, deadline=None)
@given(MODELS, SEEDS)
def test_position_is_the_sum_of_signed_fills(model: str, seed: int) -> None:
    """Position, cash and fees are exactly those of the fills; no order fills beyond its quantity; refs are gapless."""
    floor = Floor(model, latency_ns=20_000_000, slip_ticks=1)
    drive(floor, random.Random(seed), 120)
    held, cash, fees = np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros(2, np.int64)
    filled: dict[int, int] = {}
    for row in floor.rows:
        if row["kind"] == FILL:
            i, signed = int(row["instrument"]), int(row["side"]) * int(row["qty"])
            held[i] += signed
            cash[i] -= signed * int(row["price_tick"])
            fees[i] += int(row["fee_micros"])
            number = int(row["order_number"])
            filled[number] = filled.get(number, 0) + int(row["qty"])
            assert row["qty"] > 0
            assert filled[number] == int(row["volume"])
    markets = floor.venue.markets[:2]
    assert (markets["qty"] == held).all()
    assert (markets["cash_ticks"] == cash).all()
    assert (markets["fees_micros"] == fees).all()
    assert (floor.venue.orders["filled"] <= np.maximum(floor.venue.orders["qty"], 0)).all()
    assert [int(row["ref"]) for row in floor.rows] == list(range(1, len(floor.rows) + 1))


@settings(max_examples=40, deadline=None)
@given(MODELS, SEEDS)
def test_flatten_leaves_nothing(model: str, seed: int) -> None:
    """K-02: with a known price nothing is held, works or is on its way; later market data fills nothing."""
    floor = Floor(model, latency_ns=20_000_000)
    for instrument in (0, 1):
        floor.trade(1, 1000, instrument=instrument)
        floor.bar(1, 1000, 1000, 1000, 1000, instrument=instrument)
    drive(floor, random.Random(seed), 80)
    floor.flatten()
    assert (floor.held(0), floor.held(1), floor.working()) == (0, 0, [])
    assert int(floor.venue.account[0].request_count) == 0
    count = len(floor.rows)
    floor.book(10_000, [(990, 9)], [(991, 9)])
    floor.trade(10_001, 990, 99)
    floor.bar(10_002, 990, 1100, 900, 990)
    floor.advance(20_000)
    assert len(floor.rows) == count


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), min_size=1, max_size=40), st.integers(1, 9))
def test_queue_is_first_in_first_out_and_never_grows(moves: list[tuple[int, int]], qty: int) -> None:
    """Two orders at one price: the later fills only once the earlier is done; what is ahead never grows."""
    floor = Floor("book")
    floor.book(10, [(100, 7)], [(101, 7)])
    floor.limit(11, 1, +1, 100, qty=qty)
    floor.limit(11, 2, +1, 100, qty=qty)
    ahead = [7, 7]
    for at, (move, size) in enumerate(moves, start=12):
        if move == 0:
            floor.book(at, [(100, size)], [(101, 7)])
        else:
            floor.trade(at, 100, size, side=-1)
        first, second = floor.venue.orders[0], floor.venue.orders[1]
        assert first.ahead <= ahead[0]
        assert second.ahead <= ahead[1]
        assert second.filled == 0 or first.filled == first.qty
        ahead = [int(first.ahead), int(second.ahead)]
    traded = sum(size for move, size in moves if move != 0)
    assert int(floor.venue.orders["filled"].sum()) <= traded


def test_the_same_tape_gives_the_same_bytes() -> None:
    assert tape_hash(7, 300) == tape_hash(7, 300)


def test_compiled_and_plain_code_agree() -> None:
    """The same seeded tape in a process without the compiler: one hash of all answers and states."""
    plain = subprocess.run(
        [sys.executable, "-m", "tests.core.venue.tape", "11", "400"],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.strip() == tape_hash(11, 400)


def test_warm_up_drives_every_entry_point() -> None:
    assert int(warm().account[0].ref) > 0
