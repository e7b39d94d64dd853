"""What the desk does to sessions: make, start, stop, end.  Views and commands call these, one call each.

A start is refused with a code and a sentence before anything is written; a session ends only after the venue proved
flat.  The mode is chosen here, once, and nowhere in `core/`.  Commands, kill and unlock are in `control`, offered here.
"""

import contextlib
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
from django.db import transaction
from django.utils import timezone

from trading.accounts.past import AccountBusy, find_past, going_on, newest
from trading.configs import ConfigError, Profile, profile_of
from trading.control import (
    CommandRefused,
    KillReport,
    advance_command,
    advance_session,
    deliver_start,
    kill,
    send_command,
    session_folder,
    specs_found,
    unlock,
    var,
)
from trading.core import states
from trading.leases import short_wait, want_loops
from trading.models import Account, Command, ConfigVersion, LoopLease, Session, SinkCursor
from trading.preflight.inputs import inputs_of
from trading.preflight.planning import StartRefused, plan_session
from trading.run import guard
from trading.run.clock import CLOCK_FILE
from trading.run.context import LOOPS
from trading.run.journal.reader import JournalReader
from trading.run.latch import read_latch
from trading.run.loops import StoreAway
from trading.run.spec import (
    FeedSpec,
    ScorerSpec,
    SessionSpec,
    SpecError,
    save_spec,
)
from trading.run.versions import note_name
from trading.selectors import positions
from trading.statements import services as statements

__all__ = [
    "CommandRefused",
    "KillReport",
    "StartRefused",
    "create_session",
    "finish_if_flat",
    "give_up",
    "kill",
    "pause",
    "plan_session",
    "resume",
    "send_command",
    "session_folder",
    "specs_found",
    "start_session",
    "stop_session",
    "store_session",
    "unlock",
    "var",
]  # fmt: skip
RECEIPT_WITHIN_S = 30.0
REASON_MIN = 10  # characters, to lift a halt
HALF_START_S = 30.0  # a start writes its files and wants its loops in moments


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
    spec = plan_session(
        account=account,
        version=version,
        profile=profile,
        feed=going_on(account, mode, profile, feed),
        scorer=scorer,
        mode=mode,
        capital_micros=capital_micros,
    )
    return store_session(spec, account, version, by)


def store_session(spec: SessionSpec, account: Account, version: ConfigVersion, by: str) -> Session:
    """Store a planned session under its own id and key, with its inputs by hash.  Raises StartRefused."""
    try:
        inputs = inputs_of(spec)
    except OSError as error:
        raise StartRefused("INPUTS", f"an input cannot be read: {error}") from None
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
        session.key, session.spec = spec.key, msgspec.to_builtins(spec) | {"inputs": inputs}
        session.save(update_fields=["key", "spec"])
        ConfigVersion.objects.filter(id=version.id, used_at=None).update(used_at=timezone.now())
    return session


# start, stop, end


def start_session(session_id: int, by: str) -> Session:
    """Write the session's files, tell the guard, want its loops and give the start.  Raises StartRefused.

    It opens with what the last session of its account left (`past`): the spec learns it here, and never changes after.
    """
    session = Session.objects.select_related("version", "account").get(id=session_id)
    spec = msgspec.convert(session.spec, SessionSpec)
    if read_latch(var()) is not None:
        raise StartRefused("LATCHED", "the kill latch stands: clear it before a session starts")
    try:
        if profile_of(session.version).profile != spec.profile:
            raise StartRefused("PROFILE", f"session {session.key} was made with another profile")
    except ConfigError as error:
        raise StartRefused("CONFIG", str(error)) from None
    spec = _continue(session, spec, by)
    try:
        save_spec(session_folder(session_id), spec)
        note_name(session_folder(session_id), session.version_id, str(session.version))
        tell_guard(spec, True)
        _want(session)
    except Exception as error:  # whatever it was: half a start would keep the account, and the guard would ask for it
        with contextlib.suppress(OSError):
            tell_guard(spec, False)
        advance_session(session, "refuse", reason=str(error)[:500])
        want_loops(session_id, LOOPS, False)
        if isinstance(error, (OSError, SpecError)):
            raise StartRefused("FILES", str(error)) from error
        raise
    send_command(session_id, "start", by, f"session {session.key} started")
    session.refresh_from_db()
    return session


def _want(session: Session) -> None:
    """Want its loops, unless somebody gave the session up meanwhile.  Raises StartRefused."""
    with transaction.atomic():
        if Session.objects.select_for_update().get(id=session.id).status in states.SESSION_OVER:
            raise StartRefused("STATE", f"session {session.key} was given up meanwhile")
        want_loops(session.id, LOOPS, True)


def _continue(session: Session, spec: SessionSpec, by: str) -> SessionSpec:
    """Take the account: the session starts, and its spec names what it opens with.  Raises StartRefused.

    The past is read before the transaction, which only looks whether the account is still as it was.
    """
    if session.status != states.CREATED:
        raise StartRefused("STATE", f"session {session.key} is {session.status}: only a new one can start")
    account = session.account
    seen = newest(account, spec, session.id)
    try:
        past = find_past(account, spec, session.id)
    except AccountBusy as error:
        raise StartRefused("ACCOUNT_BUSY", str(error)) from None
    balance = spec.capital_micros if past is None or past.fault else past.figures["balance_micros"]
    spec = msgspec.structs.replace(spec, past=past, capital_micros=balance)
    with transaction.atomic():
        Account.objects.select_for_update().get(id=account.id)  # one start of an account at a time
        if newest(account, spec, session.id) != seen:
            raise StartRefused("ACCOUNT_BUSY", f"another session took account {account.name} meanwhile: try again")
        stored = msgspec.to_builtins(spec) | {"inputs": session.spec.get("inputs", {})}
        if not advance_session(session, "start", started_by=by, started_at=timezone.now(), spec=stored):
            raise StartRefused("STATE", f"session {session.key} was started meanwhile")
    return spec


