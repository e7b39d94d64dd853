"""A small session for tests of the loops: a spec that can trade, a context, events as the loops exchange them.

Nothing here stands in for a part of the desk; it only fills in numbers.
"""

import threading
from pathlib import Path

import numpy as np

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import QUOTE, new_events
from marketdata.core.sessions import NORMAL
from marketdata.core.units import MICROS, NANOS
from tests.kernel.desk import LIMITS as RULES
from trading.core.records import COMMAND, SCORE
from trading.run.context import LoopContext
from trading.run.spec import FeedSpec, InstrumentSpec, ScorerSpec, SessionSpec, VenueSpec
from trading.run.streams import make_client

START_NS = 1_700_000_000 * NANOS
DAY_NS = 86_400 * NANOS
LIMITS = RULES | {
    "capital_micros": 50_000 * MICROS,
    "bar_mode": 0,
    "quote_age_ns_max": 5 * NANOS,
    "score_age_ns_max": 5 * NANOS,
    "last_age_ns_max": DAY_NS,
    "recon_age_ns_max": 30 * NANOS,
    "qty_max": 5,
    "value_micros_max": 10**15,
    "collar_ppm_max": 100_000,
    "collar_ticks_max": 1_000,
    "spread_ticks_max": 10,
    "stop_ticks_min": 1,
    "stop_ticks_max": 100,
    "move_ticks_max": 1_000,
    "move_window_ns": 60 * NANOS,
    "move_hold_ns": NANOS,
    "position_max": 5,
    "margin_micros_max": 10**12,
    "loss_trade_micros_max": 10**10,
    "loss_day_micros_max": 10**10,
    "loss_total_micros_max": 10**10,
    "slip_ticks_assumed": 1,
    "duplicate_ns": 0,
    "messages_1s_max": 1_000,
    "messages_60s_max": 10_000,
    "messages_reserved": 0,
    "orders_open_max": 20,
    "score_ppm_min": 100_000,
    "confidence_ppm_min": 100_000,
    "qty_entry": 1,
    "stop_ticks": 8,
    "target_ticks": 8,
    "hold_ns_max": 0,
    "entry_ttl_ns": 2 * NANOS,
    "cooldown_entry_ns": 0,
    "cooldown_exit_ns": 0,
    "ack_timeout_ns": 5 * NANOS,
    "naked_ns_max": 3 * NANOS,
    "exit_confidence_ppm_min": 100_000,
    "drawdown_day_micros_max": 10**10,
    "drawdown_micros_max": 10**10,
}


def make_spec(redis_url: str = "", socket: str = "", speed: float = 1.0, **limits: int) -> SessionSpec:
    """One MES session on the simulated feed that admits entries at once."""
    mes = INSTRUMENTS["MES"]
    values = {
        "tick_value_micros": mes.tick_value_micros,
        "fee_micros": mes.fee_micros,
        "fee_ppm": mes.fee_ppm,
        "margin_micros": mes.margin_micros,
        "tick_nanos": mes.tick_nanos,
        "lot": mes.lot,
        "tradable": 1,
        "hedge": 0,
    }
    return SessionSpec(
        id=7,
        key="s7",
        mode="paper",
        profile="demo-mes",
        version_id=3,
        version_hash="ab" * 32,
        currency="USD",
        capital_micros=LIMITS["capital_micros"],
        limits=LIMITS | limits,
        instruments=[InstrumentSpec("MES", values)],
        feed=FeedSpec("simulated", ["MES"], seed=1, speed=speed),
        venue=VenueSpec("book", latency_ns=0, slip_ticks=0, seed=1),
        scorer=ScorerSpec("baseline"),
        windows=[(-1, NORMAL, START_NS - DAY_NS, START_NS + 10_000 * DAY_NS, 20231114)],
        created_ns=START_NS,
        venue_socket=socket,
        redis_url=redis_url,
    )


def make_context(folder: Path, spec: SessionSpec, loop: str, fence: int) -> LoopContext:
    """A context as the runner makes it, with a stop flag of its own."""
    guard = folder.parent / "guard"
    guard.mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)
    stop = threading.Event()
    return LoopContext(folder, spec, loop, fence, lambda: make_client(spec.redis_url), guard, "c0de", stop)


def quote(ts_ns: int, bid: int = 20_000, ask: int = 20_001) -> np.ndarray:
    """One QUOTE of instrument 0, (1,)."""
    event = new_events(1)
    event["kind"], event["ts_ns"], event["ts_venue_ns"] = QUOTE, ts_ns, ts_ns
    event["bid_tick"], event["ask_tick"], event["bid_qty"], event["ask_qty"] = bid, ask, 10, 10
    return event


def score(ts_ns: int, side: int = 1) -> np.ndarray:
    """One confident SCORE for instrument 0, (1,)."""
    event = new_events(1)
    event["kind"], event["ts_ns"], event["ts_venue_ns"], event["side"] = SCORE, ts_ns, ts_ns, side
    event["score_ppm"], event["confidence_ppm"] = side * 900_000, 900_000
    return event


def command(code: int, ts_ns: int, ref: int = 1) -> np.ndarray:
    """One COMMAND, (1,)."""
    event = new_events(1)
    event["kind"], event["code"], event["ref"], event["instrument"] = COMMAND, code, ref, -1
    event["ts_ns"] = event["ts_venue_ns"] = ts_ns
    return event


def numbered(count: int, first: int = 1) -> np.ndarray:
    """`count` EVENTs numbered from `first`, told apart by `value`."""
    events = new_events(count)
    events["seq"] = np.arange(first, first + count)
    events["value"] = events["seq"] * 7
    return events
