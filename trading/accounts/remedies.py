"""What only a person can do for an account: lift holds by name, state figures that nobody could read, book money, give
a session up, lock themselves out or pause for a while.

All but the lock and the pause need a reason and leave an audit row; none of it lets anything trade by itself.  The
rights were checked by the caller.  Called by pages and `manage.py sessions`.
"""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from django.db import transaction
from django.utils import timezone

from marketdata.core.units import NANOS
from risk.core.holds import BIT
from risk.core.records import MES, MOEX
from trading.configs import tell_audit
from trading.control import (
    CommandRefused,
    advance_command,
    advance_session,
    put_events,
    ref_of,
    send_command,
    session_folder,
    var,
)
from trading.core import states
from trading.core.past import FIGURE_MOST, STATED
from trading.core.records import TRANSFER
from trading.leases import want_loops
from trading.models import TRANSFER as ASKED
from trading.models import Command, Session
from trading.run import guard
from trading.run.clock import ClockMissing, load_clock
from trading.run.context import LOOPS
from trading.run.journal.recovery import account_event
from trading.run.latch import read_latch
from trading.run.spec import SessionSpec, load_spec, statement
from trading.run.streams import StreamAway, StreamFull
from trading.selectors import halt_bits, live_symbols, named_bits, positions, standing_holds
from trading.services import REASON_MIN, pause_first, tell_guard

DAY_LOSS = "DAILY_LOSS"
LOCK_DAYS_MAX = 366
LOCK_NS_MAX = LOCK_DAYS_MAX * 86_400 * NANOS


def _reason(reason: str, what: str) -> None:
    if len(reason.strip()) < REASON_MIN:
        raise CommandRefused("NO_REASON", f"{what} needs a reason of {REASON_MIN} characters or more")


def state_figures(session_id: int, figures: dict[str, int], by: str, reason: str) -> Command:
    """A person states what nobody could read, in micros; it lifts STATE_UNREADABLE, and the session stays paused.

    Needed: balance, peak, reference and today's net: what is left of the day counts from it.  Raises CommandRefused.
    """
    _reason(reason, "a statement")
    if set(figures) != set(STATED):
        raise CommandRefused("FIGURES", f"state exactly these, in micros: {', '.join(STATED)}")
    if any(abs(value) >= FIGURE_MOST for value in figures.values()):
        raise CommandRefused("FIGURES", "more money than the desk can count")
    if figures["peak_micros"] < figures["balance_micros"]:
        raise CommandRefused("FIGURES", "the peak is the highest balance: it is not below the present one")
    if all(hold["code"] != "STATE_UNREADABLE" for hold in standing_holds(session_id)):
        raise CommandRefused("UNKNOWN_HOLD", "STATE_UNREADABLE does not stand: figures are stated under it alone")
    held = [row["symbol"] for row in positions(session_id) if row["qty"] != 0] or live_symbols(session_id)
    if held:
        raise CommandRefused("NOT_FLAT", f"figures are stated when all is flat: {', '.join(held)} is held or works")
    spec = load_spec(session_folder(session_id))
    pause_first(session_id, by, reason)
    try:
        put_events(spec, statement(figures))
    except (StreamAway, StreamFull) as error:
        raise CommandRefused("NOT_SENT", f"nothing was stated: {error}") from None
    tell_audit("control", "figures_stated", by, f"s{session_id}", {**figures, "reason": reason})
    return send_command(session_id, "reset_halt", by, reason, argument=1 << BIT["STATE_UNREADABLE"])


def lift(session_id: int, codes: Sequence[str], by: str, reason: str, *, day_loss: bool = False) -> list[Command]:
    """Lift the named holds; the session is paused first, and nothing trades until somebody resumes it.

    Halts go by a reset, which the kernel refuses while the account is not flat (MES-RISK-13), the others of shares by
    a resume with their names (MOEX-RISK-06).  `day_loss`: the caller checked that an admin asks, so that the day's loss
    of shares is one of them.  Raises CommandRefused, and nothing is sent: a short reason, a code that nobody lifts so.
    """
    _reason(reason, "lifting a hold")
    session = Session.objects.get(id=session_id)
    halts, named = halt_bits(session.rules), named_bits(session.rules)
    if day_loss and clears_day(session):
        named |= {DAY_LOSS: BIT[DAY_LOSS]}
    wrong = [code for code in codes if code not in halts | named]
    if wrong or not codes:
        what = f"{', '.join(wrong)} cannot be lifted by name" if wrong else "nothing was named"
        raise CommandRefused("UNKNOWN_HOLD", f"{what}; holds that can: {', '.join(halts | named)}")
    pause_first(session_id, by, reason)
    sent = []
    for kind, bits in (("resume", named), ("reset_halt", halts)):
        if mask := sum(1 << bits[code] for code in set(codes) if code in bits):
            sent.append(send_command(session_id, kind, by, reason, argument=mask))
    return sent


def clears_day(session: Session) -> bool:
    """Whether an admin may clear DAILY_LOSS of this session: shares whose day counts open money (MOEX-RISK-05)."""
    return session.rules == MOEX and session.spec.get("limits", {}).get("day_loss_open") == 1


