"""/sessions/N/override/: two persons let a rule pass once; one alone never, and nobody late (P-27, MOEX-SEC-04)."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from desk.accounts.roles import ADMIN, OPERATOR, VIEWER, make_roles
from desk.alerts.kinds import OVERRIDE_AGREED, OVERRIDE_ASKED, OVERRIDE_USED, URGENT, SessionKinds
from desk.alerts.mirror import rehearsals
from desk.audit.follower import AuditFollower
from desk.audit.models import AuditRecord
from risk.core import codes
from risk.core.gate import OVERRIDE_NS_MAX
from risk.core.records import MES
from tests.shell.frames import Tape, context_of, make_session, ring
from trading.control import CommandRefused
from trading.core import records as kinds
from trading.core import states
from trading.models import Command, Decision, Session
from trading.overrides import services
from trading.overrides.ending import NEVER, OverrideEnds, note_unused
from trading.overrides.models import OverrideRequest
from trading.run.clock import CLOCK_FILE, SessionClock, boot_ns, save_clock
from trading.run.streams import ZERO_ID, Stream
from trading.services import session_folder
from trading.sinks import LedgerFollower

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder", "collected_static")]
PASSWORD = "ladder-and-tape-9"
WHY, YES = "the book is thin before the open", "looked at the book, one contract"


@pytest.fixture
def running(redis_server: str, redis_client: Any) -> tuple[Session, Stream]:
    """A running session with its clock, and its inbox."""
    session = make_session(redis_url=redis_server)
    save_clock(session_folder(session.id), SessionClock(1_772_600_000_000_000_000, boot_ns(), 1.0))
    return session, ring(session, redis_client)


def signed_in(name: str, role: str) -> Client:
    make_roles()
    user = User.objects.create_user(name, password=PASSWORD)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def asked(client: Client, session: Session, **changed: Any) -> Any:
    form = {"deed": "ask", "instrument": 0, "code": codes.DEPTH, "reason": WHY}
    return client.post(f"/sessions/{session.id}/override/", form | changed)


def agreed(client: Client, session: Session, **changed: Any) -> Any:
    path, row = f"/sessions/{session.id}/override/", OverrideRequest.objects.latest("id")
    found = re.search(r'name="ticket" value="([^"]+)"', client.get(path).content.decode())
    form = {"deed": "agree", "request": row.id, "reason": YES, "password": PASSWORD}
    return client.post(path, form | {"ticket": found[1] if found else ""} | changed)


def sent(inbox: Stream) -> list[Any]:
    return [entry.events[0] for entry in inbox.read(ZERO_ID, 0, 9)]


def test_one_asks_and_another_agrees(running: tuple[Session, Stream]) -> None:
    session, inbox = running
    olga, alice = signed_in("olga", OPERATOR), signed_in("alice", ADMIN)
    assert asked(olga, session).status_code == 302 and sent(inbox) == []
    page = alice.get(f"/sessions/{session.id}/override/").content.decode()
    assert "MES" in page and WHY in page and "Agree" in page
    assert agreed(alice, session).status_code == 302
    (event,) = sent(inbox)
    assert (event["code"], event["value"], event["instrument"]) == (kinds.OVERRIDE, codes.DEPTH, 0)
    assert 0 < event["until_ns"] - event["ts_ns"] <= OVERRIDE_NS_MAX
    command, row = Command.objects.get(ref=int(event["ref"])), OverrideRequest.objects.get()
    assert (command.kind, command.by, command.state) == ("override", "alice", states.ACCEPTED)
    assert WHY in command.reason and YES in command.reason
    assert (row.asked_by, row.agreed_by, row.command_ref) == ("olga", "alice", command.ref)
    told = AuditRecord.objects.filter(category="control", action__startswith="override").order_by("seq")
    assert [(one.action, one.actor) for one in told] == [("override_asked", "olga"), ("override_agreed", "alice")]
    assert [(alert.kind, alert.severity) for alert in rehearsals()] == [(OVERRIDE_ASKED, URGENT)]


@pytest.mark.parametrize("role", [OPERATOR, ADMIN])
def test_one_person_alone_never_does_it(running: tuple[Session, Stream], role: str) -> None:
    """Neither by the page, nor by the service, nor past both in the database."""
    session, inbox = running
    olga = signed_in("olga", role)
    asked(olga, session)
    page = olga.get(f"/sessions/{session.id}/override/").content.decode()
    assert "You asked for it yourself" in page and 'value="agree"' not in page
    ticket_of_nobody = agreed(olga, session)
    assert ticket_of_nobody.status_code == 422
    row = OverrideRequest.objects.get()
    with pytest.raises(CommandRefused, match="another person must agree"):
        services.agree(row.id, "olga", YES)
    with pytest.raises(IntegrityError), transaction.atomic():
        OverrideRequest.objects.update(agreed_by="olga", agreed_at=timezone.now(), command_ref=7, until_ns=1)
    assert sent(inbox) == [] and not Command.objects.filter(kind="override").exists()


def test_the_second_person_gives_the_password(running: tuple[Session, Stream]) -> None:
    session, inbox = running
    olga, alice = signed_in("olga", OPERATOR), signed_in("alice", OPERATOR)
    asked(olga, session)
    for changed, words in (
        ({"password": ""}, "give your password again"),
        ({"password": "not-hers-at-all"}, "That is not your password"),
        ({"reason": "short"}, "10 characters or more"),
        ({"ticket": "old"}, "Read it again"),
    ):
        answer = agreed(alice, session, **changed)
        assert answer.status_code == 422 and words in answer.content.decode(), changed
    assert sent(inbox) == []


def test_a_request_that_is_older_than_a_minute_is_gone(running: tuple[Session, Stream]) -> None:
    session, inbox = running
    olga, alice = signed_in("olga", OPERATOR), signed_in("alice", OPERATOR)
    asked(olga, session)
    row = OverrideRequest.objects.get()
    assert row.expires_at - row.asked_at == timedelta(seconds=60)
    OverrideRequest.objects.update(asked_at=timezone.now() - timedelta(seconds=61), expires_at=timezone.now())
    page = alice.get(f"/sessions/{session.id}/override/").content.decode()
    assert "Nothing waits" in page and "expired" in page
    with pytest.raises(CommandRefused, match="ask again"):
        services.agree(row.id, "alice", YES)
    assert sent(inbox) == []


def test_it_is_agreed_to_once(running: tuple[Session, Stream]) -> None:
    session, inbox = running
    row = services.ask(session.id, 0, codes.SPREAD, "olga", WHY)
    services.agree(row.id, "alice", YES)
    with pytest.raises(CommandRefused, match="agreed already"):
        services.agree(row.id, "bob", YES)
    assert len(sent(inbox)) == 1


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"code": codes.RISK_DAILY}, "NOT_OVERRIDABLE"),
        ({"code": codes.HOLD_BASE}, "NOT_OVERRIDABLE"),
        ({"instrument": 1}, "INSTRUMENT"),
        ({"reason": "short"}, "NO_REASON"),
    ],
)
def test_what_is_never_let_pass_is_refused_by_name(
    running: tuple[Session, Stream], changed: dict[str, Any], code: str
) -> None:
    session, _ = running
    assert asked(signed_in("olga", OPERATOR), session, **changed).status_code == 422
    fields: dict[str, Any] = {"instrument": 0, "code": codes.DEPTH, "reason": WHY} | changed
    with pytest.raises(CommandRefused) as refused:
        services.ask(session.id, by="olga", **fields)
    assert refused.value.code == code and not OverrideRequest.objects.exists()


def test_one_request_of_an_instrument_at_a_time_and_in_a_running_session_alone(
    running: tuple[Session, Stream],
) -> None:
    session, _ = running
    services.ask(session.id, 0, codes.DEPTH, "olga", WHY)
    with pytest.raises(CommandRefused, match="one at a time"):
        services.ask(session.id, 0, codes.SPREAD, "alice", WHY)
    Session.objects.update(status=states.ENDED)
    with pytest.raises(CommandRefused, match="only a running one"):
        services.agree(OverrideRequest.objects.get().id, "alice", YES)


@pytest.mark.django_db(transaction=True)
def test_of_many_who_ask_at_once_one_waits() -> None:
    """Two that wait for one instrument would be two entries that the rule lets pass."""
    if connection.vendor == "sqlite":
        pytest.skip("one writer at a time by itself; its test database is in memory and is not for threads")
    session, many = make_session(), 6
    together = Barrier(many)

    def ask(number: int) -> str:
        try:
            together.wait(10)
            return str(services.ask(session.id, 0, codes.DEPTH, f"olga{number}", WHY).id)
        except CommandRefused as refused:
            return refused.code
        finally:
            connection.close()

    with ThreadPoolExecutor(many) as pool:
        found = sorted(pool.map(ask, range(many)))
    assert found == [str(OverrideRequest.objects.get().id), *["WAITING"] * (many - 1)]


def test_a_viewer_sees_and_may_not(running: tuple[Session, Stream]) -> None:
    session, inbox = running
    services.ask(session.id, 0, codes.DEPTH, "olga", WHY)
    victor = signed_in("victor", VIEWER)
    page = victor.get(f"/sessions/{session.id}/override/").content.decode()
    assert WHY in page and "Only an operator or an admin" in page and 'name="deed"' not in page
    assert asked(victor, session).status_code == 403 and agreed(victor, session).status_code == 403
    assert victor.get("/sessions/99/override/").status_code == 404 and sent(inbox) == []


def test_its_use_stands_in_ledger_audit_alerts_and_history(running: tuple[Session, Stream]) -> None:
    """The decision names the rule and the command; a refusal that it could not prevent stands alone, too."""
    session, _ = running
    _, command = services.agree(services.ask(session.id, 0, codes.DEPTH, "olga", WHY).id, "alice", YES)
    tape = Tape()
    at = {"code": kinds.OVERRIDE, "value": codes.DEPTH, "ref": command.ref, "until_ns": 60}
    tape.add(kinds.COMMAND, **at)
    tape.add(kinds.RECEIPT, code=kinds.RECEIPT_DONE, value=kinds.OVERRIDE, ref=command.ref, instrument=-1)
    refused = {"code": codes.TRADES_DAY, "side": 1}
    tape.add(kinds.DECISION, **refused)
    tape.add(kinds.DECISION, **refused, role=codes.DEPTH, bid_qty=command.ref)
    tape.add(kinds.DECISION, **refused)
    frames = tape.frames()
    LedgerFollower(context_of(session)).apply(frames)
    AuditFollower(context_of(session)).apply(frames)
    rows = list(Decision.objects.order_by("seq").values_list("seq", "same", "passed", "override_ref"))
    assert rows == [(3, 1, 0, 0), (4, 1, codes.DEPTH, command.ref), (5, 1, 0, 0)]
    used = AuditRecord.objects.get(action="override_used")
    assert (used.category, used.actor, used.detail["let_pass"]) == ("control", "alice", "DEPTH")
    assert WHY in used.detail["reason"] and used.detail["decided"] == "TRADES_DAY"
    assert AuditRecord.objects.get(action="override").detail["let_pass"] == "DEPTH"
    alerts = SessionKinds(session.id, session.key, MES, ["MES"], True).note(frames["event"], 1)
    assert [(one.kind, one.severity) for one in alerts] == [(OVERRIDE_AGREED, URGENT), (OVERRIDE_USED, URGENT)]
    (one,), _ = services.history(session)
    assert (one["state"], one["seq"], one["verdict"]) == ("used", 4, "TRADES_DAY")
    page = signed_in("victor", VIEWER).get(f"/sessions/{session.id}/override/").content.decode()
    assert f"/sessions/{session.id}/why/?seq=4" in page
    assert "used at 1970-01-01 00:00:03, session time UTC, by decision 4: trades day" in page


def opened(session: Session) -> tuple[OverrideRequest, Tape]:
    """One that the kernel opened, and the journal so far; its clock reads the tape's."""
    row, command = services.agree(services.ask(session.id, 0, codes.DEPTH, "olga", WHY).id, "alice", YES)
    assert row.until_ns is not None
    at = {"ref": command.ref, "ts_ns": row.until_ns - OVERRIDE_NS_MAX}
    tape = Tape().add(kinds.COMMAND, code=kinds.OVERRIDE, value=codes.DEPTH, until_ns=row.until_ns, **at)
    return row, tape.add(kinds.RECEIPT, code=kinds.RECEIPT_DONE, value=kinds.OVERRIDE, **at | {"instrument": -1})


