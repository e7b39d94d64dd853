"""What the desk does to sessions: make, start, stop, end.  Views and commands call these, one call each.

A start is refused with a code and a sentence before anything is written; a session ends only after the venue proved
flat.  The mode is chosen here, once, and nowhere in `core/`.  Commands, kill and unlock are in `control`, offered here.
"""

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from marketdata.calendars import ALL_HOURS, CalendarError, windows
from marketdata.core.instruments import Instrument, UnknownInstrument, instrument
from marketdata.core.records import ACCOUNT_SCOPE, BAR, BOOK, NO_TIME, QUOTE
from marketdata.core.sessions import NORMAL, REDUCED, WINDOW_CAPACITY
from marketdata.core.units import NANOS
from marketdata.feeds.port import Feed
from marketdata.feeds.registry import open_feed
from risk.core.records import SPEC_FIELDS
from risk.services import contract_fault
from trading.configs import ConfigError, Profile, bar_limits, profile_of
from trading.control import (
    CommandRefused,
    KillReport,
    advance_command,
    advance_session,
    deliver_start,
    kill,
    send_command,
    session_folder,
    unlock,
    var,
)
from trading.core import states
from trading.leases import short_wait, want_loops
from trading.models import Account, Command, ConfigVersion, LoopLease, Session, SinkCursor
from trading.run import guard
from trading.run.context import LOOPS
from trading.run.journal.reader import JournalReader
from trading.run.latch import read_latch
from trading.run.loops import StoreAway
from trading.run.spec import (
    MODES,
    FeedSpec,
    InstrumentSpec,
    ScorerSpec,
    SessionSpec,
    SpecError,
    VenueSpec,
    check_spec,
    save_spec,
)

__all__ = [
    "CommandRefused", "KillReport", "StartRefused", "create_session", "finish_if_flat", "kill", "pause", "resume",
    "send_command", "session_folder", "start_session", "stop_session", "unlock", "var",
]  # fmt: skip
ENTRY_PHASES = (NORMAL, REDUCED)
WINDOW_DAYS = 15
LOOK_EVENTS = 400_000  # how far into a tape the hours are looked for
LOOK_BATCH = 50_000
RECEIPT_WITHIN_S = 30.0


class StartRefused(ValueError):
    """A session that may not be made or started; `code` for tables, the text for people."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


# making a session


def create_session(
    *,
    account: Account,
    version: ConfigVersion,
    feed: FeedSpec,
    scorer: ScorerSpec | None = None,
    by: str,
    mode: str = "paper",
    capital_micros: int | None = None,
) -> Session:
    """Check everything that a start needs and store the session.  Nothing is written when anything is wrong.

    Raises StartRefused (unknown mode, limits, hours, book, size), FeedError (the tape), ConfigError (the version).
    """
    profile = profile_of(version)
    if mode not in MODES or mode not in profile.modes:
        known = ", ".join(name for name in MODES if name in profile.modes)
        raise StartRefused("MODE_UNKNOWN", f"mode {mode!r} is not open to {profile.profile}; open: {known}")
    if (account.venue, account.currency) != (profile.market.venue, profile.market.currency):
        raise StartRefused(
            "ACCOUNT_UNKNOWN",
            f"account {account.name} is not one of {profile.market.venue} in {profile.market.currency}",
        )
    traded = [_instrument(symbol, profile) for symbol in feed.symbols]
    tape = open_feed(feed)
    try:
        bars, last_ns = _look_at(tape)
        start_ns = tape.start_ns
    finally:
        tape.close()
    limits = bar_limits(profile.limits()) if bars else profile.limits()
    if mode == "paper":  # attended operation is demanded of live trading alone (MES-HOLD-PRESENCE)
        limits["presence_ns_max"] = 0
    if capital_micros is not None:
        limits["capital_micros"] = capital_micros
    _check_tape(profile, limits, traded, bars)
    spans = _windows(profile, start_ns)
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
            seed=feed.seed,
        ),
        scorer=scorer or ScorerSpec(),
        windows=spans,
        created_ns=start_ns,
        venue_socket=str(var() / "venue" / "venue.sock"),
        redis_url=settings.REDIS_URL,
    )
    return _store(spec, account, version, by)


def _store(spec: SessionSpec, account: Account, version: ConfigVersion, by: str) -> Session:
    try:
        check_spec(spec)
    except SpecError as error:
        raise StartRefused("SPEC", str(error)) from None
    with transaction.atomic():
        session = Session.objects.create(
            key=f"new-{timezone.now().timestamp():.6f}-{by}"[:40],
            account=account,
            version=version,
            mode=spec.mode,
            created_by=by,
            created_at=timezone.now(),
        )
        spec = msgspec.structs.replace(spec, id=session.id, key=f"s{session.id}")
        session.key, session.spec = spec.key, msgspec.to_builtins(spec)
        session.save(update_fields=["key", "spec"])
        ConfigVersion.objects.filter(id=version.id, used_at=None).update(used_at=timezone.now())
    return session


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


def _look_at(tape: Feed) -> tuple[bool, int]:
    """Whether the tape has bars and no quotes, and the time of its last event (NO_TIME: too long to look at)."""
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
    return bars and not quotes, last_ns if not quotes else _end_of(tape, last_ns)


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


def _windows(profile: Profile, start_ns: int) -> list[tuple[int, int, int, int, int]]:
    calendar = profile.market.venue
    try:
        rows = windows(profile.market.schedule, calendar, start_ns, WINDOW_DAYS)
    except CalendarError as error:
        raise StartRefused("SCHEDULE", str(error)) from None
    return [(ACCOUNT_SCOPE, *row) for row in rows[:WINDOW_CAPACITY]]


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
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ns // NANOS, UTC).strftime("%Y-%m-%d %H:%M UTC")


# start, stop, end


def start_session(session_id: int, by: str) -> Session:
    """Write the session's files, tell the guard, want its loops and give the start.  Raises StartRefused."""
    session = Session.objects.select_related("version").get(id=session_id)
    spec = msgspec.convert(session.spec, SessionSpec)
    if read_latch(var()) is not None:
        raise StartRefused("LATCHED", "the kill latch stands: clear it before a session starts")
    try:
        if profile_of(session.version).profile != spec.profile:
            raise StartRefused("PROFILE", f"session {session.key} was made with another profile")
    except ConfigError as error:
        raise StartRefused("CONFIG", str(error)) from None
    if not advance_session(session, "start", started_by=by, started_at=timezone.now()):
        session.refresh_from_db()
        raise StartRefused("STATE", f"session {session.key} is {session.status}: only a new one can start")
    try:
        save_spec(session_folder(session_id), spec)
        _tell_guard(spec, True)
        want_loops(session_id, LOOPS, True)
    except (OSError, SpecError) as error:
        advance_session(session, "refuse", reason=str(error)[:500])
        want_loops(session_id, LOOPS, False)
        raise StartRefused("FILES", str(error)) from error
    send_command(session_id, "start", by, f"session {session.key} started")
    session.refresh_from_db()
    return session


