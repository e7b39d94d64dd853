"""What a session is, as one immutable file: `spec.json` in the session's folder.

The shell writes it when the session is made; loops, guard and venue read it and never change it.  Whatever a running
session learns later comes as journaled events.  `setup_events` is the only translation of a spec into events, so live,
paper, replay and backtest configure the kernel alike.
"""

from collections.abc import Collection
from pathlib import Path

import msgspec
import numpy as np

from marketdata.core.records import ACCOUNT_SCOPE, NO_TIME, new_events
from marketdata.core.sessions import PHASES, WINDOW_CAPACITY
from marketdata.core.universe.records import POOL_MAX
from risk.core.holds import BIT
from risk.core.records import LIMIT_FIELDS, LIMIT_INDEX, SPEC_FIELDS, SPEC_INDEX
from trading.core.past import FIGURES, PAST_FIGURE, PAST_HOLD, PAST_SOURCE, PAST_STATED, STATED
from trading.core.records import CONDITION, CONFIG, CONFIG_COMMIT, INSTRUMENT_CAPACITY, PAST, WINDOW_SET
from trading.run.clock import SPEED_MAX, TAPE, write_atomic

SPEC_FILE = "spec.json"
MODES = ("paper",)
FILL_MODELS = ("bar", "print", "book")
SLIP_MODES = ("fixed", "conditional")
STATEMENT = ("value", "volume", "qty", "fee_micros")  # fields of EVENT that carry STATED, in its order
# What the loops watch of themselves, in ns: the limits of LATENCY's stages (MOEX-MON-04), how often a book is due
# (MOEX-MON-05), and how long no network may answer until ML_FALLBACK (MOEX-RISK-05)
WATCH = {
    "book": 5_000_000,
    "features": 12_000_000,
    "ml": 20_000_000,
    "risk": 8_000_000,
    "broker": 1_500_000_000,
    "heartbeat": 5_000_000_000,
    "fallback": 10_000_000_000,
}


class SpecError(ValueError):
    """A spec that cannot be run; the message says which field and why."""


class InstrumentSpec(msgspec.Struct, frozen=True):
    """One instrument of the session; its index in SessionSpec.instruments is EVENT.instrument."""

    symbol: str
    values: dict[str, int]  # names = SPEC_FIELDS


class FeedSpec(msgspec.Struct, frozen=True):
    """Where market data comes from.  `speed`: session seconds per real second, 0 = as fast as the streams take it."""

    name: str
    symbols: list[str]
    seed: int = 0
    speed: float = 1.0
    path: str = ""
    schema: str = ""
    options: dict[str, str] = {}
    record: bool = False  # keep it as it is received, with its books


class VenueSpec(msgspec.Struct, frozen=True):
    """How the paper venue fills."""

    fill_model: str = "book"
    latency_ns: int = 0
    slip_ticks: int = 0
    seed: int = 0
    slip_mode: str = "fixed"  # of SLIP_MODES


class ScorerSpec(msgspec.Struct, frozen=True):
    """Who scores the market; "none" for a session that only watches."""

    name: str = "baseline"
    artifact: str = ""
    options: dict[str, float] = {}


class HeldSpec(msgspec.Struct, frozen=True):
    """One hold that the last session left standing.  `until_ns`: NO_TIME for one that no time ends."""

    code: str
    since_ns: int
    until_ns: int
    value: int
    limit: int


class PastSpec(msgspec.Struct, frozen=True):
    """What an account brings from the session that it was in last, as of that one's journal frame `seq`.

    `figures`: names = trading.core.past.FIGURES.  `fault`: why nothing is known; the session then opens under
    STATE_UNREADABLE, and figures and holds are empty.  `networks`: artifacts of the sessions in which a hold stood that
    ends with a loaded network; empty without one.
    """

    session: int
    seq: int = 0
    state_sha256: str = ""
    closed_ns: int = NO_TIME
    figures: dict[str, int] = {}
    holds: list[HeldSpec] = []
    networks: list[str] = []
    fault: str = ""


class UniverseSpec(msgspec.Struct, frozen=True):
    """The live data engine of a session of shares: MOEX-DATA-01 (slots), -12 (cache), -13 (memory of its process)."""

    active_max: int = 15
    cache_max: int = 50
    ttl_ns: int = 60_000_000_000
    rss_soft_bytes: int = 400 << 20
    rss_hard_bytes: int = 700 << 20


