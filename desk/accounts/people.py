"""Who has an account and which role: the only writer of users and groups besides the one-time link.  Audited.

Giving a role is asked for with a step-up by the page; closing an account reduces and needs none.  The last open admin
can neither be closed nor made less.
"""

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.db import transaction

from desk.accounts import devices
from desk.accounts.roles import ADMIN, ROLES, role_of
from desk.audit import services as audit


class PeopleRefused(ValueError):
    """A change of people that may not be made; one sentence."""


def admins() -> list[User]:
    """Open accounts that may do all."""
    return [person for person in User.objects.filter(is_active=True) if role_of(person) == ADMIN]


def _keep_one_admin(person: User) -> None:
    if person.is_active and role_of(person) == ADMIN and len(admins()) < 2:
        raise PeopleRefused(f"{person.username} is the last admin: give another person the role first.")


def give_role(person: User, role: str, *, by: str, reason: str) -> User:
    """Make this the person's one role.  Raises PeopleRefused."""
    if role not in ROLES:
        raise PeopleRefused(f"{role!r} is no role; known: {', '.join(ROLES)}.")
    with transaction.atomic():
        person = User.objects.select_for_update().get(pk=person.pk)
        before = role_of(person)
        if role != ADMIN:
            _keep_one_admin(person)
        person.groups.set([Group.objects.get(name=role)])
        person.is_superuser = person.is_superuser and role == ADMIN
        person.is_staff = role == ADMIN
        person.save(update_fields=["is_superuser", "is_staff"])
        detail: dict[str, object] = {"before": before, "after": role, "reason": reason}
        audit.append(category="security", action="role_given", actor=by, object=person.username, detail=detail)
    return person


def add(username: str, role: str, password: str, *, by: str, reason: str) -> User:
    """A new account with a first password.  Raises PeopleRefused, ValidationError (the password)."""
    if role not in ROLES:
        raise PeopleRefused(f"{role!r} is no role; known: {', '.join(ROLES)}.")
    User.username_validator(username)
    if User.objects.filter(username__iexact=username).exists():
        raise PeopleRefused(f"{username!r} exists already.")
    person = User(username=username)
    validate_password(password, person)
    with transaction.atomic():
        person.set_password(password)
        person.save()
        audit.append(category="security", action="person_added", actor=by, object=username, detail={"reason": reason})
    return give_role(person, role, by=by, reason=reason)


def close(person: User, *, by: str, reason: str) -> None:
    """No sign-in any more; every living one ends.  Raises PeopleRefused for the last admin."""
    with transaction.atomic():
        person = User.objects.select_for_update().get(pk=person.pk)
        _keep_one_admin(person)
        person.is_active = False
        person.save(update_fields=["is_active"])
        audit.append(
            category="security", action="account_closed", actor=by, object=person.username, detail={"reason": reason}
        )
    devices.end(person.pk, person.username)


def reopen(person: User, *, by: str, reason: str) -> None:
    """The account may sign in again, with the role and password it had."""
    with transaction.atomic():
        User.objects.filter(pk=person.pk).update(is_active=True)
        audit.append(
            category="security", action="account_reopened", actor=by, object=person.username, detail={"reason": reason}
        )