def _tell_guard(spec: SessionSpec, watched: bool) -> None:
    """The guard's own list of what may be trading; it reads the file at every action."""
    targets = [target for target in guard.read_settings(var()) if target.session != spec.id]
    if watched:
        targets.append(guard.Target(session=spec.id, key=spec.key, account=spec.key, venue_socket=spec.venue_socket))
    guard.write_settings(var(), targets)


def pause(session_id: int, by: str, reason: str = "") -> Command:
    """No entries until `resume`; position and bracket stay."""
    return send_command(session_id, "pause", by, reason)


def resume(session_id: int, by: str, reason: str) -> Command:
    """Clear the operator's pause.  A reason is needed (MES-RISK-13)."""
    if not reason.strip():
        raise CommandRefused("NO_REASON", "resume needs a reason")
    return send_command(session_id, "resume", by, reason)


def stop_session(session_id: int, by: str, reason: str = "", key: uuid.UUID | None = None) -> Session:
    """Stop entries, cancel, close; `ended` follows once the venue proved flat.  A second stop asks again."""
    session = Session.objects.get(id=session_id)
    if session.status == states.CREATED:
        advance_session(session, "refuse", reason=f"given up by {by} before it started", ended_at=timezone.now())
    elif _note_stopping(session):
        send_command(session_id, "stop", by, reason, key)
    else:
        raise CommandRefused("STATE", f"session {session.key} is {session.status}")
    session.refresh_from_db()
    return session


def _note_stopping(session: Session) -> bool:
    """Move the row.  With the database locked the command goes all the same; the ledger moves the row when it can."""
    try:
        with short_wait():
            return advance_session(session, "stop", stopping_at=timezone.now())
    except StoreAway:
        return session.status not in states.SESSION_OVER


def finish_if_flat(session_id: int) -> bool:
    """Called every second: deliver a waiting start, and end a stopping session once it is proved flat.

    The loops that trade go first, the sinks when they have read the journal to its end.  True when all is over.
    """
    session = Session.objects.get(id=session_id)
    if session.status == states.STARTING:
        deliver_start(session_id)
        return False
    if session.status == states.STOPPING:
        _end_if_flat(session)
        return False
    _doubt_old_commands(session_id)
    if session.status not in states.SESSION_OVER:
        return False
    now_free = LoopLease.objects.filter(session=session).exclude(loop="sinks").exclude(owner="")
    if now_free.exists() or not _journal_is_read(session):
        return False
    want_loops(session_id, ("sinks",), False)
    return True


def _doubt_old_commands(session_id: int) -> None:
    """A command that the inbox took and that has no receipt by now may have died with Redis: unknown, not accepted."""
    before = timezone.now() - timedelta(seconds=RECEIPT_WITHIN_S)
    waiting = Command.objects.filter(session_id=session_id, state=states.ACCEPTED, accepted_at__lt=before)
    for ref in waiting.values_list("ref", flat=True):
        advance_command(ref, "lost", detail=f"no receipt within {RECEIPT_WITHIN_S:.0f} s; look at the session")


def _end_if_flat(session: Session) -> None:
    done = Command.objects.filter(session=session, kind__in=("stop", "kill"), state=states.DONE).exists()
    if not done or session.key in guard.look(var()):
        return
    if advance_session(session, "flat", ended_at=timezone.now()):
        want_loops(session.id, tuple(loop for loop in LOOPS if loop != "sinks"), False)
        _tell_guard(msgspec.convert(session.spec, SessionSpec), False)


def _journal_is_read(session: Session) -> bool:
    last = JournalReader(session_folder(session.id)).last_seq()
    return not SinkCursor.objects.filter(session=session, seq__lt=last).exists()


def open_account(*, name: str, venue: str, currency: str, balance_micros: int) -> Account:
    """The paper account of this name, made when it does not exist."""
    defaults: dict[str, Any] = {"venue": venue, "currency": currency, "balance_micros": balance_micros}
    account, _ = Account.objects.get_or_create(name=name, defaults=defaults | {"created_at": timezone.now()})
    return account


def demo_account(profile: Profile) -> Account:
    """The paper account that a profile's sessions use unless another is named."""
    return open_account(
        name=f"paper {profile.profile}",
        venue=profile.market.venue,
        currency=profile.market.currency,
        balance_micros=profile.limits()["capital_micros"],
    )
