"""Commands on their way to a session: send, kill, unlock.  Reductions need no database, and write their rows later.

A command reaches the ring as one journaled event; its key makes a repeated request the same command, its `ref` is made
from the key, so that no row is needed to send it.  The kill latches first, takes the ring's road, and the guard's
unless the venue proves flat in time.  Called by services and commands; the rights were checked by the caller.
"""

import contextlib
import json
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from marketdata.core.records import ACCOUNT_SCOPE, NO_TIME, new_events
from risk.core.holds import BIT
from trading.core import states
from trading.core.records import COMMAND, COMMANDS
from trading.leases import short_wait
from trading.models import Command, Session
from trading.news.windows import opening_news
from trading.run import guard
from trading.run.clock import ClockMissing, load_clock, write_atomic
from trading.run.latch import write_latch
from trading.run.loops import StoreAway
from trading.run.spec import SessionSpec, SpecError, load_spec
from trading.run.streams import INBOX, Stream, StreamAway, StreamFull, make_client

CODE_OF = {name: code for code, name in COMMANDS.items()}
# these never wait for the database
REDUCING = ("pause", "cancel_all", "flatten", "stop", "kill", "lock", "move_stop", "move_target")
FLAT_WAIT_S = 1.0  # the ring's road; then the guard's
LOOK_S = 0.01
REDIS_WAIT_S = 0.5  # a Redis that hangs must not hold up a kill
RECEIPT_WAIT_S = 5.0


class CommandRefused(ValueError):
    """A command that cannot be given now; `code` for tables, the text for people."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


class Step(NamedTuple):
    """One step of a kill."""

    name: str
    ms: float
    ok: bool
    detail: str = ""


class KillReport(NamedTuple):
    """What a kill did.  `flat`: proved by the venue for every session."""

    road: str  # "ring", "guard", "both" or "none" (nothing ran)
    flat: bool
    ms: float
    steps: list[Step]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self._asdict() | {"steps": [step._asdict() for step in self.steps]}


def session_folder(session_id: int) -> Path:
    """Where a session's spec, clock, journal and snapshots lie."""
    return Path(settings.VAR) / "sessions" / str(session_id)


def ref_of(key: uuid.UUID) -> int:
    """63 bits of the key: positive, and the same for the same key."""
    return (key.int >> 65) or 1


def var() -> Path:
    """The runtime folder."""
    return Path(settings.VAR)


def running_specs() -> list[SessionSpec]:
    """Specs of the sessions that the guard watches: from files, so that no database is needed."""
    return [load_spec(session_folder(target.session)) for target in guard.read_settings(var())]


def specs_found() -> tuple[list[SessionSpec], list[tuple[str, str]]]:
    """`running_specs` as far as they can be read, and (what, why) of each that cannot: one must not stop the rest."""
    try:
        targets = guard.read_settings(var())
    except (OSError, ValueError) as error:
        return [], [("the guard's list", str(error))]
    found: list[SessionSpec] = []
    faults: list[tuple[str, str]] = []
    for target in targets:
        try:
            found.append(load_spec(session_folder(target.session)))
        except (SpecError, OSError, ValueError) as error:
            faults.append((f"{target.key}: its spec", str(error)))
    return found, faults


# one command


def put(spec: SessionSpec, kind: str, ref: int, argument: int = 0, instrument: int = ACCOUNT_SCOPE) -> None:
    """Put a COMMAND event into the inbox; ahead of a start, the event list (NEWS).

    Raises StreamAway, StreamFull; StoreAway for a start whose list cannot be read.
    """
    event = new_events(1)
    event["kind"], event["code"], event["instrument"] = COMMAND, CODE_OF[kind], instrument
    event["ref"], event["value"] = ref, argument
    before: list[np.ndarray] = []
    if kind == "start":
        with short_wait():
            before = opening_news(spec, _now(spec))
    put_events(spec, np.concatenate([*before, event]))


def _now(spec: SessionSpec) -> int:
    """Session time; before the clock is stamped NO_TIME, which is never newer than what the kernel knows."""
    try:
        return load_clock(session_folder(spec.id)).now()
    except ClockMissing:
        return NO_TIME


def put_events(spec: SessionSpec, events: np.ndarray) -> None:
    """Stamp EVENTs with the session's time and put them into its inbox as one entry: all or none.

    Raises StreamAway, StreamFull.
    """
    events["ts_ns"] = _now(spec)
    events["ts_venue_ns"] = events["ts_ns"]
    client = make_client(spec.redis_url)
    client.connection_pool.connection_kwargs.update(socket_timeout=REDIS_WAIT_S, socket_connect_timeout=REDIS_WAIT_S)
    try:
        Stream(client, spec.key, INBOX).append(events, fence=0, loop="desk")
    finally:
        client.close()


