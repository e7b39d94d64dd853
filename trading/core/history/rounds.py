"""Fills and round trips of a run over books, where an order fills in parts and at several prices.

A round trip goes from flat to flat; a fill that turns the position ends one and begins the next with its rest.  Sums of
ticks are exact; a TRADE row has the nearest tick of their average, and every fill is a row of its own beside it.  How
long a request travels is drawn here, too.  Nothing decides anything.  Called by the loop over tapes.
"""

from typing import NamedTuple

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TICK, NO_TIME
from marketdata.core.units import NANOS
from trading.core.ledger import nearest_average
from trading.core.records import LIMIT
from trading.core.venue.answers import slot_of
from trading.core.venue.state import ANSWER_CAPACITY, Venue

FILLS_KEPT = 1 << 14  # of one call
FILLS_ROOM = ANSWER_CAPACITY  # most of one event
# Park and Miller's generator (Communications of the ACM 36, 1993, p. 105): exact in int64 and in the interpreter
DRAW_BY, DRAW_MODULUS = 48_271, 2_147_483_647

TAPE_FILL = np.dtype(
    (
        np.record,
        [
            ("ts_ns", "<i8"),
            ("order_number", "<i8"),  # negative: the venue's own, at a close
            ("role", "<i8"),
            ("side", "<i8"),
            ("qty", "<i8"),
            ("price_tick", "<i8"),
            ("fee_micros", "<i8"),
            ("maker", "<i8"),  # 1: it rested and the market came to it
            ("trade", "<i8"),  # from 1: the round trip that it begins or adds to, else the one that it ends
        ],
    )
)

ROUND = np.dtype(
    (
        np.record,
        [
            # of the run
            ("fills", "<i8"),  # rows of this call
            ("trades", "<i8"),  # round trips that ended
            ("draw", "<i8"),  # state of the generator, 1 … DRAW_MODULUS − 1
            ("sent", "<i8"),  # requests
            ("timers", "<i8"),  # 1: the loop makes a TIMER every second, 0: the tape brings them
            ("timer_ns", "<i8"),  # next one
            ("shut", "<i8"),  # 1: between a close and the next market event
            ("status", "<i8"),  # of the market before it was shut
            # of the round trip in progress
            ("entry_ticks", "<i8"),  # Σ price x quantity
            ("entry_qty", "<i8"),
            ("exit_ticks", "<i8"),
            ("exit_qty", "<i8"),
            ("seen_tick", "<i8"),  # the mark that MFE and MAE know
        ],
    )
)


class Told(NamedTuple):
    """A chunk of inputs in order of `ts_ns`: the market, scores, windows, commands."""

    events: np.ndarray  # (n,) EVENT
    depths: np.ndarray  # (m,) DEPTH, at least one row
    depth_of: np.ndarray  # (n,) int32, index in `depths`, −1 for none


class Rounds(NamedTuple):
    """What a run over a tape keeps beside RUN."""

    round: np.ndarray  # (1,) ROUND
    fills: np.ndarray  # (FILLS_KEPT,) TAPE_FILL
    latency_ns: np.ndarray  # (k,) int64 ≥ 0: what a request may take; one value is a constant


def new_rounds(latency_ns: np.ndarray, seed: int, *, timers: bool) -> Rounds:
    """Nothing filled yet.  Raises ValueError for no latency, a negative one, or a negative seed."""
    if latency_ns.size == 0 or int(latency_ns.min()) < 0 or seed < 0:
        raise ValueError("a latency is one or more times ≥ 0, a seed ≥ 0")
    row = np.zeros(1, ROUND)
    row["draw"] = 1 + seed % (DRAW_MODULUS - 1)
    row["timers"] = int(timers)
    row["timer_ns"] = NO_TIME
    row["seen_tick"] = NO_TICK
    return Rounds(row, np.zeros(FILLS_KEPT, TAPE_FILL), np.ascontiguousarray(latency_ns, np.int64).copy())


@inner
def draw_latency(rounds: Rounds) -> int:
    """How long the next request travels, ns."""
    r = rounds.round[0]
    r.sent += 1
    count = rounds.latency_ns.shape[0]
    if count == 1:
        return rounds.latency_ns[0]
    r.draw = r.draw * DRAW_BY % DRAW_MODULUS
    return rounds.latency_ns[r.draw % count]


@inner
def _closing(held: int, fill: np.record) -> int:
    """How much of a fill reduces what is held."""
    return min(abs(held), fill.qty) if held * fill.side < 0 else 0


