"""A shared database that is locked or breaks the connection is asked again; the queue that is away is told at once."""

import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from pytest_django import Settings

from tests.bootstrap import free_ports
from tests.studies.kit import optimise, write_bars, write_strategy
from trading.studies import exchange, hired
from trading.studies.models import StudyRun
from trading.studies.patience import patiently


def interrupt() -> Callable[[], None]:
    """The database takes no write of ours until what is returned was called; PostgreSQL ends our connection, once."""
    if connection.vendor != "sqlite":
        end_connection()
        return lambda: None
    other = sqlite3.connect(connection.settings_dict["NAME"], uri=True, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    return other.close


def end_connection() -> None:
    """The server ends our connection, as its restart would."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    given = connection.get_connection_params()
    words = {name: given[name] for name in ("host", "port", "user", "password", "dbname") if name in given}
    with psycopg.connect(**words, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


@pytest.mark.django_db(transaction=True)
def test_a_database_that_answers_again_was_asked_again_and_told_of_once() -> None:
    run = exchange.open_run("k" * 64, "{}", "here:/study", 1, 600)
    told: list[str] = []
    tries: list[bool] = []
    end = interrupt()

    def act() -> int:
        tries.append(True)
        if len(tries) == 3:
            end()
        return StudyRun.objects.filter(id=run.run_id).update(lease_s=700)

    try:
        assert patiently(act, told.append, limit_s=300) == 1
    finally:
        end()
    assert len(told) == 1 and "does not answer" in told[0] and "for 300 s" in told[0]
    assert StudyRun.objects.get(id=run.run_id).lease_s == 700
    assert len(tries) == (3 if connection.vendor == "sqlite" else 2)


@pytest.mark.django_db(transaction=True)
def test_patience_ends_with_the_database_s_own_words() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("a broken connection is mended by the next one")
    run = exchange.open_run("k" * 64, "{}", "here:/study", 1, 600)
    end = interrupt()
    try:
        with pytest.raises(OperationalError, match="locked"):
            patiently(lambda: exchange.close_run(run), lambda _: None, limit_s=0)
    finally:
        end()


def test_without_its_queue_a_study_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_ports(1)[0]}/0"
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_study", raising=False)
    write_strategy(tmp_path)
    data = write_bars(tmp_path / "bars.parquet", days=2, bars=40)
    with pytest.raises(CommandError, match=r"needs the queue of the desk, which is away: .*manage\.py run"):
        optimise(data, distributed=True)
    assert not (tmp_path / "study").exists()


@pytest.mark.usefixtures("redis_server")
def test_a_queue_that_no_worker_serves_is_told_with_the_command_that_starts_one() -> None:
    told: list[str] = []
    hired.check_queue(told.append)
    (words,) = told
    assert "no worker of studies answers" in words and "manage.py run" in words
    assert f"{sys.executable} -m celery -A desk worker -Q hands" in words