def tell_guard(spec: SessionSpec, watched: bool) -> None:
    """The guard's own list of what may be trading; it reads the file at every action."""
    target = guard.Target(session=spec.id, key=spec.key, account=spec.key, venue_socket=spec.venue_socket)
    guard.watch(var(), target, watched)


def pause(session_id: int, by: str, reason: str = "") -> Command:
    """No entries until `resume`; position and bracket stay."""
    return send_command(session_id, "pause", by, reason)


def resume(session_id: int, by: str, reason: str) -> Command:
    """Clear the operator's pause.  A reason is needed (MES-RISK-13)."""
    if not reason.strip():
        raise CommandRefused("NO_REASON", "resume needs a reason")
    return send_command(session_id, "resume", by, reason)


def pause_first(session_id: int, by: str, reason: str) -> None:
    """The inbox keeps their order: a pause that is in comes before what follows it.  Raises CommandRefused."""
    paused = pause(session_id, by, reason)
    if paused.state not in (states.ACCEPTED, states.DONE):
        words = f"the session could not be paused first ({paused.detail}): nothing was lifted"
        raise CommandRefused("NOT_PAUSED", words)


def stop_session(session_id: int, by: str, reason: str = "", key: uuid.UUID | None = None) -> Session:
    """Stop entries, cancel, close; `ended` follows once the venue proved flat.  A second stop asks again."""
    session = Session.objects.get(id=session_id)
    if session.status == states.CREATED:
        advance_session(session, "refuse", reason=f"given up by {by} before it started", ended_at=timezone.now())
    elif _is_half_started(session) and give_up(session_id, f"stopped by {by}", "its start was cut off"):
        pass  # no loop was there that could have taken the command
    elif _note_stopping(session):
        send_command(session_id, "stop", by, reason, key)
    else:
        raise CommandRefused("STATE", f"session {session.key} is {session.status}")
    session.refresh_from_db()
    return session


def _is_half_started(session: Session) -> bool:
    """The process that started it died before any loop was wanted: nothing will ever take a command of it."""
    if session.status not in (states.STARTING, states.STOPPING) or session.started_at is None:
        return False
    young = timezone.now() - session.started_at < timedelta(seconds=HALF_START_S)
    leases = LoopLease.objects.filter(session=session)
    return not young and not (leases.filter(desired=True).exists() or leases.exclude(owner="").exists())


def _note_stopping(session: Session) -> bool:
    """Move the row.  With the database locked the command goes all the same; the ledger moves the row when it can."""
    try:
        with short_wait():
            return advance_session(session, "stop", stopping_at=timezone.now())
    except StoreAway:
        return session.status not in states.SESSION_OVER


def give_up(session_id: int, why: str, what: str = "feed") -> bool:
    """A session whose tape cannot be opened, or whose start was cut off, and which has no clock has failed.

    Without a clock there is no kernel, no account at the venue and no order: nothing can be held.  False for one with a
    clock: its loop is tried again, for a position may depend on it, and entries wait meanwhile.  May be repeated.
    """
    if (session_folder(session_id) / CLOCK_FILE).exists():
        return False
    session = Session.objects.get(id=session_id)
    with transaction.atomic():
        fields = {"reason": f"{what}: {why}"[:500], "ended_at": timezone.now()}
        if not (advance_session(session, "refuse", **fields) or advance_session(session, "fail", **fields)):
            session.refresh_from_db()
            if session.status != states.FAILED:
                return False
        want_loops(session_id, LOOPS, False)
        waiting = Command.objects.filter(session=session, state=states.REQUESTED)
        for ref in list(waiting.values_list("ref", flat=True)):
            advance_command(ref, "not_sent", detail="the session failed before it started")
    tell_guard(msgspec.convert(session.spec, SessionSpec), False)
    return True


def finish_if_flat(session_id: int, state_end: Callable[[int], bool] = statements.take_last) -> bool:
    """Called every second: deliver a waiting start, and end a stopping session once it is proved flat.

    The loops that trade go first, the sinks when they have read the journal to its end and `state_end` has had the
    venue's last word taken (T-03); it says False while that is to be tried again.  True when all is over.
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
    if now_free.exists() or not _journal_is_read(session) or not state_end(session_id):
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
    """Proved flat by the venue, and shown flat by the ledger, whose last fills may still be on their way."""
    done = Command.objects.filter(session=session, kind__in=("stop", "kill"), state=states.DONE).exists()
    if not done or session.key in guard.look(var()) or any(row["qty"] for row in positions(session.id)):
        return
    if advance_session(session, "flat", ended_at=timezone.now()):
        want_loops(session.id, tuple(loop for loop in LOOPS if loop != "sinks"), False)
        tell_guard(msgspec.convert(session.spec, SessionSpec), False)


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