@inner
def _is_maker(venue: Venue, fill: np.record) -> int:
    """1: a limit that had rested when it was filled; one that fills on arrival takes."""
    if fill.order_type != LIMIT:
        return 0
    slot = slot_of(venue, fill.order_number)
    return 1 if slot >= 0 and venue.orders[slot].arrive_ns < fill.ts_ns else 0


@inner
def before_fill(run: np.record, rounds: Rounds, venue: Venue, held: int, fill: np.record) -> None:
    """A fill that the kernel is about to hear of while it holds `held`, signed."""
    r = rounds.round[0]
    closed = _closing(held, fill)
    row = rounds.fills[r.fills]
    r.fills += 1
    row.ts_ns = fill.ts_ns
    row.order_number = fill.order_number
    row.role = fill.role
    row.side = fill.side
    row.qty = fill.qty
    row.price_tick = fill.price_tick
    row.fee_micros = fill.fee_micros
    row.maker = _is_maker(venue, fill)
    row.trade = r.trades + 1 + (1 if 0 < closed < fill.qty else 0)
    if closed > 0:
        r.exit_ticks += closed * fill.price_tick
        r.exit_qty += closed
        run.exit_ns = fill.ts_ns
        run.exit_role = fill.role


@inner
def after_fill(run: np.record, rounds: Rounds, position: np.record, held: int, fill: np.record, day: int) -> None:
    """The kernel has heard it: what it opened begins a round trip or adds to it.  `held`: before it."""
    r = rounds.round[0]
    opened = fill.qty - _closing(held, fill)
    if opened == 0:
        return
    if r.entry_qty == 0:
        run.entry_ns = fill.ts_ns
        run.entry_side = fill.side
        run.entry_day = day
        run.confidence_ppm = run.asked_confidence_ppm
        run.stop_tick = position.stop_tick
        run.target_tick = position.target_tick
        run.stop_ticks = max(1, position.stop_ticks)
        run.mfe_ticks = 0
        run.mae_ticks = 0
        run.exit_hold = -1
        r.seen_tick = NO_TICK
    r.entry_ticks += opened * fill.price_tick
    r.entry_qty += opened


@inner
def _reach(run: np.record, r: np.record, tick: int) -> None:
    """How far a price lies from the average entry, rounded towards the entry."""
    away = (tick * r.entry_qty - r.entry_ticks) * run.entry_side
    if away >= 0:
        run.mfe_ticks = max(run.mfe_ticks, away // r.entry_qty)
    else:
        run.mae_ticks = max(run.mae_ticks, -away // r.entry_qty)


@inner
def marked(run: np.record, rounds: Rounds, mark_tick: int) -> None:
    """The mark as it now stands, while a position is held (MES-BT-23, by marks instead of bars)."""
    r = rounds.round[0]
    if r.entry_qty == 0 or mark_tick == r.seen_tick or mark_tick == NO_TICK:
        return
    r.seen_tick = mark_tick
    _reach(run, r, mark_tick)


@inner
def closed(run: np.record, rounds: Rounds, trades: np.ndarray, o: np.record) -> None:
    """TRADE_CLOSED: one row, and nothing in progress any more.  The loop has left room for it."""
    r = rounds.round[0]
    entry_tick = nearest_average(r.entry_ticks, r.entry_qty)
    exit_tick = nearest_average(r.exit_ticks, r.exit_qty)
    _reach(run, r, exit_tick)
    t = trades[run.trades]
    run.trades += 1
    r.trades += 1
    t.trading_day = run.entry_day
    t.contract = 0
    t.entry_ns = run.entry_ns
    t.exit_ns = run.exit_ns
    t.side = run.entry_side
    t.entry_tick = entry_tick
    t.exit_tick = exit_tick
    t.qty = o.qty
    t.gross_micros = o.volume
    t.fee_micros = o.fee_micros
    t.slip_micros = 0  # inside the levels that were walked
    t.exit_slip_micros = 0
    t.net_micros = o.value
    t.reason = run.forced if run.forced != 0 else o.code
    t.hold = -1 if run.forced != 0 else run.exit_hold
    t.confidence_ppm = run.confidence_ppm
    t.stop_tick = run.stop_tick
    t.target_tick = run.target_tick
    t.risk_micros = o.qty * run.stop_ticks * run.tick_value_micros
    t.bars_held = (run.exit_ns - run.entry_ns) // NANOS
    t.mfe_ticks = run.mfe_ticks
    t.mae_ticks = run.mae_ticks
    r.entry_ticks = 0
    r.entry_qty = 0
    r.exit_ticks = 0
    r.exit_qty = 0
    run.exit_hold = -1