def transfer(
    session_id: int, amount_micros: int, by: str, reason: str, key: uuid.UUID | None = None
) -> tuple[Command, bool]:
    """Money that a person books in or out of the account of a running session (MES-RISK-01), once per `key`.

    Balance, reference and peaks move alike, so no limit is nearer or farther by it, and it is no part of the day's net.
    Returns its row, done when the journal shows it, and whether this call made it.  Raises CommandRefused.
    """
    _reason(reason, "a transfer")
    if amount_micros == 0 or abs(amount_micros) >= FIGURE_MOST:
        raise CommandRefused("AMOUNT", "a transfer is an amount of money other than 0")
    session = Session.objects.get(id=session_id)
    if session.status != states.RUNNING:
        raise CommandRefused("STATE", f"session {session.key} is {session.status}: money moves in a running one")
    key = key or uuid.uuid4()
    asked = {"session_id": session_id, "kind": ASKED, "argument": amount_micros, "by": by}
    stored = asked | {"ref": ref_of(key), "reason": reason, "requested_at": timezone.now()}
    with transaction.atomic():
        row, made = Command.objects.get_or_create(key=key, defaults=stored)
    if made:
        _book(row, session)
    elif any(getattr(row, name) != value for name, value in asked.items()):
        raise CommandRefused("KEY", "another transfer was asked for from this page: read it again")
    return row, made


def _book(row: Command, session: Session) -> None:
    """Put the money into the inbox; what may have arrived is unknown, never failed.  Raises CommandRefused."""
    event = account_event(TRANSFER, 0, 0, value=row.argument)
    event["ref"] = row.ref
    try:
        put_events(load_spec(session_folder(session.id)), event)
        advance_command(row.ref, "sent", accepted_at=timezone.now())
    except StreamFull as error:
        advance_command(row.ref, "not_sent", detail=str(error)[:500], finished_at=timezone.now())
        raise CommandRefused("NOT_SENT", f"nothing was moved: {error}") from None
    except StreamAway as error:
        advance_command(row.ref, "lost", detail=f"it may be booked or not: {error}"[:500])
    row.refresh_from_db()
    tell_audit("control", "transferred", row.by, session.key, {"amount_micros": row.argument, "reason": row.reason})


def lock_out(session_id: int, until_ns: int, by: str, reason: str = "", key: uuid.UUID | None = None) -> Command:
    """Nobody enters before `until_ns` of the session's own clock, and what is held is closed (OPERATOR_LOCK).

    It reduces, so it asks for nothing and no database.  Nothing shortens it: under a later end that stands already the
    kernel keeps that one.  The next session of the account keeps its hour.  Raises CommandRefused.
    """
    _ends(session_id, until_ns, "a lock")
    return send_command(session_id, "lock", by, reason, key, argument=until_ns)


def pause_until(session_id: int, until_ns: int, by: str, reason: str = "", key: uuid.UUID | None = None) -> Command:
    """No entries before `until_ns` of the session's own clock, or until somebody resumes (MOEX-RISK-06, shares alone).

    It reduces: neither a reason nor the database is needed.  Under a pause without an end, or with a later one, the
    kernel keeps that one.  Raises CommandRefused.
    """
    _ends(session_id, until_ns, "a pause")
    if load_spec(session_folder(session_id)).limits.get("rules", MES) != MOEX:
        raise CommandRefused("RULES", "only a pause of shares has an end: of futures somebody resumes")
    return send_command(session_id, "pause", by, reason, key, argument=until_ns)


def _ends(session_id: int, until_ns: int, what: str) -> None:
    """Raises CommandRefused, unless that is ahead of the session's clock and within a year."""
    try:
        now_ns = load_clock(session_folder(session_id)).now()
    except ClockMissing:
        raise CommandRefused("NOT_STARTED", f"session {session_id} has no clock yet: it holds nothing") from None
    if not now_ns < until_ns <= now_ns + LOCK_NS_MAX:
        here = datetime.fromtimestamp(now_ns // NANOS, UTC).isoformat()
        raise CommandRefused("UNTIL", f"{what} ends after the session's clock, {here}, and within {LOCK_DAYS_MAX} days")


def abandon(session_id: int, by: str, reason: str) -> Session:
    """Give up a session that can never end: its journal no longer replays, so its loops cannot take a stop.

    Under the kill latch alone, and once the venue shows nothing of it.  The next session of its account opens with what
    the journal still tells, which may be nothing: STATE_UNREADABLE.  Raises CommandRefused.
    """
    _reason(reason, "giving a session up")
    session = Session.objects.get(id=session_id)
    spec = msgspec.convert(session.spec, SessionSpec)  # the row's: the folder may be what is gone
    if session.status in (states.CREATED, *states.SESSION_OVER):
        raise CommandRefused("STATE", f"session {session.key} is {session.status}")
    if read_latch(var()) is None:
        raise CommandRefused(
            "NOT_LATCHED", "kill first: a session is given up under the latch, so that it sends nothing"
        )
    if session.key in guard.look(var()):
        raise CommandRefused("NOT_FLAT", f"the venue does not prove {session.key} flat")
    fields = {"reason": f"given up by {by}: {reason}"[:500], "ended_at": timezone.now()}
    if not (advance_session(session, "fail", **fields) or advance_session(session, "refuse", **fields)):
        raise CommandRefused("STATE", f"session {session.key} changed meanwhile: look again")
    want_loops(session_id, LOOPS, False)
    tell_guard(spec, False)
    tell_audit("control", "abandoned", by, session.key, {"reason": reason})
    session.refresh_from_db()
    return session
