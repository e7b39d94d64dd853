"""Events that reach nobody are passed by, and leave the same bytes as one that is told to everybody (MES-BT-01).

A run that keeps its tape tells venue and kernel every event, and `test_parity` holds that the ring's kernel makes of
that tape the same state; so what is equal to such a run is equal to the ring.
"""

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import BOOK, FLAG_INVALID, NO_TICK, QUOTE, STATUS, STATUS_HALTED, STATUS_OPEN, TRADE
from risk.core.records import MES, MOEX
from tests.backtest.books.kit import MS, OPEN_NS, Made, Maker, drawn, fills_of, fixed, plan
from tests.backtest.books.test_shares import plan as shares_plan
from tests.backtest.compare import PROFILES, left_by
from trading.config.schema import load_file
from trading.core.records import ENTRY, EXIT, FILL, STOP_LOSS, SUBMIT, TARGET
from trading.run.backtest.engine import Result, reason_of
from trading.run.backtest.plan import Plan
from trading.run.tapes.engine import TapeRun, tape_calendar, tape_plan
from trading.run.tapes.latency import Latency

TAPE = 120_000
DRAWN = Latency("drawn", np.array([1_000_003, 20_000_017, 20_000_017, 350_000_021], np.int64), seed=5)
NEARER: list[dict[str, int]] = [  # limits that a walk of some minutes comes to
    {"hold_ns_max": 1_000_000_000, "stop_ticks": 400, "target_ticks": 0, "stop_ticks_max": 400},
    {"stop_ticks": 12, "target_ticks": 9},
    {"move_ticks_max": 9, "move_hold_ns": 3_000_000_000, "spread_ticks_max": 2, "spread_hold_ns": 2_000_000_000},
    {"loss_day_micros_max": 40_000_000, "drawdown_day_micros_max": 60_000_000, "stop_ticks": 30, "target_ticks": 30},
    {"hold_ns_max": 700_000_000, "trail_ticks": 5},
]


def busy(seed: int, events: int = 3_000) -> Made:
    """Many events a second: trades at the touch, books with holes and odd ones among them, silences now and then."""
    rng = random.Random(seed)
    maker, t, mid = Maker(), 0.0, 24_000
    for _ in range(events):
        t += rng.choice((0.0, 0.001, 0.004, 0.02, 0.05, 0.11, 0.4 if rng.random() < 0.3 else 0.03))
        t += 400.0 if rng.random() < 0.001 else 0.0
        mid += rng.choice((-2, -1, 0, 0, 0, 0, 0, 1, 2)) if rng.random() < 0.3 else 0
        wide = rng.choice((1, 1, 1, 2, 4))
        if rng.random() < 0.45:
            bids = [(mid - k * rng.choice((1, 2)), rng.randrange(1, 9)) for k in range(rng.randrange(1, 12))]
            asks = [(mid + wide + k, rng.randrange(1, 9)) for k in range(rng.randrange(1, 12))]
            maker.book(t, sorted(set(bids), reverse=True), asks)
        else:
            side = rng.choice((-1, 1))
            maker.trade(t, mid + wide if side > 0 else mid, rng.randrange(1, 12), rng.choice((side, side, 0)))
        if rng.random() < 0.012:
            maker.score(t, rng.choice((-1, 1)), rng.choice((450_000, 800_000, 1_000_000)))
    return maker.made()


