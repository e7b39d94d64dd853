"""What a session would be, before it is made: profile, account, tape, hours and limits put together and checked.

Reads a tape's beginning (and its end where a venue's hours count) and writes nothing, so that pre-flight may ask it in
a thread.  A refusal has a code for tables and a sentence for people.  Called by `services` and `preflight.plans`.
"""

from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from marketdata.calendars import ALL_HOURS, CalendarError, ScheduleLate, Window, windows
from marketdata.core.instruments import Instrument, UnknownInstrument, instrument
from marketdata.core.records import ACCOUNT_SCOPE, BAR, BOOK, NO_TIME, QUOTE
from marketdata.core.sessions import NORMAL, REDUCED, WINDOW_CAPACITY
from marketdata.core.units import NANOS
from marketdata.feeds.port import Feed
from marketdata.feeds.registry import open_feed
from marketdata.volatility import open_index
from risk.core.records import SPEC_FIELDS
from risk.services import contract_fault
from trading.configs import Profile, bar_limits
from trading.control import var
from trading.models import Account, ConfigVersion
from trading.run.spec import (
    MODES,
    FeedSpec,
    InstrumentSpec,
    ScorerSpec,
    SessionSpec,
    SpecError,
    UniverseSpec,
    VenueSpec,
    check_spec,
)

ENTRY_PHASES = (NORMAL, REDUCED)
WINDOW_DAYS = 15
VENUE_KINDS = {"paper": "simulated", "live": "platform"}  # whose cut-off a mode has (MES-EOD-02); others are refused
LOOK_EVENTS = 400_000  # how far into a tape the hours are looked for
LOOK_BATCH = 50_000