def state_of(session: Session) -> str:
    (one,), _ = services.history(session)
    return str(one["state"])


def test_one_that_ended_unused_is_told_once(running: tuple[Session, Stream]) -> None:
    """P-27: open to its last nanosecond, by the clock and by the journal; then not used, with one row of the audit."""
    session, _ = running
    row, tape = opened(session)
    end, folder = row.until_ns or 0, session_folder(session.id)
    ends, follower = OverrideEnds(context_of(session)), LedgerFollower(context_of(session))

    def follow(ts_ns: int) -> int:
        frames = tape.add(kinds.TIMER, instrument=-1, ts_ns=ts_ns).frames()
        follower.apply(frames)
        ends.note(frames["event"])
        ends.look()
        return AuditRecord.objects.filter(action="override_unused").count()

    assert follow(end - 1) == 0 and state_of(session) == "opened"
    save_clock(folder, SessionClock(end - 10**6, boot_ns(), 0.0))
    assert state_of(session) == "opened"
    save_clock(folder, SessionClock(end, boot_ns(), 0.0))
    assert state_of(session) == "not used", "by the clock, before the journal says so"
    (folder / CLOCK_FILE).unlink()
    assert state_of(session) == "opened"
    assert follow(end) == 1 and state_of(session) == "not used"
    assert follow(end + 1) == 1 and note_unused(session.id, NEVER) == NEVER
    told = AuditRecord.objects.get(action="override_unused")
    assert (told.category, told.actor, told.object) == ("control", "desk", f"{session.key} MES DEPTH")
    assert (told.detail["command"], told.detail["agreed_by"]) == (row.command_ref, "alice")
    assert "not used" in signed_in("victor", VIEWER).get(f"/sessions/{session.id}/override/").content.decode()


@pytest.mark.parametrize("kind", ["used", "refused", "session over"])
def test_what_was_used_or_never_opened_did_not_end_unused(running: tuple[Session, Stream], kind: str) -> None:
    session, _ = running
    row, tape = opened(session)
    if kind == "used":
        tape.add(kinds.DECISION, code=codes.TRADES_DAY, side=1, role=codes.DEPTH, bid_qty=row.command_ref)
    if kind == "refused":
        tape.rows[-1]["code"] = kinds.RECEIPT_DONE + 1
    LedgerFollower(context_of(session)).apply(tape.frames())
    Session.objects.update(status=states.ENDED)
    session.refresh_from_db()
    assert note_unused(session.id, NEVER) == NEVER
    assert AuditRecord.objects.filter(action="override_unused").count() == (kind == "session over")
    assert state_of(session) == {"session over": "not used"}.get(kind, kind)