class SessionSpec(msgspec.Struct, frozen=True):
    """A session, whole.  Times in ns UTC, money in micros of `currency`; it opens with `capital_micros`."""

    id: int
    key: str
    mode: str
    profile: str
    version_id: int
    version_hash: str  # 64 hex digits
    currency: str
    capital_micros: int
    limits: dict[str, int]  # names = LIMIT_FIELDS
    instruments: list[InstrumentSpec]
    feed: FeedSpec
    venue: VenueSpec
    scorer: ScorerSpec
    windows: list[tuple[int, int, int, int, int]]  # instrument, phase, start_ns, end_ns, trading_day
    created_ns: int
    venue_socket: str
    redis_url: str
    past: PastSpec | None = None  # None: the first session of its account
    watch: dict[str, int] = {}  # names of WATCH; what is absent is as there
    restricted: list[str] = []  # symbols that may not be entered from the start on (P-25)
    universe: UniverseSpec | None = None  # None: no engine; every instrument is watched and scored


def _require(truth: bool, words: str) -> None:
    if not truth:
        raise SpecError(words)


def check_spec(spec: SessionSpec) -> None:
    """Refuse a spec that no session may run.  Raises SpecError with one sentence."""
    _require(spec.mode in MODES, f"mode {spec.mode!r} is unknown; known: {', '.join(MODES)}")
    _require(spec.id > 0 and spec.key != "", "a session needs a positive id and a key")
    is_hash = len(spec.version_hash) == 64 and all(c in "0123456789abcdef" for c in spec.version_hash)
    _require(is_hash, "version_hash must be 64 lower-case hex digits")
    count = len(spec.instruments)
    _require(0 < count <= INSTRUMENT_CAPACITY, f"{count} instruments; 1 to {INSTRUMENT_CAPACITY} are possible")
    unknown = sorted(set(spec.limits) - set(LIMIT_FIELDS))
    _require(not unknown, f"unknown limits: {', '.join(unknown)}")
    for item in spec.instruments:
        unknown = sorted(set(item.values) - set(SPEC_FIELDS))
        _require(not unknown, f"{item.symbol}: unknown fields {', '.join(unknown)}")
    speed = spec.feed.speed
    _require(speed == TAPE or 0 < speed <= SPEED_MAX, f"speed {speed} is neither 0 nor within 0 .. {SPEED_MAX:.0f}")
    given = len(spec.feed.symbols)
    _require(given == count, f"the feed gives {given} instruments, the session has {count}")
    _require(spec.venue.fill_model in FILL_MODELS, f"fill model {spec.venue.fill_model!r} is unknown")
    _require(spec.venue.latency_ns >= 0 and spec.venue.slip_ticks >= 0, "latency and slippage are not negative")
    _require(spec.venue.slip_mode in SLIP_MODES, f"slippage {spec.venue.slip_mode!r} is unknown")
    _require(len(spec.windows) <= WINDOW_CAPACITY, f"{len(spec.windows)} windows; at most {WINDOW_CAPACITY} fit")
    unknown = sorted(set(spec.watch) - set(WATCH)) + [name for name, ns in spec.watch.items() if ns <= 0]
    _require(not unknown, f"watched wrongly: {', '.join(unknown)}")
    if spec.past is not None:
        unknown = sorted(set(spec.past.figures) - set(FIGURES)) + [h.code for h in spec.past.holds if h.code not in BIT]
        _require(not unknown, f"unknown in the past: {', '.join(unknown)}")
    if spec.universe is not None:
        wanted = spec.universe
        _require(
            0 < wanted.active_max <= POOL_MAX, f"{wanted.active_max} active instruments; 1 to {POOL_MAX} are possible"
        )
        _require(0 < wanted.rss_soft_bytes < wanted.rss_hard_bytes, "memory limits must be 0 < soft < hard")
        _require(wanted.cache_max > 0 and wanted.ttl_ns > 0, "a cache of books needs room and a time")
    last_end = None
    for _, phase, start_ns, end_ns, _ in spec.windows:
        _require(0 <= phase < len(PHASES), f"phase {phase} of a window is unknown")
        _require(start_ns < end_ns, "a window ends before it starts")
        _require(last_end is None or start_ns >= last_end, "windows overlap or are not sorted")
        last_end = end_ns


def save_spec(folder: Path, spec: SessionSpec) -> None:
    """Check the spec and store it in the session's folder (made if absent).  A different one there is refused."""
    check_spec(spec)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SPEC_FILE
    if path.exists() and load_spec(folder) != spec:
        raise SpecError(f"{path} already describes another session; a spec never changes")
    write_atomic(path, msgspec.json.format(msgspec.json.encode(spec)))


def load_spec(folder: Path) -> SessionSpec:
    """The session's spec.  Raises SpecError when it is absent, malformed or not runnable."""
    path = folder / SPEC_FILE
    try:
        spec = msgspec.json.decode(path.read_bytes(), type=SessionSpec)
    except FileNotFoundError:
        raise SpecError(f"{path} does not exist: this folder holds no session") from None
    except msgspec.DecodeError as error:  # ValidationError is one of them
        raise SpecError(f"{path}: {error}") from None
    check_spec(spec)
    return spec