def send_command(
    session_id: int,
    kind: str,
    by: str,
    reason: str = "",
    key: uuid.UUID | None = None,
    argument: int = 0,
    instrument: int = ACCOUNT_SCOPE,
) -> Command:
    """Give a session a command, once per `key`.  Returns its row; unsaved (pk None) while the database is away.

    Raises CommandRefused for an unknown kind or session, or a command that the session's state does not take.
    """
    key = key or uuid.uuid4()
    if kind not in CODE_OF:
        raise CommandRefused("UNKNOWN_COMMAND", f"{kind!r} is no command; known: {', '.join(CODE_OF)}")
    try:
        spec = load_spec(session_folder(session_id))
    except SpecError:
        raise CommandRefused("UNKNOWN_SESSION", f"session {session_id} was never started") from None
    row = Command(key=key, ref=ref_of(key), session_id=session_id, kind=kind, by=by, reason=reason, argument=argument)
    row.instrument, row.requested_at = instrument, timezone.now()
    try:
        with short_wait(), transaction.atomic():
            known, made = Command.objects.get_or_create(key=key, defaults=_fields(row))
        if not made:
            return known
        row = known
    except StoreAway as error:
        if kind not in REDUCING:
            raise CommandRefused("DATABASE_AWAY", f"{kind} waits for the database: {error}") from error
        _remember(row)
    _deliver(row, spec)
    return row


def _fields(row: Command) -> dict[str, Any]:
    names = ("ref", "session_id", "kind", "by", "reason", "argument", "instrument", "requested_at")
    return {name: getattr(row, name) for name in (*names, "state", "detail", "road", "steps")}


def _deliver(row: Command, spec: SessionSpec) -> None:
    try:
        put(spec, row.kind, row.ref, row.argument, row.instrument)
        row.state, row.detail = states.ACCEPTED, ""
        _note(row, "sent", accepted_at=timezone.now())
    except (StreamAway, StreamFull, StoreAway) as error:
        row.state, row.detail = states.COMMAND_FAILED, str(error)[:500]
        if row.kind != "start":  # a start is delivered as soon as the loops are up
            _note(row, "not_sent", detail=row.detail, finished_at=timezone.now())
        else:
            row.state = states.REQUESTED


def deliver_start(session_id: int) -> bool:
    """Deliver a start that waits for the loops.  True when there was one and it went out."""
    row = Command.objects.filter(session_id=session_id, kind="start", state=states.REQUESTED).order_by("id").first()
    if row is None:
        return False
    _deliver(row, load_spec(session_folder(session_id)))
    return row.state == states.ACCEPTED


def _note(row: Command, trigger: str, **fields: Any) -> None:
    """Move the stored command; while the database is away the late file holds it."""
    if row.pk is None:
        return
    try:
        with short_wait():
            advance_command(row.ref, trigger, **fields)
    except StoreAway:
        _remember(row)


def advance_command(ref: int, trigger: str, **fields: Any) -> bool:
    """Move a command by its table; False when the table has no row for its state."""
    rows = states.before(states.COMMAND, trigger)
    return sum(Command.objects.filter(ref=ref, state=old).update(state=new, **fields) for old, new in rows.items()) > 0


def advance_session(session: Session, trigger: str, **fields: Any) -> bool:
    """Move a session by its table; False when the table has no row for its state."""
    rows = states.before(states.SESSION, trigger)
    changed = (
        Session.objects.filter(id=session.id, status=old).update(status=new, **fields) for old, new in rows.items()
    )
    return any(count == 1 for count in changed)


# rows that waited for the database


def _late_folder() -> Path:
    folder = Path(settings.VAR) / "late"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _remember(row: Command) -> None:
    values = _fields(row) | {"requested_at": row.requested_at.isoformat(), "key": str(row.key)}
    write_atomic(_late_folder() / f"{row.key}.json", json.dumps(values).encode())


def write_late() -> int:
    """Write the rows of commands that were given while the database was away.  Returns how many."""
    written = 0
    for path in sorted(_late_folder().glob("*.json")):
        values = json.loads(path.read_text())
        values["requested_at"] = datetime.fromisoformat(values["requested_at"])
        Command.objects.update_or_create(
            ref=values["ref"],
            defaults={k: values[k] for k in ("by", "reason", "road", "steps")},
            create_defaults=values,
        )
        transaction.on_commit(lambda path=path: path.unlink(missing_ok=True))  # type: ignore[misc]
        written += 1
    return written


# kill and unlock


