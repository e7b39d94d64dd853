"""Makes and redeems one-time sign-in links.  The first link of a new desk creates its first user.

A link is claimed by a conditional update, so that two browsers can never both use it.  `now` is always given.
Called by the views, `manage.py run` and `manage.py signin_link`.
"""

import hashlib
import ipaddress
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse

from desk.accounts.models import SigninLink

LINK_MINUTES = 15
# A proxy on this machine makes every client look local: a forwarded request is refused, whatever the header says.
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP")


class LinkRefused(ValueError):
    """The link cannot be used; the text says why and what to do."""


class NewLink(NamedTuple):
    path: str
    minutes: int


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def make_link(*, now: datetime, sets_password: bool = False) -> NewLink:
    """A fresh link; every older one stops working, so that at most one exists at any time."""
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        SigninLink.objects.filter(used_at=None).delete()
        SigninLink.objects.create(
            token_hash=token_hash(token),
            made_at=now,
            expires_at=now + timedelta(minutes=LINK_MINUTES),
            sets_password=sets_password,
        )
    return NewLink(reverse("accounts:link", args=[token]), LINK_MINUTES)


def is_this_machine(meta: dict[str, object]) -> bool:
    """Whether a request came straight from 127.0.0.1 or ::1.  An address that cannot be read is not this machine."""
    if any(name in meta for name in FORWARDED):
        return False
    try:
        address = ipaddress.ip_address(str(meta.get("REMOTE_ADDR", "")))
    except ValueError:
        return False
    return address in (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))


def owner() -> User | None:
    """The person whom a link signs in: the first active superuser with a password; None on a new desk."""
    people = User.objects.filter(is_superuser=True, is_active=True).order_by("id")
    return next((person for person in people if person.has_usable_password()), None)


def find_link(token: str, *, now: datetime) -> SigninLink:
    """The live link of this token.  Raises LinkRefused when it is unknown, used or too old."""
    link = SigninLink.objects.filter(token_hash=token_hash(token)).first()
    if link is None:
        raise LinkRefused("This link is not known, or a newer one was made.")
    if link.used_at is not None:
        raise LinkRefused("This link has been used.")
    if link.expires_at <= now:
        raise LinkRefused(f"This link was good for {LINK_MINUTES} minutes.")
    return link


def asks_password(link: SigninLink) -> bool:
    """Whether the person sets a password while using this link: always the first one of a new desk."""
    return link.sets_password or owner() is None


def redeem(token: str, *, now: datetime, username: str = "", password: str = "") -> User:
    """Use the link up and return the person to sign in.

    Raises LinkRefused, or ValidationError when the password or the name is not good enough; then the link stays good.
    """
    link = find_link(token, now=now)
    with transaction.atomic():
        if SigninLink.objects.filter(id=link.id, used_at=None, expires_at__gt=now).update(used_at=now) != 1:
            raise LinkRefused("This link has been used.")
        person = owner()
        if person is not None and not link.sets_password:
            return person
        if person is None:
            person = first_user(username)
        validate_password(password, person)
        person.set_password(password)
        person.save()
    return person


def first_user(username: str) -> User:
    """The unsaved owner of a new desk, or the named person without a password, made the owner."""
    person = User.objects.filter(username=username).first() or User(username=username)
    person.is_active = person.is_staff = person.is_superuser = True
    if not username:
        raise ValidationError("A name is needed.")
    User.username_validator(username)
    return person
