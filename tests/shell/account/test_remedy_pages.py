"""Pages on which a person states figures, moves money, gives a session up, locks themselves out (MES-RISK-13, N9)."""

import re
from typing import Any

import pytest
from django.test import Client

from desk.accounts.roles import ADMIN, OPERATOR, VIEWER
from desk.audit.models import AuditRecord
from risk.core.holds import BIT
from tests.shell.frames import make_session, ring
from tests.shell.test_reset_page import PASSWORD, REASON, raise_hold, signed_in, ticket_of
from trading import services
from trading.control import session_folder
from trading.core import records as kinds
from trading.core import states
from trading.models import Session
from trading.run.clock import SessionClock, boot_ns, save_clock
from trading.run.latch import write_latch
from trading.run.streams import ZERO_ID, Stream

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]
USD = 1_000_000
NANOS = 1_000_000_000
START_NS = 1_772_636_400 * NANOS  # 2026-03-04 15:00 UTC
FIGURES = {"balance": "900", "peak": "950.00", "reference": "1000", "day_net": "-30.5"}


@pytest.fixture
def running(redis_server: str, redis_client: Any) -> tuple[Session, Stream]:
    """A running session under STATE_UNREADABLE with a clock, and its inbox."""
    session = make_session(redis_url=redis_server)
    raise_hold(session, 1, "STATE_UNREADABLE")
    save_clock(session_folder(session.id), SessionClock(START_NS, boot_ns(), 1.0))
    return session, ring(session, redis_client)


def key_of(page: str) -> str:
    """What a page of a transfer carries, so that it is booked once."""
    found = re.search(r'name="key" value="([0-9a-f-]{36})"', page)
    assert found is not None
    return found[1]


def sent(inbox: Stream) -> list[Any]:
    return [event for entry in inbox.read(ZERO_ID, 0, 9) for event in entry.events]


def test_figures_are_stated_with_reason_and_password_mes_hold_state_unreadable(
    client: Client, running: tuple[Session, Stream]
) -> None:
    session, inbox = running
    path = f"/sessions/{session.id}/state/"
    olga = signed_in(client, "olga", OPERATOR)
    page = olga.get(path).content.decode()
    assert "is the account from now on" in page and 'name="password"' in page
    form = {**FIGURES, "reason": REASON, "ticket": ticket_of(page)}
    refused = olga.post(path, form)
    assert refused.status_code == 422 and "give your password again" in refused.content.decode()
    assert 'value="950.00"' in refused.content.decode(), "what was typed stays"
    assert sent(inbox) == []
    done = olga.post(path, form | {"ticket": ticket_of(refused.content.decode()), "password": PASSWORD})
    assert (done.status_code, done.headers["location"]) == (302, f"/sessions/{session.id}/")
    pause, stated, lifted = sent(inbox)
    assert (int(pause["code"]), int(stated["kind"]), int(lifted["code"])) == (kinds.PAUSE, kinds.PAST, kinds.RESET_HALT)
    told = [int(stated[name]) for name in ("value", "volume", "qty", "fee_micros")]
    assert told == [900 * USD, 950 * USD, 1_000 * USD, -30_500_000]
    assert int(lifted["value"]) == 1 << BIT["STATE_UNREADABLE"]
    assert AuditRecord.objects.get(action="figures_stated").actor == "olga"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"balance": "much"}, "balance"),
        ({"balance": ""}, "This field is required"),
        ({"peak": "1"}, "the peak is the highest balance"),
        ({"day_net": "0.0000001"}, "day net"),
        ({"reason": "short"}, "10 characters or more"),
        ({"password": "not-hers-at-all"}, "That is not your password"),
        ({"ticket": "old"}, "Read it again"),
    ],
)
def test_a_statement_is_refused_with_a_sentence_and_sends_nothing(
    client: Client, running: tuple[Session, Stream], changed: dict[str, str], words: str
) -> None:
    session, inbox = running
    path = f"/sessions/{session.id}/state/"
    olga = signed_in(client, "olga", OPERATOR)
    form = {**FIGURES, "reason": REASON, "password": PASSWORD, "ticket": ticket_of(olga.get(path).content.decode())}
    answer = olga.post(path, form | changed)
    assert answer.status_code == 422 and words in answer.content.decode()
    assert sent(inbox) == []


def test_money_is_booked_mes_risk_01(client: Client, running: tuple[Session, Stream]) -> None:
    session, inbox = running
    path = f"/sessions/{session.id}/transfer/"
    olga = signed_in(client, "olga", OPERATOR)
    form = {"amount": "-250.50", "reason": REASON, "password": PASSWORD}
    shown = olga.get(path).content.decode()
    form |= {"ticket": ticket_of(shown), "key": key_of(shown)}
    assert olga.post(path, form).status_code == 302
    (event,) = sent(inbox)
    assert (int(event["kind"]), int(event["value"])) == (kinds.TRANSFER, -250_500_000)
    page = olga.get(f"/sessions/{session.id}/").content.decode()
    assert "Booked: −250.50 USD." in page
    Session.objects.filter(id=session.id).update(status=states.ENDED)
    assert olga.get(path).status_code == 302, "money moves in a running one alone"


