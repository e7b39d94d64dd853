"""What a person ends of the shares' holds by their names, and a pause with an end (MOEX-RISK-05, -06)."""

import re
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from desk.accounts.roles import ADMIN, OPERATOR
from risk.core.holds import BIT
from risk.core.records import MOEX
from tests.shell.account.test_remedy_pages import NANOS, START_NS, sent
from tests.shell.frames import make_session, ring
from tests.shell.test_reset_page import PASSWORD, REASON, raise_hold, signed_in, ticket_of
from trading import services
from trading.accounts import remedies
from trading.control import session_folder
from trading.core import records as kinds
from trading.models import Session
from trading.run.clock import SessionClock, boot_ns, save_clock
from trading.run.streams import Stream

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]


def make_shares(redis_url: str, **limits: int) -> Session:
    """A running session under the shares' rulebook, with a clock."""
    session = make_session(redis_url=redis_url, limits={"rules": MOEX, "day_loss_open": 1} | limits)
    save_clock(session_folder(session.id), SessionClock(START_NS, boot_ns(), 1.0))
    return session


@pytest.fixture
def shares(redis_server: str, redis_client: Any) -> tuple[Session, Stream]:
    """A session of shares under two holds that go by name, a halt and a day's loss, and its inbox."""
    session = make_shares(redis_server)
    for seq, code in enumerate(("RECON_MISMATCH", "RISK_ERROR", "NAKED_POSITION", "DAILY_LOSS", "OPERATOR_PAUSE"), 1):
        raise_hold(session, seq, code)
    return session, ring(session, redis_client)


def told(inbox: Stream) -> list[tuple[str, int]]:
    return [(kinds.COMMANDS[int(event["code"])], int(event["value"])) for event in sent(inbox)]


def offered(page: str) -> list[str]:
    return sorted(re.findall(r'name="hold" value="(\w+)"', page))


def test_an_operator_lifts_by_name_what_resume_leaves_moex_risk_06(
    client: Client, shares: tuple[Session, Stream]
) -> None:
    session, inbox = shares
    path = f"/sessions/{session.id}/reset/"
    olga = signed_in(client, "olga", OPERATOR)
    page = olga.get(path).content.decode()
    assert offered(page) == ["NAKED_POSITION", "RECON_MISMATCH", "RISK_ERROR"], "the day's loss is an admin's"
    form = {"hold": ["RECON_MISMATCH", "NAKED_POSITION"], "reason": REASON, "password": PASSWORD}
    assert olga.post(path, form | {"ticket": ticket_of(page)}).status_code == 302
    assert told(inbox) == [
        ("pause", 0),
        ("resume", 1 << BIT["RECON_MISMATCH"]),
        ("reset_halt", 1 << BIT["NAKED_POSITION"]),
    ]


def test_an_admin_alone_clears_the_days_loss_moex_risk_06_moex_acc_108(
    client: Client, shares: tuple[Session, Stream]
) -> None:
    session, inbox = shares
    path = f"/sessions/{session.id}/reset/"
    form = {"hold": ["DAILY_LOSS"], "reason": REASON, "password": PASSWORD}
    olga = signed_in(client, "olga", OPERATOR)
    answer = olga.post(path, form | {"ticket": ticket_of(olga.get(path).content.decode())})
    assert answer.status_code == 422 and "cannot be lifted by name" in answer.content.decode()
    assert told(inbox) == []
    ada = signed_in(client, "ada", ADMIN)
    page = ada.get(path).content.decode()
    assert "DAILY_LOSS" in offered(page) and "the whole limit once more today" in page
    assert ada.post(path, form | {"ticket": ticket_of(page)}).status_code == 302
    assert told(inbox) == [("pause", 0), ("resume", 1 << BIT["DAILY_LOSS"])]


def test_a_day_of_booked_money_alone_is_nobodys_to_clear_moex_risk_05(redis_server: str, redis_client: Any) -> None:
    session = make_shares(redis_server, day_loss_open=0)
    inbox = ring(session, redis_client)
    with pytest.raises(services.CommandRefused, match="DAILY_LOSS cannot be lifted"):
        remedies.lift(session.id, ["DAILY_LOSS"], "ada", REASON, day_loss=True)
    assert told(inbox) == []


def test_the_shell_lifts_by_name_too(redis_server: str, redis_client: Any) -> None:
    session = make_shares(redis_server)
    inbox = ring(session, redis_client)
    words = ["sessions", "reset", str(session.id), "--reason", REASON, "--hold"]
    call_command(*words, "RISK_ERROR_REPEAT")
    with pytest.raises(CommandError, match="OPERATOR_PAUSE cannot be lifted"):
        call_command(*words, "OPERATOR_PAUSE")
    assert told(inbox) == [("pause", 0), ("resume", 1 << BIT["RISK_ERROR_REPEAT"])]


def test_a_futures_session_offers_its_halts_alone_mes_risk_13(redis_server: str) -> None:
    session = make_session(redis_url=redis_server)
    with pytest.raises(services.CommandRefused, match="MISMATCH cannot be lifted"):
        remedies.lift(session.id, ["MISMATCH"], "ada", REASON, day_loss=True)
    assert not remedies.clears_day(session)


def test_a_pause_with_an_end_goes_to_the_kernel_moex_risk_06_moex_ops_07(
    client: Client, shares: tuple[Session, Stream]
) -> None:
    """It reduces: no reason, no password."""
    session, inbox = shares
    olga = signed_in(client, "olga", OPERATOR)
    path = f"/sessions/{session.id}/pause/"
    assert f'href="{path}"' in olga.get(f"/sessions/{session.id}/").content.decode()
    page = olga.get(path).content.decode()
    assert "It ends by itself" in page and 'name="password"' not in page
    assert olga.post(path, {"until": "2026-03-04T14:00"}).status_code == 422, "over already"
    assert olga.post(path, {"until": "2026-03-04T18:00"}).status_code == 302
    call_command("sessions", "pause", str(session.id), "--until", "2026-03-04T21:30:00+03:00")
    call_command("sessions", "pause", str(session.id))
    assert told(inbox) == [("pause", START_NS + 3 * 3600 * NANOS), ("pause", START_NS + 12_600 * NANOS), ("pause", 0)]


def test_a_pause_of_futures_has_no_end_moex_risk_06(client: Client, redis_server: str, redis_client: Any) -> None:
    session = make_session(redis_url=redis_server)
    inbox = ring(session, redis_client)
    save_clock(session_folder(session.id), SessionClock(START_NS, boot_ns(), 1.0))
    with pytest.raises(services.CommandRefused, match="only a pause of shares"):
        remedies.pause_until(session.id, START_NS + 3600 * NANOS, "alice")
    olga = signed_in(client, "olga", OPERATOR)
    assert olga.get(f"/sessions/{session.id}/pause/").status_code == 302
    assert told(inbox) == []
