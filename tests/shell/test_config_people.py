"""Roles, step-up, pace and devices: who may do what, and what raising risk asks for (MOEX-SEC-04, -05, N9)."""

import time

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.test import RequestFactory

from desk.accounts import devices, people, stepup
from desk.accounts.roles import ADMIN, OPERATOR, RIGHTS, ROLES, VIEWER, make_roles, may, role_of
from desk.audit.models import AuditRecord
from desk.control import pace
from trading.run.panic.page import check_token, make_token, void_tokens

PASSWORD = "ladder-and-tape-9"


@pytest.fixture
def roles(db):
    make_roles()


def person(name: str, role: str) -> User:
    found = User.objects.create_user(name, password=PASSWORD)
    found.groups.add(Group.objects.get(name=role))
    return found


def request_of(user, session: dict | None = None):
    """A request with a session that is a dictionary."""
    request = RequestFactory().post("/somewhere/", REMOTE_ADDR="127.0.0.1")
    request.user = user
    request.session = {} if session is None else session  # type: ignore[assignment]
    return request


# roles


def test_each_role_has_exactly_its_rights(roles) -> None:
    for role, rights in ROLES.items():
        found = person(f"{role}-1", role)
        assert role_of(found) == role
        assert {right for right in RIGHTS if may(found, right)} == set(rights)
    root = User.objects.create_superuser("root")
    assert {right for right in RIGHTS if may(root, right)} == set(RIGHTS)


def test_strangers_and_closed_accounts_have_no_right(roles) -> None:
    closed = person("olga", OPERATOR)
    closed.is_active = False
    assert not any(may(AnonymousUser(), right) or may(closed, right) for right in RIGHTS)
    assert role_of(User.objects.create_user("new")) == VIEWER
    assert not may(User.objects.create_user("staff", is_staff=True), "reduce"), "is_staff decides nothing"


def test_a_role_is_given_whole_and_audited_and_the_last_admin_stays(roles) -> None:
    root, olga = User.objects.create_superuser("root"), person("olga", OPERATOR)
    with pytest.raises(people.PeopleRefused, match="last admin"):
        people.give_role(root, VIEWER, by="root", reason="a mistake")
    with pytest.raises(people.PeopleRefused, match="last admin"):
        people.close(root, by="root", reason="a mistake")
    people.give_role(olga, ADMIN, by="root", reason="second admin")
    assert role_of(User.objects.get(pk=olga.pk)) == ADMIN
    people.give_role(root, VIEWER, by="olga", reason="only reads from now on")
    root = User.objects.get(pk=root.pk)
    assert (role_of(root), root.is_superuser) == (VIEWER, False)
    assert list(AuditRecord.objects.filter(action="role_given").values_list("object", flat=True)) == ["olga", "root"]


# step-up


def refused(request, given, about: str = "deed") -> str:
    with pytest.raises(stepup.StepUpRefused) as error:
        stepup.require(request, about, given)
    return error.value.code


def test_raising_risk_asks_for_reason_password_and_ticket_in_time(roles, monkeypatch) -> None:
    request = request_of(person("olga", OPERATOR))
    ticket = stepup.make_ticket(request, "deed")
    reason = "it was looked at"
    assert refused(request, stepup.Confirmation("too short", PASSWORD)) == "REASON"
    assert refused(request, stepup.Confirmation(reason)) == "STEP_UP"
    assert refused(request, stepup.Confirmation(reason, "wrong")) == "PASSWORD"
    assert refused(request, stepup.Confirmation(reason, PASSWORD, ""), "deed") == "TICKET"
    assert refused(request, stepup.Confirmation(reason, PASSWORD, ticket), "another deed") == "TICKET"
    other = request_of(person("otto", OPERATOR))
    assert refused(other, stepup.Confirmation(reason, PASSWORD, ticket)) == "TICKET", "another person's ticket"
    now = time.time()
    monkeypatch.setattr("django.core.signing.time.time", lambda: now - stepup.TICKET_S - 1)
    old = stepup.make_ticket(request, "deed")
    monkeypatch.undo()
    assert refused(request, stepup.Confirmation(reason, PASSWORD, old)) == "TICKET", "60 s have passed"
    assert stepup.require(request, "deed", stepup.Confirmation(f" {reason} ", PASSWORD, ticket)) == reason