def test_a_page_that_is_sent_twice_books_once_mes_risk_01(client: Client, running: tuple[Session, Stream]) -> None:
    """A double press, or a browser that sends again: the first ticket is still good, and the money moves once."""
    session, inbox = running
    path = f"/sessions/{session.id}/transfer/"
    olga = signed_in(client, "olga", OPERATOR)
    page = olga.get(path).content.decode()
    form = {"amount": "250", "reason": REASON, "password": PASSWORD, "ticket": ticket_of(page), "key": key_of(page)}
    assert [olga.post(path, form).status_code for _ in range(2)] == [302, 302]
    assert [int(event["value"]) for event in sent(inbox)] == [250 * USD]
    assert "was booked once" in olga.get(f"/sessions/{session.id}/").content.decode()
    changed = olga.post(path, form | {"amount": "260"})
    assert changed.status_code == 422 and "another transfer" in changed.content.decode()
    assert key_of(changed.content.decode()) != form["key"] and len(sent(inbox)) == 1
    assert olga.post(path, form | {"key": ""}).status_code == 422


def test_a_ticket_of_one_deed_is_none_of_another(client: Client, running: tuple[Session, Stream]) -> None:
    session, inbox = running
    olga = signed_in(client, "olga", OPERATOR)
    ticket = ticket_of(olga.get(f"/sessions/{session.id}/state/").content.decode())
    key = key_of(olga.get(f"/sessions/{session.id}/transfer/").content.decode())
    form = {"amount": "5", "reason": REASON, "password": PASSWORD, "ticket": ticket, "key": key}
    answer = olga.post(f"/sessions/{session.id}/transfer/", form)
    assert answer.status_code == 422 and "What was shown has changed" in answer.content.decode()
    assert sent(inbox) == []


def test_a_session_is_given_up_by_an_admin_under_the_latch(client: Client, running: tuple[Session, Stream]) -> None:
    session, _ = running
    path = f"/sessions/{session.id}/abandon/"
    ada = signed_in(client, "ada", ADMIN)
    form = {"reason": REASON, "password": PASSWORD, "ticket": ticket_of(ada.get(path).content.decode())}
    refused = ada.post(path, form)
    assert refused.status_code == 422 and "kill first" in refused.content.decode()
    write_latch(services.var(), "ada", "a stuck session")
    done = ada.post(path, {"reason": REASON, "ticket": ticket_of(refused.content.decode())})
    assert done.status_code == 302, "the password is fresh"
    session.refresh_from_db()
    assert session.status == states.FAILED and "given up by ada" in session.reason


def test_a_lock_asks_for_the_hour_alone_and_goes_to_the_kernel_mes_hold_operator_lock(
    client: Client, running: tuple[Session, Stream]
) -> None:
    """UI: Lock me out until.  It reduces, so neither a reason nor a password stands in its way."""
    session, inbox = running
    olga = signed_in(client, "olga", OPERATOR)
    assert f'href="/sessions/{session.id}/lock/"' in olga.get("/account/").content.decode()
    assert f'href="/sessions/{session.id}/lock/"' in olga.get(f"/sessions/{session.id}/").content.decode()
    path = f"/sessions/{session.id}/lock/"
    page = olga.get(path).content.decode()
    assert "Nobody can shorten it" in page and 'name="password"' not in page and 'name="reason"' not in page
    shown = re.search(r'name="until" value="(2026-03-04T1[67]:\d\d)', page)
    assert shown is not None, "an hour from now, by the session's clock"
    for until in ("soon", "2026-03-04T14:00", "2028-03-04T14:00"):
        assert olga.post(path, {"until": until}).status_code == 422
    assert sent(inbox) == []
    assert olga.post(path, {"until": "2026-03-04T18:00"}).status_code == 302
    (event,) = sent(inbox)
    assert (int(event["kind"]), int(event["code"])) == (kinds.COMMAND, kinds.LOCK)
    assert int(event["value"]) == START_NS + 3 * 3600 * NANOS


@pytest.mark.parametrize(("name", "role"), [("victor", VIEWER), ("olga", OPERATOR)])
def test_who_may_not_sees_and_sends_nothing(
    client: Client, running: tuple[Session, Stream], name: str, role: str
) -> None:
    session, inbox = running
    person = signed_in(client, name, role)
    paths = ("abandon",) if role == OPERATOR else ("state", "transfer", "abandon", "lock")
    for deed in paths:
        path = f"/sessions/{session.id}/{deed}/"
        page = person.get(path)
        assert page.status_code == 200 and "Your role may not do this" in page.content.decode()
        assert '<button class="primary"' not in page.content.decode()
        form = {**FIGURES, "amount": "1", "until": "2026-03-04T18:00", "reason": REASON, "password": PASSWORD}
        assert person.post(path, form).status_code == 403
    session.refresh_from_db()
    assert sent(inbox) == [] and session.status == states.RUNNING


def test_what_cannot_be_asked_leads_back(client: Client, running: tuple[Session, Stream]) -> None:
    session, _ = running
    olga = signed_in(client, "olga", OPERATOR)
    session.holds.all().delete()
    assert olga.get(f"/sessions/{session.id}/state/").headers["location"] == f"/sessions/{session.id}/"
    Session.objects.filter(id=session.id).update(status=states.ENDED)
    for deed in ("state", "transfer", "abandon", "lock"):
        assert olga.get(f"/sessions/{session.id}/{deed}/").status_code == 302
        assert olga.get(f"/sessions/9999/{deed}/").status_code == 404
