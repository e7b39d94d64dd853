"""What the tests of who-may-what share: one desk for all of them, waiting, the password again, a locked database."""

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import msgspec
import psycopg

from tests.web.kit import Desk, csrf
from tests.web.seed import PASSWORD
from trading.run.clock import boot_id, boot_ns

WAIT_S = 120


def until(truth: Callable[[], bool], wait_s: float = WAIT_S) -> None:
    """Other processes come up, and rows come in, by themselves."""
    deadline = time.monotonic() + wait_s
    while not truth():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def state_of(client: httpx.Client) -> tuple[str, ...]:
    """What a forbidden POST could have changed, as the pages show it."""
    pages = ("/admin/trading/configversion/", "/admin/auth/user/", "/sessions/1/?list=commands", "/sessions/")
    changing = r"<input[^>]*csrf[^>]*>|as of [\d\- :]+|data-token=\S+|datetime=\"[^\"]*\""
    return tuple(re.sub(changing, "", client.get(path, timeout=WAIT_S).text) for path in pages)


def confirm(client: httpx.Client) -> None:
    """Give the password again."""
    answer = client.post("/account/confirm/", data={"password": PASSWORD}, headers=csrf(client))
    assert answer.status_code == 302, answer.text


@contextmanager
def locked(desk: Desk) -> Iterator[None]:
    """Somebody else holds the database: reading goes on, nothing can be written."""
    if desk.database:
        with psycopg.connect(desk.env["DESK_DATABASE_URL"]) as connection:
            connection.execute("LOCK TABLE trading_command, trading_session, audit_auditrecord IN EXCLUSIVE MODE")
            yield
            connection.rollback()
        return
    holder = sqlite3.connect(desk.folder / "desk.sqlite3", timeout=30)
    try:
        holder.execute("BEGIN IMMEDIATE")
        yield
    finally:
        holder.rollback()
        holder.close()


@contextmanager
def gone(desk: Desk) -> Iterator[None]:
    """Nobody can open the database, and who has it open is cut off or finds it locked."""
    if desk.database:
        with psycopg.connect(os.environ["DESK_DATABASE_URL"], autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {desk.database} ALLOW_CONNECTIONS false")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [desk.database]
            )
            try:
                yield
            finally:
                connection.execute(f"ALTER DATABASE {desk.database} ALLOW_CONNECTIONS true")
        return
    path = desk.folder / "desk.sqlite3"
    with locked(desk):
        aside = path.rename(path.with_name("aside.sqlite3"))
        path.mkdir()
        try:
            yield
        finally:
            path.rmdir()
            aside.rename(path)


def age_latch(desk: Desk, seconds: float) -> None:
    """A latch that fell so long ago."""
    latch = {
        "at_ns": time.time_ns(), "boot_ns": boot_ns() - int(seconds * 1e9), "boot_id": boot_id(), "by": "test",
        "reason": "drill",
    }  # fmt: skip
    (desk.folder / "guard" / "latch.json").write_bytes(msgspec.json.encode(latch))


def pass_time(desk: Desk, seconds: float) -> None:
    """What fell fell so much longer ago; all else of the latch is as the guard wrote it."""
    path = desk.folder / "guard" / "latch.json"
    latch = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode({**latch, "boot_ns": latch["boot_ns"] - int(seconds * 1e9)}))


def reset_failures(desk: Desk) -> None:
    """As fifteen minutes would."""
    desk.run("manage", "axes_reset")
