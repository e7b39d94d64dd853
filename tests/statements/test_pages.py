"""/sessions/N/statements/: everybody reads, an admin settles with reason and password (T-03, N9)."""

import re

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from desk.accounts.roles import ADMIN, OPERATOR, VIEWER, make_roles
from tests.shell.frames import make_session
from trading.core import states
from trading.models import Session
from trading.statements.models import Difference, Settlement, Statement

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]
PASSWORD = "ladder-and-tape-9"
REASON = "looked at the venue's own page"


def signed_in(client: Client, name: str, role: str) -> Client:
    make_roles()
    user = User.objects.create_user(name, password=PASSWORD)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    return client


@pytest.fixture
def differing() -> Statement:
    session: Session = make_session(status=states.ENDED)
    made = Statement.objects.create(
        session=session, trading_day=20260304, final=True, source="venue", sha256="a" * 64, fills=2, orders=[1, 2],
        closing_micros=999_160_000, by="desk", taken_at=timezone.now(),
    )  # fmt: skip
    Difference.objects.create(statement=made, kind="fees", about="of the day", venue="0.840001 USD", desk="0.84 USD")
    return made


def test_a_viewer_reads_both_values_and_settles_nothing_t_03(client: Client, differing: Statement) -> None:
    path = f"/sessions/{differing.session_id}/statements/"
    victor = signed_in(client, "victor", VIEWER)
    page = victor.get(path).content.decode()
    assert "2026-03-04" in page and "0.840001 USD" in page and "0.84 USD" in page and "differs" in page
    assert "Settle it" not in page
    where = f"{path}{differing.pk}/settle/"
    assert "Only an admin settles statements" in victor.get(where).content.decode()
    assert victor.post(where, {"reason": REASON, "password": PASSWORD}).status_code == 403
    victor.force_login(User.objects.create_user("olga"))
    User.objects.get(username="olga").groups.add(Group.objects.get(name=OPERATOR))
    assert victor.post(where, {"reason": REASON, "password": PASSWORD}).status_code == 403
    assert not Settlement.objects.exists()


def test_an_admin_settles_with_reason_and_password_t_03(client: Client, differing: Statement) -> None:
    path = f"/sessions/{differing.session_id}/statements/"
    where = f"{path}{differing.pk}/settle/"
    ann = signed_in(client, "ann", ADMIN)
    page = ann.get(where).content.decode()
    ticket = re.search(r'name="ticket" value="([^"]+)"', page)
    assert ticket is not None and "Nothing is corrected" in page
    refused = ann.post(where, {"reason": REASON, "ticket": ticket[1]})
    assert refused.status_code == 422 and "give your password again" in refused.content.decode()
    again = re.search(r'name="ticket" value="([^"]+)"', refused.content.decode())
    assert again is not None
    done = ann.post(where, {"reason": REASON, "ticket": again[1], "password": PASSWORD})
    assert (done.status_code, done.headers["location"]) == (302, path)
    row = Settlement.objects.get()
    assert (row.statement_id, row.by, row.reason) == (differing.pk, "ann", REASON)
    shown = ann.get(path).content.decode()
    assert "Settled by ann" in shown and "0.840001 USD" in shown, "the record stays"
    assert ann.get(where).headers["location"] == path
    assert ann.get(f"{path}77/settle/").status_code == 404