class _Watch:
    """Steps with their times."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.steps: list[Step] = []

    def ms(self) -> float:
        return round((time.perf_counter() - self.started) * 1000, 3)

    def add(self, name: str, ok: bool, detail: str = "") -> None:
        self.steps.append(Step(name, self.ms(), ok, detail))


def kill(
    by: str,
    reason: str,
    scope: str = "desk",
    second_road: Callable[[str, str], dict[str, Any]] | None = None,
    wait_s: float = FLAT_WAIT_S,
) -> KillReport:
    """Latch, cancel and close everything, and have the venue prove it: the ring's road, else the guard's (K-02).

    Needs no database and no Redis.  `second_road(by, reason)`: default the guard's process, else this one.
    """
    if scope != "desk":
        raise CommandRefused("UNKNOWN_SCOPE", f"scope {scope!r} is unknown; known: desk")
    watch = _Watch()
    fault = str(write_latch(var(), by, reason).get("fault", ""))
    watch.add("latched", fault == "", fault)
    specs, faults = specs_found()
    for name, why in faults:
        watch.add(name, False, why)
    rows = [_kill_row(spec, by, reason) for spec in specs]
    sent = [_kill_by_ring(row, spec, watch) for row, spec in zip(rows, specs, strict=True)]
    flat = not faults and all(sent) and _wait_flat(watch, wait_s)
    road = "ring" if specs else "none"
    if not flat:
        answer = guard.guard_kill(var(), by, reason) if second_road is None else second_road(by, reason)
        flat = bool(answer["flat"])
        watch.add(
            "by the guard", flat, str({k: answer.get(k) for k in ("road", "ms", "cancelled", "closed", "residual")})
        )
        road = "both" if any(sent) else "guard"
    report = KillReport(road, flat, watch.ms(), watch.steps)
    for row in rows:
        _write_kill(row, report)
    return report


def _kill_row(spec: SessionSpec, by: str, reason: str) -> Command:
    key = uuid.uuid4()
    row = Command(key=key, ref=ref_of(key), session_id=spec.id, kind="kill", by=by, reason=reason)
    row.requested_at = timezone.now()
    return row


def _kill_by_ring(row: Command, spec: SessionSpec, watch: _Watch) -> bool:
    try:
        put(spec, "kill", row.ref)
    except (StreamAway, StreamFull) as error:
        watch.add(f"{spec.key} by the ring", False, str(error))
        return False
    watch.add(f"{spec.key} by the ring", True)
    return True


def _wait_flat(watch: _Watch, wait_s: float) -> bool:
    """Ask the venue until it shows nothing held, working or on its way."""
    deadline = time.monotonic() + wait_s
    while left := guard.look(var()):
        if time.monotonic() > deadline:
            watch.add("flat at the venue", False, str(left))
            return False
        time.sleep(LOOK_S)
    watch.add("flat at the venue", True)
    return True


def _write_kill(row: Command, report: KillReport) -> None:
    """The command's row, after the deed.  The follower may have made it from the journal, under the same ref."""
    row.state = states.DONE if report.flat else states.UNKNOWN
    row.road, row.steps = report.road, [step._asdict() for step in report.steps]
    row.detail = "" if report.flat else "flat is not proved"
    try:
        with short_wait(), transaction.atomic():
            changes = {name: value for name, value in _fields(row).items() if name not in ("ref", "session_id", "kind")}
            Command.objects.update_or_create(
                ref=row.ref, defaults=changes, create_defaults=_fields(row) | {"key": row.key}
            )
    except StoreAway:
        with contextlib.suppress(OSError):  # the evidence has it; a full disk must not turn a kill into an error
            _remember(row)


def unlock(by: str, reason: str) -> None:
    """Clear the latch: journaled commands first, then the file.

    Every session is paused before its kill is lifted: nothing trades by itself afterwards (K-05), a person resumes.
    Every other hold stays: who lifts a kill has not looked at an unreadable state or a naked position.

    Raises CommandRefused: no latch, too young, no real reason, flat not proved, or a session refused (K-05).
    """

    def journal(by: str, reason: str) -> None:
        for spec in running_specs():
            _await_receipt(send_command(spec.id, "pause", by, reason))
            _await_receipt(send_command(spec.id, "reset_halt", by, reason, argument=1 << BIT["KILL_SWITCH"]))

    try:
        guard.unlock(var(), by, reason, journal)
    except guard.UnlockRefused as error:
        raise CommandRefused("UNLOCK_REFUSED", str(error)) from None


def _await_receipt(command: Command) -> None:
    deadline = time.monotonic() + RECEIPT_WAIT_S
    while time.monotonic() < deadline:
        command.refresh_from_db()
        if command.state in (states.DONE, states.REFUSED, states.COMMAND_FAILED):
            break
        time.sleep(5 * LOOK_S)
    if command.state != states.DONE:
        words = f"the session answered {command.state!r} to {command.kind}; the latch stays"
        raise CommandRefused("RESET_REFUSED", words)
