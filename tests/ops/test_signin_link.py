"""The one-time sign-in link: once, 15 minutes, this machine only, first user (issue, point 2)."""

from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from desk.accounts import services
from desk.accounts.models import SigninLink

pytestmark = pytest.mark.django_db

GOOD = {"username": "alice", "password": "a-long-pass-phrase", "again": "a-long-pass-phrase"}


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def alice() -> User:
    return User.objects.create_superuser("alice", password="a-long-pass-phrase")


def make(now: datetime, *, sets_password: bool = False) -> str:
    return services.make_link(now=now, sets_password=sets_password).path


def test_the_first_link_makes_the_first_user(client: Client, now: datetime) -> None:
    path = make(now)
    page = client.get(path)
    assert page.status_code == 200
    assert "first user" in page.content.decode()
    answer = client.post(path, GOOD)
    assert answer.status_code == 302
    person = User.objects.get()
    assert (person.username, person.is_superuser) == ("alice", True)
    assert person.check_password(GOOD["password"])
    assert client.session["_auth_user_id"] == str(person.id)


def test_a_link_works_once(client: Client, now: datetime) -> None:
    path = make(now)
    client.post(path, GOOD)
    again = Client().post(path, GOOD)
    assert again.status_code == 410
    assert "has been used" in again.content.decode()


def test_opening_a_link_does_not_use_it_up(client: Client, now: datetime) -> None:
    path = make(now)
    assert [client.get(path).status_code for _ in range(3)] == [200, 200, 200]
    assert SigninLink.objects.get().used_at is None


def test_a_link_expires_after_15_minutes(client: Client, now: datetime, alice: User) -> None:
    path = make(now - timedelta(minutes=15, seconds=1))
    answer = client.post(path)
    assert answer.status_code == 410
    assert "15 minutes" in answer.content.decode()
    assert "_auth_user_id" not in client.session
    assert client.post(make(now - timedelta(minutes=14))).status_code == 302


@pytest.mark.parametrize("address", ["10.0.0.5", "192.168.1.2", "::ffff:10.0.0.5", "", "nonsense"])
def test_another_machine_is_refused(client: Client, now: datetime, alice: User, address: str) -> None:
    path = make(now)
    for answer in (client.get(path, REMOTE_ADDR=address), client.post(path, REMOTE_ADDR=address)):
        assert answer.status_code == 403
        assert "on the machine where the desk runs" in answer.content.decode()
    assert SigninLink.objects.get().used_at is None


def test_a_forwarded_request_is_refused(client: Client, now: datetime, alice: User) -> None:
    """Behind a proxy on this machine everybody looks local."""
    path = make(now)
    assert client.post(path, headers={"x-forwarded-for": "127.0.0.1"}).status_code == 403
    assert client.post(path, headers={"forwarded": "for=10.0.0.5"}).status_code == 403


def test_ipv6_of_this_machine_is_accepted(client: Client, now: datetime, alice: User) -> None:
    assert client.post(make(now), REMOTE_ADDR="::1").status_code == 302


def test_a_weak_password_keeps_the_link_good(client: Client, now: datetime) -> None:
    path = make(now)
    answer = client.post(path, {**GOOD, "password": "short", "again": "short"})
    assert answer.status_code == 200
    assert "at least 10 characters" in answer.content.decode()
    assert User.objects.count() == 0
    assert client.post(path, GOOD).status_code == 302


def test_two_different_passwords_are_refused(client: Client, now: datetime) -> None:
    answer = client.post(make(now), {**GOOD, "again": "another-pass-phrase"})
    assert "The two passwords differ" in answer.content.decode()
    assert User.objects.count() == 0


def test_later_links_sign_the_owner_in_and_change_nothing(client: Client, now: datetime, alice: User) -> None:
    answer = client.post(make(now), {**GOOD, "password": "somebody-elses", "again": "somebody-elses"})
    assert answer.status_code == 302
    alice.refresh_from_db()
    assert alice.check_password(GOOD["password"])


def test_a_new_password_is_set_only_by_a_link_made_for_it(client: Client, now: datetime, alice: User) -> None:
    path = make(now, sets_password=True)
    client.post(path, {"password": "another-pass-phrase", "again": "another-pass-phrase"})
    alice.refresh_from_db()
    assert alice.check_password("another-pass-phrase")


def test_a_newer_link_voids_the_older(client: Client, now: datetime, alice: User) -> None:
    old, new = make(now), make(now)
    assert client.post(old).status_code == 410
    assert client.post(new).status_code == 302


def test_the_token_is_not_stored(now: datetime) -> None:
    token = make(now).split("/")[-2]
    assert token not in str(SigninLink.objects.values_list())
    assert len(token) >= 40


def test_signin_link_command_prints_a_link_that_works(
    client: Client, alice: User, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("signin_link")
    url = capsys.readouterr().out.strip()
    assert url.startswith("http://127.0.0.1:")
    assert client.post("/" + url.split("/", 3)[3]).status_code == 302


def test_sign_in_page_wants_the_right_password(client: Client, alice: User) -> None:
    assert client.post("/sign-in/", {"username": "alice", "password": "wrong-pass-phrase"}).status_code == 200
    assert client.post("/sign-in/", {"username": "alice", "password": GOOD["password"]}).status_code == 302


def test_five_wrong_passwords_lock_the_door(client: Client, alice: User) -> None:
    for _ in range(5):
        answer = client.post("/sign-in/", {"username": "alice", "password": "wrong-pass-phrase"})
    assert answer.status_code in (403, 429)
    assert client.post("/sign-in/", {"username": "alice", "password": GOOD["password"]}).status_code in (403, 429)
