"""An override in two steps by two persons: one asks with a reason, another agrees within a minute (P-27).

The agreement puts one journaled command into the session's inbox; whether the rule may be let pass, and for how long,
the kernel decides again.  Every step leaves an audit row.  Rights and step-up were checked by the caller: the page.
"""

import uuid
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.utils import timezone

from marketdata.core.records import NO_TIME, new_events
from risk.core.gate import CODE_NAMES, OVERRIDABLE, OVERRIDE_NS_MAX, code_name
from trading.configs import tell_audit
from trading.control import CommandRefused, advance_command, put_events, ref_of, session_folder
from trading.core import states
from trading.core.records import COMMAND, COMMANDS, OVERRIDE
from trading.models import Command, Decision, Session
from trading.overrides.ending import NEVER
from trading.overrides.models import OverrideRequest
from trading.run.clock import ClockMissing, load_clock
from trading.run.spec import load_spec
from trading.run.streams import StreamAway, StreamFull
from trading.services import REASON_MIN

WAIT_S = 60  # how long a request waits for another person
PAGE = 50


class Choice(NamedTuple):
    """A rule that may be let pass."""

    code: int
    name: str
    control: str
    text: str


def choices(rules: int) -> list[Choice]:
    """What may be let pass under this rulebook, in the order of the reasons' numbers."""
    found = sorted((code, rule) for code, rule in OVERRIDABLE.items() if code in CODE_NAMES[rules])
    return [Choice(code, code_name(rules, code), rule.control, rule.text) for code, rule in found]


def ask(session_id: int, instrument: int, code: int, by: str, reason: str) -> OverrideRequest:
    """Store a request; it changes nothing until another person agrees.  Raises CommandRefused."""
    session = Session.objects.get(id=session_id)
    symbols = [item["symbol"] for item in session.spec.get("instruments", [])]
    if session.status != states.RUNNING:
        raise CommandRefused("STATE", f"session {session.key} is {session.status}: only a running one enters")
    if not 0 <= instrument < len(symbols):
        raise CommandRefused("INSTRUMENT", "the session has no such instrument")
    if code not in OVERRIDABLE:
        raise CommandRefused("NOT_OVERRIDABLE", f"{code_name(session.rules, code)} is never let pass")
    if len(reason.strip()) < REASON_MIN:
        raise CommandRefused("NO_REASON", f"an override needs a reason of {REASON_MIN} characters or more")
    with transaction.atomic():
        Session.objects.select_for_update().get(id=session_id)  # one at a time: two would both find that nothing waits
        now = timezone.now()
        if _open(session_id, now).filter(instrument=instrument).exists():
            raise CommandRefused("WAITING", f"a request for {symbols[instrument]} waits already: one at a time")
        row = OverrideRequest.objects.create(
            session=session,
            instrument=instrument,
            symbol=symbols[instrument],
            code=code,
            asked_by=by,
            reason=reason.strip(),
            asked_at=now,
            expires_at=now + timedelta(seconds=WAIT_S),
        )
        tell_audit("control", "override_asked", by, _about(row, session), _told(row))
    return row


def agree(request_id: int, by: str, reason: str) -> tuple[OverrideRequest, Command]:
    """Another person agrees: the command goes out.  Raises CommandRefused, OverrideRequest.DoesNotExist.

    The override is open for a minute of the session's own clock from now on; its receipt follows by the journal.
    """
    if len(reason.strip()) < REASON_MIN:
        raise CommandRefused("NO_REASON", f"an agreement needs a reason of {REASON_MIN} characters or more")
    row = OverrideRequest.objects.select_related("session").get(id=request_id)
    now, key, session = timezone.now(), uuid.uuid4(), row.session
    if session.status != states.RUNNING:
        raise CommandRefused("STATE", f"session {session.key} is {session.status}: only a running one enters")
    event = _event(row, ref_of(key))
    given = {"agreed_by": by, "agreed_reason": reason.strip(), "agreed_at": now, "command_ref": ref_of(key)}
    given["until_ns"] = int(event["until_ns"][0])
    with transaction.atomic():
        waiting = OverrideRequest.objects.filter(id=request_id, agreed_at=None, expires_at__gt=now)
        if waiting.exclude(asked_by=by).update(**given) != 1:
            raise _why_not(row, by)
        for name, value in given.items():
            setattr(row, name, value)
        command = Command.objects.create(
            key=key,
            ref=ref_of(key),
            session=session,
            kind=COMMANDS[OVERRIDE],
            argument=row.code,
            instrument=row.instrument,
            by=by,
            reason=f"{row.asked_by}: {row.reason}; {by}: {row.agreed_reason}"[:500],
            requested_at=now,
        )
        tell_audit("control", "override_agreed", by, _about(row, session), _told(row))
    _deliver(command, event)
    command.refresh_from_db()
    return row, command


