"""T-04's page: who may answer, what an answer covers, what the page says of a process that is not there."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from desk.accounts.roles import make_roles
from desk.alerts.models import Alert

if TYPE_CHECKING:
    from django.test import Client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("var")]


@pytest.fixture
def var(tmp_path: Path, settings: Any) -> Path:
    settings.VAR = tmp_path
    return tmp_path


def alert(number: int, severity: str = "urgent") -> Alert:
    return Alert.objects.create(
        uid=f"s1:{number}", raised_at=timezone.now(), severity=severity, kind="DAILY_LOSS", text=f"what {number} <b>"
    )


def signed_in(client: "Client", role: str) -> "Client":
    make_roles()
    person = User.objects.create_user(role)
    person.groups.add(Group.objects.get(name=role))
    client.force_login(person)
    return client


def test_an_operator_answers_one_or_all_that_the_page_showed_t_04(client: "Client") -> None:
    first, second = alert(1), alert(2, "warning")
    operator = signed_in(client, "operator")
    page = operator.get("/alerts/").content.decode()
    assert "what 1 &lt;b&gt;" in page and "process does not run" in page and "alerts off" in page
    assert operator.post(f"/alerts/{first.id}/acknowledge/").status_code == 302
    first.refresh_from_db()
    assert first.acknowledged_by == "operator"
    later = alert(3)
    operator.post("/alerts/acknowledge/", {"newest": second.id})
    assert set(Alert.objects.filter(acknowledged_at=None)) == {later}, "nobody answers what he has not seen"
    operator.get("/alerts/")  # the messages of the answers
    assert "what 1" not in operator.get("/alerts/?open=1").content.decode()
    assert operator.post("/alerts/77/acknowledge/").status_code == 404
    operator.post("/alerts/test/")
    assert Alert.objects.filter(kind="TEST").count() == 1


def test_a_viewer_reads_and_answers_nothing(client: "Client") -> None:
    row = alert(1)
    viewer = signed_in(client, "viewer")
    assert b"Acknowledge" not in viewer.get("/alerts/").content
    for path in (f"/alerts/{row.id}/acknowledge/", "/alerts/acknowledge/", "/alerts/test/"):
        assert viewer.post(path).status_code == 403
    row.refresh_from_db()
    assert row.acknowledged_at is None and Alert.objects.count() == 1
