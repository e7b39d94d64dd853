"""Fixtures that every room's tests share.  Nothing here stands in for a part of the desk: servers are real ones."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

if TYPE_CHECKING:
    from django.test import Client

from desk.ops.embedded import redis_arguments, redis_binary, wait_for_redis
from tests.bootstrap import ROOT, free_ports
from trading.run.search.registry import FILE as TRIALS

SAMPLE_DATA = Path(os.environ.get("DESK_SAMPLE_DATA", ROOT.parent / "shared" / "data"))
DATABASE_FOLDERS = ("tests/shell/", "tests/web/")
# What these look at is the page's own script and style on written values: the same on either database.
PAGE_FOLDERS = ("tests/web/desk/", "tests/web/pages/test_looks.py", "tests/web/pages/test_data.py")
DATABASE_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "client", "admin_client"}
# Rooms that compute: what of them needs no server and no part of a desk runs beside the tests that do.
ROOMS = "architecture backtest core feeds kernel learning oracle parity research store"
PURE_FOLDERS = tuple(f"tests/{room}/" for room in ROOMS.split())
# What starts processes and asks no clock how fast they are: a machine that is busy makes it late and never wrong.
PATIENT_PLACES = (
    "tests/databento/",
    "tests/learning/",
    "tests/ops/test_setup.py",
    "tests/parity/",
    "tests/store/",
    "tests/studies/",
    "tests/web/access/test_hostile_routes.py",
    "tests/web/access/test_hostile_signin.py",
    "tests/web/backtests/",
    "tests/web/pages/test_data.py",
    "tests/web/pages/test_looks.py",
    "tests/web/test_pages.py",
)
SERVER_FIXTURES = {"redis_server", "redis_client", "collected_static", "free_port"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what touches the database, which the run on PostgreSQL takes, and what computes only or is patient, which
    runs beside."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        in_room = item.nodeid.startswith(DATABASE_FOLDERS) and not item.nodeid.startswith(PAGE_FOLDERS)
        uses = bool(in_room or item.get_closest_marker("django_db") or fixtures & DATABASE_FIXTURES)
        if uses and not item.get_closest_marker("one_database"):
            item.add_marker(pytest.mark.database)
        outside = uses or fixtures & SERVER_FIXTURES or any(map(item.get_closest_marker, ("processes", "browser")))
        if item.nodeid.startswith(PURE_FOLDERS) and not outside:
            item.add_marker(pytest.mark.pure)
        if item.get_closest_marker("processes") and item.nodeid.startswith(PATIENT_PLACES):
            item.add_marker(pytest.mark.patient)


@pytest.fixture(autouse=True)
def _no_trial_before() -> None:
    """What other tests tried on the same made-up bars is nobody's trial here."""
    (Path(os.environ["DESK_VAR"]) / TRIALS).unlink(missing_ok=True)


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The folder of recorded market data; tests that need it are skipped, with the reason, where it is absent."""
    if not SAMPLE_DATA.is_dir():
        pytest.skip(f"no sample data in {SAMPLE_DATA}: set DESK_SAMPLE_DATA to the folder that holds it")
    return SAMPLE_DATA


@pytest.fixture(scope="session")
def collected_static() -> Path:
    """STATIC_ROOT of this test process, filled: pages name their files by content, so they need them to render."""
    from django.conf import settings
    from django.core.management import call_command

    call_command("collectstatic", interactive=False, verbosity=0)
    return Path(settings.STATIC_ROOT)


@pytest.fixture
def client(collected_static: Path) -> "Client":
    """pytest-django's client, with the static files in place."""
    from django.test import Client

    return Client()


@pytest.fixture
def free_port() -> int:
    return free_ports(1)[0]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real embedded server at DESK_REDIS_URL of this test process; yields the URL."""
    url = os.environ["DESK_REDIS_URL"]
    folder = tmp_path_factory.mktemp("redis")
    port = int(os.environ["DESK_REDIS_PORT"])
    with open(folder / "redis.log", "wb") as log:
        server = subprocess.Popen([*redis_arguments(redis_binary(), port, folder)], stdout=log, stderr=log)
    try:
        wait_for_redis(url, timeout_s=60)
        yield url
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture
def redis_client(redis_server: str) -> Iterator["redis.Redis"]:
    """A client of `redis_server`; the server is empty before and after the test."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
        yield client
        client.flushall()