def watch_of(spec: SessionSpec) -> dict[str, int]:
    """Every limit of WATCH as it holds in this session, ns."""
    return WATCH | spec.watch


def version_word(version_hash: str) -> int:
    """The first 8 bytes of a version's hash as int64, as CONFIG_COMMIT carries it."""
    return int.from_bytes(bytes.fromhex(version_hash)[:8], "little", signed=True)


def setup_events(spec: SessionSpec, ts_ns: int = 0) -> np.ndarray:
    """EVENTs that configure a fresh kernel: its past, limits, instruments, commit, windows, restrictions.

    Stamped `ts_ns`, seq 0.
    """
    limits = [(ACCOUNT_SCOPE, LIMIT_INDEX[name], spec.limits[name]) for name in LIMIT_FIELDS if name in spec.limits]
    for i, item in enumerate(spec.instruments):
        limits += [(i, SPEC_INDEX[name], item.values[name]) for name in SPEC_FIELDS if name in item.values]
    events = new_events(len(limits) + 1 + len(spec.windows))
    events["ts_ns"] = ts_ns
    events["ts_venue_ns"] = ts_ns
    for row, (instrument, code, value) in zip(events, limits, strict=False):
        row["kind"], row["instrument"], row["code"], row["value"] = CONFIG, instrument, code, value
    commit = events[len(limits)]
    commit["kind"], commit["instrument"], commit["ref"] = CONFIG_COMMIT, ACCOUNT_SCOPE, spec.version_id
    commit["value"] = version_word(spec.version_hash)
    for row, window in zip(events[len(limits) + 1 :], spec.windows, strict=True):
        instrument, phase, start_ns, end_ns, trading_day = window
        row["kind"], row["instrument"], row["code"] = WINDOW_SET, instrument, phase
        row["value"], row["until_ns"], row["ref"] = start_ns, end_ns, trading_day
    barred = restrictions(spec, spec.restricted, ts_ns)
    barred = barred[barred["value"] == 1]
    before = [] if spec.past is None else [past_events(spec.past, ts_ns)]
    return np.concatenate([*before, events, barred]) if before or len(barred) > 0 else events


def restrictions(spec: SessionSpec, symbols: Collection[str], ts_ns: int = 0) -> np.ndarray:
    """CONDITION EVENTs, one an instrument of the session: whether it is restricted (P-25): by its symbol."""
    events = new_events(len(spec.instruments))
    events["kind"], events["code"] = CONDITION, BIT["RESTRICTED"]
    events["instrument"] = np.arange(len(events))
    events["value"] = [item.symbol in symbols for item in spec.instruments]
    events["ts_ns"] = events["ts_venue_ns"] = ts_ns
    return events


def statement(figures: dict[str, int]) -> np.ndarray:
    """One PAST EVENT by which a person states what nobody could read; names = trading.core.past.STATED, in micros."""
    event = new_events(1)
    event["kind"], event["code"], event["instrument"] = PAST, PAST_STATED, ACCOUNT_SCOPE
    for field, name in zip(STATEMENT, STATED, strict=True):
        event[field] = figures[name]
    return event


def past_events(past: PastSpec, ts_ns: int) -> np.ndarray:
    """PAST EVENTs: the source, its figures and holds; of a past that nobody can read, the hold that says so."""
    holds = past.holds
    if past.fault:
        holds = [HeldSpec("STATE_UNREADABLE", ts_ns, NO_TIME, past.session, 0)]
    events = new_events(1 + len(past.figures) + len(holds))
    events["kind"], events["instrument"], events["ref"] = PAST, ACCOUNT_SCOPE, past.session
    events["ts_ns"] = events["ts_venue_ns"] = ts_ns
    source = events[0]
    source["code"], source["order_number"], source["ts_venue_ns"] = PAST_SOURCE, past.seq, past.closed_ns
    words = np.frombuffer(bytes.fromhex(past.state_sha256.rjust(64, "0")), "<i8")
    source["value"], source["volume"], source["qty"], source["until_ns"] = words
    rows = iter(events[1:])
    for at, name in enumerate(FIGURES):
        if name in past.figures:
            row = next(rows)
            row["code"], row["order_number"], row["value"] = PAST_FIGURE, at, past.figures[name]
    for row, held in zip(rows, holds, strict=True):
        row["code"], row["order_number"], row["value"], row["volume"] = (
            PAST_HOLD,
            BIT[held.code],
            held.value,
            held.limit,
        )
        row["ts_venue_ns"], row["until_ns"] = held.since_ns, held.until_ns
    return events