def disturbed(tape: Made, seed: int) -> Made:
    """The same with what is no plain trade or book: quotes, halts, crossed, one-sided and flagged books, prices that
    cannot be, books without their levels, and venue stamps beside the times of receipt."""
    rng = np.random.default_rng(seed)
    events, depths, depth_of = tape.events.copy(), tape.depths.copy(), tape.depth_of.copy()
    market = np.flatnonzero((events["kind"] == TRADE) | (events["kind"] == BOOK))
    some = rng.choice(market, len(market) // 12, replace=False)
    for k, odd in zip(some, rng.integers(0, 7, len(some)), strict=True):
        row, at = events[k], depth_of[k]
        if odd == 0:
            row["kind"], depth_of[k] = QUOTE, -1
        elif odd == 1:
            row["kind"], row["code"], depth_of[k] = STATUS, rng.choice([STATUS_HALTED, STATUS_OPEN, STATUS_OPEN]), -1
        elif odd == 2:
            row["flags"] = FLAG_INVALID
        elif odd == 3 and at >= 0:
            depths["bid_tick"][at, 0] = row["bid_tick"] = depths["ask_tick"][at, 0] + 1
        elif odd == 4 and at >= 0:
            depths["ask_tick"][at], depths["ask_qty"][at] = np.iinfo(np.int64).min, 0
            row["ask_tick"], row["flags"] = np.iinfo(np.int64).min, FLAG_INVALID
        elif odd == 5:
            row["price_tick"], depth_of[k] = rng.choice([0, -5, 1 << 50]), -1
        elif odd == 6:
            row["ts_venue_ns"] += int(rng.choice([-40, 900, 1_200])) * MS
    return Made(events, depths, depth_of)


def through(
    tape: Made, what: Plan, latency: Latency, cuts: tuple[int, ...] = (), kept: int = 0
) -> tuple[TapeRun, Result]:
    run = TapeRun(what, tape_calendar(what.instrument, OPEN_NS), latency, OPEN_NS, tape=kept)
    for start, end in pairwise([0, *cuts, len(tape.events)]):
        part = tape.part(start, end)
        run.feed(part.events, part.depths, part.depth_of)
    return run, run.end()


def unlike(
    tape: Made, what: Plan, latency: Latency, cuts: tuple[int, ...] = ()
) -> tuple[list[str], TapeRun, TapeRun, Result]:
    """What differs between a run that tells every event (it keeps a tape) and one that passes by what it can."""
    told, each = through(tape, what, latency, cuts, TAPE)
    passed, result = through(tape, what, latency, cuts)
    assert int(told.room.passed[0]) == 0
    first, second = left_by(told, each), left_by(passed, result)
    for run, found in ((told, first), (passed, second)):
        found["rounds"], found["fills"] = run._kept.round.tobytes(), run.fills().tobytes()
    return [name for name in first if first[name] != second[name]], told, passed, result


def test_random_tapes_leave_the_same_bytes_told_and_passed_by_mes_bt_01() -> None:
    reached: Counter[str] = Counter()
    for seed in range(20):
        tape = busy(seed) if seed % 4 else drawn(seed)
        tape = disturbed(tape, seed) if seed % 2 else tape
        what = plan(qty_entry=1 + seed % 2, **NEARER[seed % len(NEARER)])
        if seed % 3:
            what = replace(what, equity_sample="minute")
        cuts = (100, 101, len(tape.events) // 2) if seed % 5 == 0 else ()
        differs, told, passed, result = unlike(tape, what, (DRAWN, fixed(0), fixed(20 * MS))[seed % 3], cuts)
        assert not differs, (seed, differs)
        reached["passed"] += int(passed.room.passed[0])
        reached["events"] += int(result.run.bars)
        reached["odd"] += int(np.isin(told.tape()["kind"], (QUOTE, STATUS)).sum())
        reached.update(reason_of(trade, MES) for trade in result.trades)
        reached.update(row.hold.code for row in result.holds)
    assert reached["passed"] > 0.5 * reached["events"] > 10_000 and reached["odd"] > 300
    assert {"target", "stop", "time", "PRICE_MOVE", "SPREAD"} <= set(reached), reached


@pytest.mark.parametrize("seed", [1, 2])
def test_shares_leave_the_same_bytes_told_and_passed_by(seed: int) -> None:
    """Their mark is the mid of every book, so each one is looked at while something is held; flat ones are passed."""
    made = tape_plan(load_file(PROFILES / "demo-moex.yaml"), INSTRUMENTS["SBER"])
    assert made.limits["rules"] == MOEX
    limits = {"cooldown_entry_ns": 0, "cooldown_exit_ns": 0, "hold_ns_max": 4_000_000_000, "streak_soft": 0}
    what = replace(made, limits=made.limits | limits)
    tape = disturbed(busy(seed, 2_000), seed)
    differs, told, passed, result = unlike(tape, what, fixed(20 * MS))
    assert not differs
    kept = told.tape()
    assert (kept["kind"] == FILL).sum() > 2 and int(passed.room.passed[0]) > 300 and len(result.trades) >= 1


def test_a_held_position_is_carried_along_with_its_mark() -> None:
    """Most events of a held second are passed by, and the reach of the trade is that of every mark in it."""
    tape = busy(3, 4_000)
    far = {"stop_ticks": 400, "stop_ticks_max": 400, "target_ticks": 500, "hold_ns_max": 0, "collar_ticks_max": 5_000}
    money = {"loss_trade_micros_max": 9 * 10**11, "loss_day_micros_max": 9 * 10**11, "drawdown_micros_max": 9 * 10**11}
    money |= {"loss_total_micros_max": 95 * 10**10, "drawdown_day_micros_max": 9 * 10**11, "capital_micros": 10**12}
    wide = {"move_ticks_max": 1_000_000, "spread_ticks_max": 10_000}
    what = replace(plan(**far, **money, **wide), capital_micros=10**12)
    differs, told, passed, result = unlike(tape, what, fixed(20 * MS))
    assert not differs
    sent = told.tape()[told.tape()["kind"] == SUBMIT]
    assert {ENTRY, STOP_LOSS, TARGET} <= set(sent["role"].tolist())
    held = int(result.trades["bars_held"].sum())
    assert held > 60 and int(passed.room.passed[0]) > 0.7 * len(tape.events)
    assert int(result.trades["mfe_ticks"].max()) > 0 and int(result.trades["mae_ticks"].max()) > 0


def test_every_cut_of_a_busy_tape_leaves_the_same_bytes_mes_mem_08() -> None:
    tape = busy(7, 900)
    whole = left_by(*through(tape, plan(), DRAWN))
    for step in (1, 7, 61):
        assert left_by(*through(tape, plan(), DRAWN, tuple(range(step, len(tape.events), step)))) == whole


def thin() -> Maker:
    """24000 : 24001 has traded, two are bought at a half second; the stop stands at 23993."""
    maker = Maker().book(0.0, [(24_000, 9)], [(24_001, 9)]).trade(0.1, 24_001, 1, 1)
    return maker.book(0.2, [(24_000, 9)], [(24_001, 9)]).score(0.5, 1)


def test_a_stop_that_waits_for_a_book_is_never_passed_by_moex_paper_01() -> None:
    """One of two goes at the touch that triggers it; the rest is a market order, whatever side the next book is on."""
    tape = thin().book(3.0, [(23_989, 1)], [(23_991, 5)]).trade(3.1, 24_000)
    tape.book(3.2, [(23_999, 9)], [(24_001, 9)]).trade(3.3, 24_000).trade(4.0, 24_000)
    differs, _, passed, result = unlike(tape.made(), plan(qty_entry=2), fixed(20 * MS))
    assert not differs
    rows = passed.fills()[passed.fills()["role"] == STOP_LOSS]
    assert rows[["qty", "price_tick"]].tolist() == [(1, 23_989), (1, 23_999)]
    assert (rows["ts_ns"] - OPEN_NS).tolist() == [3_000 * MS, 3_200 * MS] and len(result.trades) == 1


def test_an_exit_that_waits_for_the_other_side_is_never_passed_by_moex_paper_01() -> None:
    """Nobody has traded, and the book that the exit waits for shows no bid."""
    maker = Maker()
    for at_s in (0.0, 0.2, 1.0, 1.2, 2.4, 2.5, 3.2):
        maker.book(at_s, [(24_000, 9)], [(24_001, 9)])
        maker = maker.score(0.5, -1) if at_s == 0.2 else maker
    tape = maker.made()
    for at, side in ((3, "ask"), (4, "ask"), (5, "bid")):
        tape.depths[f"{side}_tick"][at], tape.depths[f"{side}_qty"][at] = NO_TICK, 0
    differs, _, passed, _ = unlike(tape, plan(qty_entry=2, hold_ns_max=1_000 * MS), fixed(20 * MS))
    assert not differs
    assert fills_of(passed) == [(ENTRY, -1, 2, 24_000, 0), (EXIT, 1, 2, 24_001, 0)]
    assert int(passed.fills()["ts_ns"][1]) == OPEN_NS + 2_500 * MS


def test_a_book_of_a_halt_triggers_a_stop_at_the_first_trade_behind_it_moex_paper_01() -> None:
    """In a halt no touch triggers anything; the same book, still young, does as soon as trading is open."""
    tape = thin().status(2.0, STATUS_HALTED).book(2.1, [(23_989, 9)], [(23_991, 9)]).status(2.2, STATUS_OPEN)
    tape.trade(2.3, 24_000).trade(4.0, 24_000)
    differs, _, passed, _ = unlike(tape.made(), plan(qty_entry=2), fixed(20 * MS))
    assert not differs
    rows = passed.fills()[passed.fills()["role"] == STOP_LOSS]
    assert rows[["qty", "price_tick"]].tolist() == [(2, 23_989)]
    assert (rows["ts_ns"] - OPEN_NS).tolist() == [2_300 * MS]


def test_an_order_ends_before_the_events_behind_its_time_whenever_they_happened_moex_route_04() -> None:
    """Received a fifth of a second late: a resting child's time is judged by when an event is told."""
    maker = Maker()
    bids, asks = [(29_999 - k, 100) for k in range(8)], [(30_001 + k, 100) for k in range(8)]
    maker.book(0.0, bids, asks).trade(0.2, 30_001, 500, 1).book(0.25, bids, asks).score(0.3, 1)
    for k in range(1, 121):  # its time ends at 6.28, the last book was received at 6.31
        maker.book(0.3 + k * 0.0501, bids, asks)
    tape = maker.made()
    tape.events["ts_venue_ns"][tape.events["kind"] == BOOK] -= 200 * MS
    what, working = shares_plan(), list[int]()
    for kept in (TAPE, 0):
        run = TapeRun(what, tape_calendar(what.instrument, OPEN_NS), fixed(20 * MS), OPEN_NS, tape=kept)
        for end, left in ((len(tape.events) - 1, 2), (len(tape.events), 1)):
            part = tape.part(0 if left == 2 else end - 1, end)
            run.feed(part.events, part.depths, part.depth_of)
            working.append(int(run.venue.account[0].working_count))
    assert working == [2, 1, 2, 1], "the child and the stop, then the stop alone"