def test_a_confirmed_password_holds_five_minutes_and_never_from_the_future(roles) -> None:
    user, now = person("olga", OPERATOR), time.time()
    reason = stepup.Confirmation("it was looked at")
    assert stepup.require(request_of(user, {stepup.CONFIRMED: now - 290}), "deed", reason)
    for at in (now - 301, now + 60, "yesterday", None):
        assert refused(request_of(user, {stepup.CONFIRMED: at}), reason) == "STEP_UP", at


def test_wrong_passwords_of_a_step_up_lock_like_those_of_a_sign_in(roles, settings) -> None:
    request = request_of(person("olga", OPERATOR))
    for _ in range(settings.AXES_FAILURE_LIMIT):
        assert refused(request, stepup.Confirmation("it was looked at", "wrong")) == "PASSWORD"
    assert request.axes_locked_out
    assert refused(request, stepup.Confirmation("it was looked at", PASSWORD)) == "PASSWORD", "also the right one"


# pace


def test_thirty_commands_a_minute_and_never_less_of_what_must_not_wait() -> None:
    """MOEX-SEC-05."""
    assert all(pace.take("p", "pause", now_s=100 + n / 10) for n in range(30))
    assert not pace.take("p", "cancel_all", now_s=110)
    assert pace.take("another", "pause", now_s=110)
    assert all(pace.take("p", kind, now_s=110) for kind in ("flatten", "kill", "stop") for _ in range(100))
    assert pace.take("p", "pause", now_s=160), "a minute after the first"


# devices and tokens


def test_voiding_one_persons_tokens_leaves_the_others(tmp_path) -> None:
    olga, otto = make_token(tmp_path, "olga"), make_token(tmp_path, "otto")
    assert (check_token(tmp_path, olga), check_token(tmp_path, otto)) == ("olga", "otto")
    void_tokens(tmp_path, "olga")
    assert (check_token(tmp_path, olga), check_token(tmp_path, otto)) == ("", "otto")
    assert check_token(tmp_path, make_token(tmp_path, "olga")) == "olga"


def test_a_torn_file_of_generations_voids_and_never_revives(tmp_path) -> None:
    void_tokens(tmp_path, "olga")
    old, otto = make_token(tmp_path, "olga"), make_token(tmp_path, "otto")
    (tmp_path / "guard" / "generations.json").write_bytes(b"{")
    assert (check_token(tmp_path, old), check_token(tmp_path, otto)) == ("", "")
    void_tokens(tmp_path, "otto")
    assert (check_token(tmp_path, old), check_token(tmp_path, otto)) == ("", "")
    assert check_token(tmp_path, make_token(tmp_path, "olga")) == "olga"


def test_signing_the_others_out_keeps_this_one(roles, client, settings, tmp_path) -> None:
    settings.VAR = tmp_path
    olga = person("olga", OPERATOR)
    clients = [type(client)(headers={"user-agent": "Mozilla/5.0 (X11; Linux) Firefox/140"}) for _ in range(3)]
    for one in clients:
        assert one.login(username="olga", password=PASSWORD, request=request_of(olga)) is True
    assert clients[0].post("/account/sign-out-others/").status_code == 302
    assert [one.get("/account/").status_code for one in clients] == [200, 302, 302]
    assert devices.words("Mozilla/5.0 (X11; Linux x86_64) Chrome/142 Safari/537") == "Chrome on Linux"
    assert AuditRecord.objects.get(action="others_signed_out").detail == {"ended": 2}
