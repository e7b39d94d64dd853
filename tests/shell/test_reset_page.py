"""/sessions/N/reset/: who lifts a halt by name, what it asks for, and what it sends (MES-RISK-13, MOEX-SEC-04, N9)."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from desk.accounts.roles import OPERATOR, VIEWER, make_roles
from desk.audit.models import AuditRecord
from risk.core.holds import BIT
from tests.shell.frames import make_session, ring
from trading.core import records as kinds
from trading.core import states
from trading.models import Command, Fill, HoldEvent, Session
from trading.run.streams import ZERO_ID, Stream

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]
PASSWORD = "ladder-and-tape-9"
REASON = "looked at the broker: flat"


@pytest.fixture
def halted(redis_server: str, redis_client: Any) -> tuple[Session, Stream]:
    """A running session with two halts, the kill and a plain hold, and its inbox."""
    session = make_session(redis_url=redis_server)
    for seq, code in enumerate(("EQUITY_KILL", "NAKED_POSITION", "KILL_SWITCH", "FEED_STALE"), 1):
        raise_hold(session, seq, code)
    return session, ring(session, redis_client)


def raise_hold(session: Session, seq: int, code: str) -> None:
    figures = {"instrument": -1, "value": 0, "limit": 0, "raised_ns": seq}
    HoldEvent.objects.create(session=session, seq=seq, bit=BIT[code], code=code, **figures)


def signed_in(client: Client, name: str, role: str) -> Client:
    make_roles()
    user = User.objects.create_user(name, password=PASSWORD)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    return client


def ticket_of(page: str) -> str:
    found = re.search(r'name="ticket" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def sent(inbox: Stream) -> list[tuple[str, int]]:
    events = [entry.events[0] for entry in inbox.read(ZERO_ID, 0, 9)]
    return [(kinds.COMMANDS[int(event["code"])], int(event["value"])) for event in events]


def test_an_operator_lifts_what_is_ticked_and_nothing_else(client: Client, halted: tuple[Session, Stream]) -> None:
    session, inbox = halted
    path = f"/sessions/{session.id}/reset/"
    olga = signed_in(client, "olga", OPERATOR)
    page = olga.get(path).content.decode()
    assert re.findall(r'name="hold" value="(\w+)"', page) == ["EQUITY_KILL", "NAKED_POSITION"]
    assert "the total limit counts anew" in page and "checked" not in page
    form = {"hold": ["EQUITY_KILL"], "reason": REASON, "ticket": ticket_of(page)}
    refused = olga.post(path, form)
    assert refused.status_code == 422 and "give your password again" in refused.content.decode()
    assert sent(inbox) == []
    done = olga.post(path, form | {"ticket": ticket_of(refused.content.decode()), "password": PASSWORD})
    assert (done.status_code, done.headers["location"]) == (302, f"/sessions/{session.id}/")
    assert sent(inbox) == [("pause", 0), ("reset_halt", 1 << BIT["EQUITY_KILL"])]
    assert [(command.kind, command.by) for command in Command.objects.order_by("id")][-1] == ("reset_halt", "olga")
    record = AuditRecord.objects.get(action="halts_reset")
    assert (record.actor, record.detail["halts"], record.detail["reason"]) == ("olga", ["EQUITY_KILL"], REASON)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"hold": []}, "nothing was named"),
        ({"hold": ["KILL_SWITCH"]}, "KILL_SWITCH"),
        ({"hold": ["FEED_STALE"]}, "FEED_STALE"),
        ({"reason": "short"}, "10 characters or more"),
        ({"password": "not-hers-at-all"}, "That is not your password"),
        ({"ticket": "old"}, "Read it again"),
    ],
)
def test_it_is_refused_with_a_sentence_and_sends_nothing(
    client: Client, halted: tuple[Session, Stream], changed: dict[str, Any], words: str
) -> None:
    session, inbox = halted
    path = f"/sessions/{session.id}/reset/"
    olga = signed_in(client, "olga", OPERATOR)
    form = {"hold": ["NAKED_POSITION"], "reason": REASON, "password": PASSWORD}
    form["ticket"] = ticket_of(olga.get(path).content.decode())
    answer = olga.post(path, form | changed)
    assert answer.status_code == 422 and words in answer.content.decode()
    assert sent(inbox) == []


def test_another_halt_is_another_deed(client: Client, halted: tuple[Session, Stream]) -> None:
    """What was shown no longer stands as it was: it is shown again first."""
    session, inbox = halted
    path = f"/sessions/{session.id}/reset/"
    olga = signed_in(client, "olga", OPERATOR)
    ticket = ticket_of(olga.get(path).content.decode())
    raise_hold(session, 9, "DUPLICATE_STORM")
    answer = olga.post(path, {"hold": ["NAKED_POSITION"], "reason": REASON, "password": PASSWORD, "ticket": ticket})
    assert answer.status_code == 422 and "What was shown has changed" in answer.content.decode()
    assert sent(inbox) == []


def test_a_viewer_sees_and_may_not(client: Client, halted: tuple[Session, Stream]) -> None:
    session, inbox = halted
    path = f"/sessions/{session.id}/reset/"
    victor = signed_in(client, "victor", VIEWER)
    page = victor.get(path).content.decode()
    assert "Only an operator or an admin lifts holds" in page and '<button class="primary"' not in page
    answer = victor.post(path, {"hold": ["NAKED_POSITION"], "reason": REASON, "password": PASSWORD})
    assert answer.status_code == 403 and sent(inbox) == []


def test_what_is_held_is_said(client: Client, halted: tuple[Session, Stream]) -> None:
    """The kernel refuses then; nobody should learn it from a refusal."""
    session, _ = halted
    fill = {"order_number": 1, "instrument": 0, "symbol": "MES", "qty": 2, "price_tick": 20_000, "fee_micros": 0}
    Fill.objects.create(session=session, seq=20, side=1, ts_ns=1, venue_ref=1, **fill)
    page = signed_in(client, "olga", OPERATOR).get(f"/sessions/{session.id}/reset/").content.decode()
    assert "MES 2: a halt is refused while something is held" in page


def test_without_a_halt_there_is_nothing_to_lift(client: Client) -> None:
    running, over = make_session(), make_session(status=states.ENDED)
    raise_hold(over, 1, "EQUITY_KILL")
    olga = signed_in(client, "olga", OPERATOR)
    for session in (running, over):
        answer = olga.get(f"/sessions/{session.id}/reset/")
        assert (answer.status_code, answer.headers["location"]) == (302, f"/sessions/{session.id}/")
    assert olga.get("/sessions/99/reset/").status_code == 404
