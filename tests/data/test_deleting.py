"""/data/N/delete/: who may, what stands in the way, what is noted, and what is said when the disk fails."""

import errno
import os
import re

import pytest
from django.db import DatabaseError
from django.test import Client

from desk.accounts.roles import ADMIN
from desk.audit.models import AuditRecord
from marketdata.models import DataSet, ImportRun
from marketdata.selectors import data_set_path
from marketdata.services import data_folder, delete_data_set
from tests.data.kit import signed_in, text_of
from tests.shell.frames import make_session
from tests.web.seed import PASSWORD
from trading.models import Session

pytestmark = pytest.mark.django_db
REASON = "a newer file stands in its place"


def ticket_of(page: str) -> str:
    found = re.search(r'name="ticket" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_an_admin_deletes_with_reason_and_password(client: Client, stored: DataSet) -> None:
    alice = signed_in(client, "alice", ADMIN)
    path, where = data_set_path(stored), f"/data/{stored.pk}/delete/"
    form = {"reason": REASON, "ticket": ticket_of(text_of(alice, where))}
    refused = alice.post(where, form)
    assert refused.status_code == 422 and "give your password again" in refused.content.decode()
    short = alice.post(where, form | {"reason": "old", "password": PASSWORD})
    assert short.status_code == 422 and "10 characters or more" in short.content.decode()
    late = alice.post(where, form | {"ticket": "old", "password": PASSWORD})
    assert late.status_code == 422 and "Read it again" in late.content.decode()
    assert path.exists() and DataSet.objects.exists()
    answer = alice.post(where, form | {"password": PASSWORD})
    assert answer.headers["location"] == "/data/"
    assert not DataSet.objects.exists() and list(path.parent.iterdir()) == []
    assert ImportRun.objects.get().data_set is None
    assert "deleted since" in text_of(alice, "/data/")
    record = AuditRecord.objects.get(action="data_set_deleted")
    assert (record.actor, record.detail["source"], record.detail["reason"]) == ("alice", "ES_1min.csv", REASON)
    text_of(alice, where, 404)


def test_a_row_that_goes_is_noted_also_when_a_file_stays(
    client: Client, stored: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails after the row went: the page says what is gone and what is not, and the deed is in the audit."""
    alice, where = signed_in(client, "alice", ADMIN), f"/data/{stored.pk}/delete/"
    form = {"reason": REASON, "ticket": ticket_of(text_of(alice, where)), "password": PASSWORD}

    def broken(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", broken)
        page = alice.post(where, form, follow=True).content.decode()
    assert f"the entry of data set {stored.pk} is gone, files of {stored.path} remain" in page
    assert "Not deleted" not in page and not DataSet.objects.exists()
    assert list(data_folder().glob("ES-*")), "the files that are spoken of"
    record = AuditRecord.objects.get(action="data_set_deleted")
    assert (record.actor, record.object, record.detail["reason"]) == ("alice", f"data set {stored.pk}", REASON)


def test_a_deed_that_cannot_be_noted_is_not_done(stored: DataSet) -> None:
    def fails(row: DataSet) -> None:
        raise DatabaseError("the audit does not answer")

    with pytest.raises(DatabaseError):
        delete_data_set(stored.pk, lambda row: [], fails)
    assert DataSet.objects.get() == stored and data_set_path(stored).exists()


def test_a_set_that_a_session_was_fed_from_never_goes(client: Client, stored: DataSet) -> None:
    session = make_session(status="ended")
    path = data_set_path(stored)
    alice, where = signed_in(client, "alice", ADMIN), f"/data/{stored.pk}/delete/"
    for used in (str(path), f"/elsewhere/data/{path.name}", f"/a/other.json,{path}"):
        spec = session.spec | {"feed": {"name": "replay", "path": used}}
        Session.objects.filter(pk=session.pk).update(spec=spec)
        page = text_of(alice, where)
        assert f"session {session.key}" in page and "Delete it for good" not in page
        form = {"reason": REASON, "password": PASSWORD, "ticket": ticket_of_deed(alice, stored)}
        answer = alice.post(where, form)
        assert answer.status_code == 422 and f"is used by session {session.key}" in answer.content.decode()
        assert session.key in text_of(alice, f"/data/{stored.pk}/")
    assert path.exists() and DataSet.objects.exists()
    spec = session.spec | {"feed": {"name": "replay", "path": f"{path}.copy"}}
    Session.objects.filter(pk=session.pk).update(spec=spec)
    assert "No session was fed from it." in text_of(alice, f"/data/{stored.pk}/")


def ticket_of_deed(person: Client, row: DataSet) -> str:
    """What the page would hand out: while a session uses the set it hands out none."""
    from django.core import signing

    pk = int(person.session["_auth_user_id"])
    return signing.dumps([pk, f"delete data set {row.pk} {row.path}"], salt="desk.stepup")


def test_nothing_is_deleted_while_the_same_file_is_imported(client: Client, stored: DataSet) -> None:
    from marketdata.store.importing import key_of
    from marketdata.store.sets.publishing import work_folder

    alice = signed_in(client, "alice", ADMIN)
    where = f"/data/{stored.pk}/delete/"
    path = data_set_path(stored)
    with work_folder(path.parent, key_of(path)):
        form = {"reason": REASON, "password": PASSWORD, "ticket": ticket_of(text_of(alice, where))}
        answer = alice.post(where, form)
        assert answer.status_code == 422 and "another import of the same file is running" in answer.content.decode()
    assert path.exists() and DataSet.objects.exists()