def _why_not(row: OverrideRequest, by: str) -> CommandRefused:
    if row.asked_by == by:
        return CommandRefused("SAME_PERSON", "you asked for it yourself: another person must agree")
    if row.agreed_at is not None:
        return CommandRefused("AGREED", f"{row.agreed_by} agreed already")
    return CommandRefused("EXPIRED", f"it waited longer than {WAIT_S} seconds: ask again")


def _event(row: OverrideRequest, ref: int) -> Any:
    """The command as an EVENT (1,).  Raises CommandRefused."""
    try:
        now_ns = load_clock(session_folder(row.session_id)).now()
    except ClockMissing:
        raise CommandRefused("NO_CLOCK", "the session's clock has not begun: it decides nothing") from None
    event = new_events(1)
    event["kind"], event["code"], event["instrument"], event["ref"] = COMMAND, OVERRIDE, row.instrument, ref
    event["value"], event["until_ns"] = row.code, now_ns + OVERRIDE_NS_MAX
    return event


def _deliver(command: Command, event: Any) -> None:
    """Into the inbox, once: what may have arrived is unknown, never sent again."""
    assert command.session_id is not None
    try:
        put_events(load_spec(session_folder(command.session_id)), event)
        advance_command(command.ref, "sent", accepted_at=timezone.now())
    except StreamFull as error:
        advance_command(command.ref, "not_sent", detail=str(error)[:500], finished_at=timezone.now())
    except StreamAway as error:
        advance_command(command.ref, "lost", detail=f"it may be open or not: {error}"[:500])


def _about(row: OverrideRequest, session: Session) -> str:
    return f"{session.key} {row.symbol} {code_name(session.rules, row.code)}"


def _told(row: OverrideRequest) -> dict[str, object]:
    found: dict[str, object] = {"request": row.id, "asked_by": row.asked_by, "reason": row.reason}
    if row.agreed_at is not None:
        found |= {"agreed_by": row.agreed_by, "agreed_reason": row.agreed_reason, "command": row.command_ref}
    return found | {"rule": OVERRIDABLE[row.code].text, "control": OVERRIDABLE[row.code].control}


def _open(session_id: int, now: Any) -> Any:
    return OverrideRequest.objects.filter(session_id=session_id, agreed_at=None, expires_at__gt=now)


def waiting(session_id: int) -> list[OverrideRequest]:
    """Requests that another person may still agree to, the newest first."""
    return list(_open(session_id, timezone.now()).order_by("-id"))


def history(session: Session, first: int = 0, limit: int = PAGE) -> tuple[list[dict[str, Any]], int | None]:
    """Requests from the `first` on, the newest first, each with what became of it, and where the next page begins."""
    rows = list(OverrideRequest.objects.filter(session=session).order_by("-id")[first : first + limit + 1])
    refs = [row.command_ref for row in rows[:limit] if row.command_ref is not None]
    commands = {command.ref: command for command in Command.objects.filter(ref__in=refs)}
    used = {row.override_ref: row for row in Decision.objects.filter(session=session, override_ref__in=refs)}
    now, now_ns = timezone.now(), _now_ns(session)
    found = [_shown(row, session, commands, used, now, now_ns) for row in rows[:limit]]
    return found, first + limit if len(rows) > limit else None


def _now_ns(session: Session) -> int:
    """Session time, ns UTC: NEVER when it is over, NO_TIME when nobody knows it."""
    if session.status in states.SESSION_OVER:
        return NEVER
    try:
        return load_clock(session_folder(session.id)).now()
    except ClockMissing:
        return NO_TIME


def _shown(
    row: OverrideRequest,
    session: Session,
    commands: dict[int, Command],
    used: dict[int, Decision],
    now: datetime,
    now_ns: int,
) -> dict[str, Any]:
    """Once its end has come it is not used, however it ended; a decision that the ledger had late still corrects it."""
    decision = used.get(row.command_ref or 0)
    command = commands.get(row.command_ref or 0)
    state = "waiting" if row.agreed_at is None and row.expires_at > now else "expired"
    if command is not None:
        state = command.state if command.state != states.DONE else "opened"
    if state == "opened" and (row.unused_at is not None or (row.until_ns or 0) <= now_ns):
        state = "not used"
    if decision is not None:
        state = "used"
    return {
        "row": row,
        "name": code_name(session.rules, row.code),
        "state": state,
        "detail": "" if command is None else command.detail,
        "seq": None if decision is None else decision.seq,
        "used_us": None if decision is None else decision.ts_ns // 1000,
        "verdict": "" if decision is None else code_name(session.rules, decision.code),
    }
