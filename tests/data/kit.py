"""What the tests of the data pages share: a request, people, a page."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.test import Client

from desk.accounts.roles import ADMIN, make_roles
from marketdata.imports import Request
from tests.web.seed import PASSWORD

HOLE = range(100, 120)  # minutes that `stored` lacks on its first day


def asked(file: str, symbol: str = "ES", folder: Path | None = None, **options: str) -> Request:
    """A request of a file in the desk's folder."""
    return Request(str(folder or settings.IMPORT_FOLDERS[0]), file, symbol, "", options)


def signed_in(client: Client, name: str, role: str) -> Client:
    """A person of a role, signed in; an admin has a password, which takes its time."""
    make_roles()
    user = User.objects.create_user(name, password=PASSWORD if role == ADMIN else None)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    return client


def text_of(client: Client, path: str, status: int = 200, **given: Any) -> str:
    answer = client.get(path, **given)
    assert answer.status_code == status, (path, answer.status_code)
    return answer.content.decode()