class StartRefused(ValueError):
    """A session that may not be made or started; `code` for tables, the text for people."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


def plan_session(
    *,
    account: Account,
    version: ConfigVersion,
    profile: Profile,
    feed: FeedSpec,
    scorer: ScorerSpec | None = None,
    mode: str = "paper",
    capital_micros: int | None = None,
) -> SessionSpec:
    """The spec of a session that would be made from this (its id is not given yet).  Reads the tape, writes nothing.

    Raises StartRefused, FeedError; asks no database, so that pre-flight may call it in a thread.
    """
    _check_open(account, profile, mode)
    traded = [_instrument(symbol, profile) for symbol in feed.symbols]
    tape = open_feed(feed)
    try:
        bars, last_ns = _look_at(tape, profile.market.schedule != ALL_HOURS)
        start_ns = tape.start_ns
    finally:
        tape.close()
    limits = bar_limits(profile.limits()) if bars else profile.limits()
    if mode == "paper":  # attended operation is demanded of live trading alone (MES-HOLD-PRESENCE)
        limits["presence_ns_max"] = 0
    limits |= {} if capital_micros is None else {"capital_micros": capital_micros}
    _check_tape(profile, limits, traded, bars)
    _check_index(profile, limits, feed)
    _check_restricted(profile, traded)
    spans = [(ACCOUNT_SCOPE, *row) for row in session_windows(profile, mode, start_ns)]
    _check_hours(profile, spans, start_ns, last_ns, Path(feed.path).name or feed.name)
    spec = SessionSpec(
        id=1,
        key="s1",
        mode=mode,
        profile=profile.profile,
        version_id=version.id,
        version_hash=version.hash,
        currency=profile.market.currency,
        capital_micros=limits["capital_micros"],
        limits=limits,
        instruments=[_instrument_spec(item) for item in traded],
        feed=feed,
        venue=VenueSpec(
            fill_model="bar" if bars else profile.paper.fill_model,
            latency_ns=profile.paper.latency_ns(),
            slip_ticks=profile.paper.slip_ticks,
            slip_mode=profile.paper.slip_mode,
            seed=feed.seed,
        ),
        scorer=scorer or ScorerSpec(),
        windows=spans,
        created_ns=start_ns,
        venue_socket=str(var() / "venue" / "venue.sock"),
        redis_url=settings.REDIS_URL,
        watch=profile.watch.limits(),
        restricted=[item.symbol for item in traded if item.symbol in profile.market.restricted],
        universe=UniverseSpec() if _has_engine(profile, bars) else None,
    )
    try:
        check_spec(spec)
    except SpecError as error:
        raise StartRefused("SPEC", str(error)) from None
    return spec


def _check_open(account: Account, profile: Profile, mode: str) -> None:
    """A profile trades in the modes that it names, for accounts of its market alone."""
    if mode not in MODES or mode not in profile.modes:
        known = ", ".join(name for name in MODES if name in profile.modes)
        raise StartRefused("MODE_UNKNOWN", f"mode {mode!r} is not open to {profile.profile}; open: {known}")
    if (account.venue, account.currency) != (profile.market.venue, profile.market.currency):
        raise StartRefused(
            "ACCOUNT_UNKNOWN",
            f"account {account.name} is not one of {profile.market.venue} in {profile.market.currency}",
        )


def _has_engine(profile: Profile, bars: bool) -> bool:
    """Shares whose profile decides on books alone are watched by the live data engine (MOEX-DATA)."""
    return profile.market.venue == "moex" and not profile.market.bars and not bars


def _check_index(profile: Profile, limits: dict[str, int], feed: FeedSpec) -> None:
    """A rulebook that watches the volatility index needs a source of it; without one nothing could ever be entered."""
    if limits["rvi_max"] > 0 and open_index(feed) is None:
        raise StartRefused(
            "NO_INDEX",
            f"{profile.profile} watches the volatility index and this recording brings none:"
            " name a file of its values with the option rvi",
        )


def _check_restricted(profile: Profile, traded: list[Instrument]) -> None:
    """A session none of whose instruments may be entered is none that anybody meant (P-25)."""
    if all(item.symbol in profile.market.restricted for item in traded):
        named = ", ".join(item.symbol for item in traded)
        raise StartRefused("RESTRICTED", f"{profile.profile} restricts {named}: nothing could be entered")


def _instrument(symbol: str, profile: Profile) -> Instrument:
    try:
        found = instrument(symbol)
    except UnknownInstrument as error:
        raise StartRefused("INSTRUMENT", str(error)) from None
    if found.symbol not in profile.market.instruments:
        fault = contract_fault(profile.limits(), found)
        if (found.venue, found.currency) == (profile.market.venue, profile.market.currency) and fault:
            raise StartRefused("CONTRACT_TOO_LARGE", f"{profile.profile} cannot trade {found.symbol}: {fault}")
        allowed = ", ".join(profile.market.instruments)
        raise StartRefused("INSTRUMENT", f"{profile.profile} trades {allowed}, not {found.symbol}")
    return found


def _instrument_spec(item: Instrument) -> InstrumentSpec:
    values = {name: int(getattr(item, name)) for name in SPEC_FIELDS if name != "tradable"}
    return InstrumentSpec(symbol=item.symbol, values=values | {"tradable": 1})


def _look_at(tape: Feed, to_its_end: bool) -> tuple[bool, int]:
    """Whether the tape has bars and no quotes, and the time of its last event (NO_TIME: not asked, or too long)."""
    bars = quotes = False
    last_ns, seen = tape.start_ns, 0
    while seen < LOOK_EVENTS:
        batch = tape.read(tape.start_ns + 86_400 * NANOS, LOOK_BATCH)
        kinds = batch.events["kind"]
        bars |= bool((kinds == BAR).any())
        quotes |= bool(((kinds == BOOK) | (kinds == QUOTE)).any())
        seen += len(batch.events)
        if len(batch.events) == 0:
            break
        last_ns = int(batch.events["ts_venue_ns"][-1])
        if quotes:
            break
    if quotes:
        last_ns = _end_of(tape, last_ns) if to_its_end else NO_TIME
    return bars and not quotes, last_ns


def _end_of(tape: Feed, last_ns: int) -> int:
    """Time of the last event within LOOK_EVENTS; NO_TIME when the tape goes on."""
    for _ in range(LOOK_EVENTS // LOOK_BATCH):
        batch = tape.read(2**62, LOOK_BATCH)
        if len(batch.events) > 0:
            last_ns = int(batch.events["ts_venue_ns"][-1])
        if batch.ended or len(batch.events) == 0:
            return last_ns
    return NO_TIME


def _check_tape(profile: Profile, limits: dict[str, int], traded: list[Instrument], bars: bool) -> None:
    if bars and not profile.market.bars:
        raise StartRefused(
            "NO_BOOK",
            f"{profile.profile} decides on quotes and this tape holds bars without a book; take a demo profile for it",
        )
    for item in traded:
        if fault := contract_fault(limits, item):
            raise StartRefused("CONTRACT_TOO_LARGE", f"{profile.profile} cannot trade {item.symbol}: {fault}")


def session_windows(profile: Profile, mode: str, start_ns: int) -> list[Window]:
    """Phases from the trading day of `start_ns` on, by the calendar and the cut-off of the venue that this mode has.

    A live venue's irregular dates take their earliest close (MES-CAL-04).  Raises StartRefused: EOD_SCHEDULE_LATE names
    both times (MES-EOD-02).
    """
    kind = VENUE_KINDS.get(mode)
    if kind is None:
        raise StartRefused("SCHEDULE", f"nobody knows the cut-off of mode {mode!r}")
    market = profile.market
    try:
        rows = windows(market.schedule, market.venue, start_ns, WINDOW_DAYS, venue=kind, cautious=kind != "simulated")
    except ScheduleLate as error:
        raise StartRefused("EOD_SCHEDULE_LATE", str(error)) from None
    except CalendarError as error:
        raise StartRefused("SCHEDULE", str(error)) from None
    return _whole_days(rows, WINDOW_CAPACITY)


def _whole_days(rows: list[Window], room: int) -> list[Window]:
    """As many whole trading days as there is room for: never a day without its last window, the one to be flat in.

    After the last day the kernel is AFTER_HOURS (P-03).
    """
    if len(rows) <= room:
        return rows
    return [row for row in rows[:room] if row[3] != rows[room][3]]


def _check_hours(
    profile: Profile, spans: list[tuple[int, int, int, int, int]], start_ns: int, last_ns: int, name: str
) -> None:
    """The tape must reach a phase that admits entries; a holiday or night file under a venue's schedule does not."""
    if profile.market.schedule == ALL_HOURS or last_ns == NO_TIME:
        return
    open_spans = [span for span in spans if span[1] in ENTRY_PHASES]
    if any(span[2] < last_ns and span[3] > start_ns for span in open_spans):
        return
    following = next((span[2] for span in open_spans if span[2] >= start_ns), None)
    when = f"; the next entry hours begin {_utc(following)}" if following is not None else ""
    raise StartRefused(
        "OUT_OF_HOURS",
        f"{name} covers {_utc(start_ns)} to {_utc(last_ns)}, outside the entry hours of schedule"
        f" {profile.market.schedule!r}{when}; take a demo profile to replay it",
    )


def _utc(ns: int) -> str:
    return datetime.fromtimestamp(ns // NANOS, UTC).strftime("%Y-%m-%d %H:%M UTC")
