"""A run over books is the ring's own path, bit for bit, however it is cut, compiled or repeated (MES-BT-01)."""

import hashlib

import numpy as np
import pytest

from marketdata.core.records import BOOK, FEED, new_depths
from tests.backtest.books.kit import MS, Made, drawn, plan, through
from tests.backtest.test_parity import same_by_kernel
from tests.plain import answer_of
from trading.core.records import DECISION, FIRST_OUTPUT_KIND, SCORE, SUBMIT, TIMER, WINDOW_SET
from trading.run.backtest.engine import Result
from trading.run.tapes.engine import TapeRun
from trading.run.tapes.latency import Latency

SEEDS = range(4)
TAPE = 60_000
SLOW = Latency("drawn", np.array([3_000_017, 20_000_003, 20_000_003, 180_000_029], np.int64), seed=9)
PROGRAM = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "desk.settings")
from tests.backtest.books.test_parity import digest, walked
print(digest(*walked(1)))
"""


def digest(run: TapeRun, result: Result) -> str:
    """sha256 over everything that a run has made."""
    found = hashlib.sha256()
    for rows in (result.trades, result.points, result.days, run.fills()):
        found.update(np.ascontiguousarray(rows).tobytes())
    found.update(repr((result.decisions, [row[1:] for row in result.holds], result.balance_micros)).encode())
    return found.hexdigest()


def walked(seed: int, cuts: tuple[int, ...] = (), kept: int = 0) -> tuple[TapeRun, Result]:
    return through(drawn(seed), plan(qty_entry=2), SLOW, cuts, kept=kept)


def test_every_input_through_the_kernel_alone_gives_the_same_bytes_mes_bt_01() -> None:
    trades = 0
    for seed in SEEDS:
        run, result = walked(seed, kept=TAPE)
        same_by_kernel(run)
        trades += len(result.trades)
        kinds = run.tape()["kind"]
        assert (kinds == DECISION).sum() > 5 and (kinds == TIMER).sum() > 100
    assert trades >= 4, "it traded"


def test_net_is_the_change_of_the_balance_to_the_micro_mes_bt_22() -> None:
    for seed in SEEDS:
        run, result = walked(seed)
        rows, fees = result.trades, int(run.fills()["fee_micros"].sum())
        assert int(rows["net_micros"].sum()) == result.balance_micros - result.plan.capital_micros
        assert int(rows["fee_micros"].sum()) == fees
        assert np.array_equal(rows["net_micros"], rows["gross_micros"] - rows["fee_micros"])
        assert run.position == 0 and int(run.venue.markets[0].qty) == 0
        assert int((run.fills()["side"] * run.fills()["qty"]).sum()) == 0


def test_cuts_of_the_tape_change_no_byte_mes_mem_08() -> None:
    for seed in SEEDS:
        count = len(drawn(seed).events)
        whole = digest(*walked(seed))
        assert digest(*walked(seed, tuple(range(1, count, 7)))) == whole
        assert digest(*walked(seed, (count // 2,))) == whole


def test_a_prefix_has_the_same_trades_mes_bt_19() -> None:
    tape = drawn(2)
    whole = through(tape, plan(), SLOW)[1].trades
    cut = len(tape.events) // 2
    until_ns = int(tape.events["ts_ns"][cut - 1])
    part = through(tape.part(0, cut), plan(), SLOW)[1].trades
    ended = part[part["exit_ns"] < until_ns]
    assert len(ended) > 0 and ended.tobytes() == whole[: len(ended)].tobytes()


def test_another_seed_of_the_latency_is_another_run_and_the_same_seed_the_same() -> None:
    tape = drawn(1)
    first, same, other = (digest(*through(tape, plan(), SLOW._replace(seed=seed))) for seed in (9, 9, 10))
    assert first == same and first != other


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_s_own_record_fed_back_makes_the_same_orders(seed: int) -> None:
    """What a journal holds is enough: its inputs, less what the venue said, through loop and venue once more."""
    tape = drawn(seed)
    latency = Latency("odd", np.array([7 * MS + 3], np.int64))
    first, _ = through(tape, plan(), latency, kept=TAPE)
    record = first.tape()
    inputs = record[record["kind"] < FIRST_OUTPUT_KIND].copy()
    inputs["seq"] = 0
    depth_of = np.full(len(inputs), -1, np.int32)
    books = np.flatnonzero(inputs["kind"] == BOOK)
    depth_of[books] = np.arange(len(books), dtype=np.int32)
    assert len(books) == len(tape.depths) and (inputs["kind"] == FEED).sum() > 100
    told = inputs["kind"] != WINDOW_SET  # windows are told by the run itself
    again, _ = through(Made(inputs[told], tape.depths, depth_of[told]), plan(), latency, kept=TAPE, timers=False)
    names = ["ts_ns", "order_number", "side", "qty", "order_type", "role", "price_tick", "stop_tick", "until_ns"]
    orders, same = (run.tape()[run.tape()["kind"] == SUBMIT] for run in (first, again))
    assert len(orders) > 3
    for name in names:
        assert np.array_equal(orders[name], same[name]), name
    assert again.fills().tobytes() == first.fills().tobytes()
    scores = (record["kind"] == SCORE).sum()
    assert scores == (again.tape()["kind"] == SCORE).sum()


def test_the_interpreter_gives_the_same_bytes() -> None:
    assert answer_of(PROGRAM) == digest(*walked(1))


def test_books_that_never_come_leave_orders_unfilled_and_nothing_held() -> None:
    tape = drawn(3)
    bare = tape.events[tape.events["kind"] != BOOK]
    run, result = through(Made(bare, new_depths(1), np.full(len(bare), -1, np.int32)))
    assert len(run.fills()) == 0 and len(result.trades) == 0
