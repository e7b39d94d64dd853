"""A real desk for the browser tests: Daphne in a process of its own, migrated database, collected files, real Redis.

The loops are not started: `tests.web.producer` writes what the sinks loop would write.  Nothing is shared with the test
process but the ports.  What every new desk begins with (tables, static files, people) is made once and copied.
"""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.bootstrap import ROOT, free_ports
from tests.redis_server import RedisServer
from tests.web.seed import PASSWORD

PATIENCE_S = 180  # a loaded machine with cold caches


class Desk:
    """One desk in `folder`.  `start` brings it up; `stop` ends every process that it started."""

    def __init__(self, folder: Path, *, redis: bool = True, extra: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.port, self.guard_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.redis = RedisServer(folder / "redis")
        self.runs_redis = redis
        self.children: list[subprocess.Popen[bytes]] = []
        self.database = ""
        self._shared: dict[str, list[Any]] = {}
        self.env = {
            **os.environ,
            "DESK_VAR": str(folder),
            "DESK_PORT": str(self.port),
            "DESK_GUARD_PORT": str(self.guard_port),
            "DESK_REDIS_URL": self.redis.url,
            "DJANGO_SETTINGS_MODULE": "desk.settings",
            **(extra or {}),
        }

    def start(self) -> "Desk":
        """Database, static files, seed, Redis, Daphne; returns when the sign-in page answers."""
        self._copy_new_desk()
        if self.runs_redis:
            self.redis.start()
        self.web = self.spawn("daphne", "-b", "127.0.0.1", "-p", str(self.port), "-v", "0", "desk.asgi:application")
        if self.env.get("DESK_TEST_SESSION") != "no":
            self.run("tests.web.seed", "session")
        self.wait()
        return self

    def wait(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                httpx.get(f"{self.url}/sign-in/", timeout=60).raise_for_status()
                return
            except httpx.HTTPError:
                assert time.monotonic() < deadline and self.web.poll() is None, self.log("daphne")
                time.sleep(0.05)  # another process is starting: there is no clock to inject

    def _copy_new_desk(self) -> None:
        """Files, people and tables; on PostgreSQL a database of its own beside the suite's."""
        url = self.env.get("DESK_DATABASE_URL", "")
        folder, database = new_desk(url)
        shutil.copytree(folder, self.folder, dirs_exist_ok=True)
        if url:
            self.database = f"web_{self.port}"
            execute(url, f"CREATE DATABASE {self.database} TEMPLATE {database}")
            self.env["DESK_DATABASE_URL"] = beside(url, self.database)

    def run(self, module: str, *words: str) -> str:
        """Run a module to its end; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", module, *words], cwd=ROOT, env=self.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{module} {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def spawn(self, module: str, *words: str) -> "subprocess.Popen[bytes]":
        """Start a module in the background, its output in a log of its name."""
        with (self.folder / f"{module}.log").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.children.append(child)
        return child

    def log(self, module: str) -> str:
        """What a module that was started here has said."""
        return (self.folder / f"{module}.log").read_text()

    def produce(self, session: int = 1) -> "subprocess.Popen[bytes]":
        """Start the producer of live values for a session; returns when the first picture stands."""
        child = self.spawn("tests.web.producer", str(session))
        deadline = time.monotonic() + PATIENCE_S
        with self.redis.client() as client:
            while not client.hexists(f"desk:latest:s{session}", "book:0"):
                assert time.monotonic() < deadline and child.poll() is None, self.log("tests.web.producer")
                time.sleep(0.02)  # another process is starting: there is no clock to inject
        return child

    @contextmanager
    def client(self, name: str = "alice") -> Iterator[httpx.Client]:
        """A signed-in HTTP client."""
        with httpx.Client(base_url=self.url, follow_redirects=False, timeout=60) as client:
            client.get("/sign-in/")
            form = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
            answer = client.post("/sign-in/", data=form, headers={"Referer": self.url})
            assert answer.status_code == 302, answer.text
            yield client

    def cookies(self, name: str = "alice") -> list[Any]:
        """The cookies of a person who has just signed in, for a browser."""
        with self.client(name) as client:
            return [{"name": key, "value": value, "url": self.url} for key, value in client.cookies.items()]

    def shared_cookies(self, name: str = "alice") -> list[Any]:
        """The same of a sign-in that several pages share: a password is hashed once, not for each of them."""
        held = {row["name"]: row["value"] for row in self._shared.get(name, ())}
        with httpx.Client(base_url=self.url, cookies=held, timeout=60) as client:
            if not held or client.get("/account/").status_code != 200:  # signed out meanwhile
                self._shared[name] = self.cookies(name)
        return self._shared[name]

    def end(self, child: "subprocess.Popen[Any]") -> None:
        child.terminate()
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def stop(self) -> None:
        living = [child for child in reversed(self.children) if child.poll() is None]
        for child in living:
            child.terminate()  # all at once: each takes its second
        for child in living:
            self.end(child)
        self.redis.kill()
        if self.database:
            execute(os.environ["DESK_DATABASE_URL"], f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)")
        shutil.rmtree(self.folder, ignore_errors=True)


def csrf(client: httpx.Client) -> dict[str, str]:
    """Headers of a POST from the desk's own page."""
    return {"X-CSRFToken": client.cookies["csrftoken"], "Referer": str(client.base_url)}


@functools.cache
def new_desk(url: str) -> tuple[Path, str]:
    """(folder, database) of a desk that nobody has used yet, made once in this process; `url`: "" is SQLite."""
    folder = Path(tempfile.mkdtemp(prefix="desk-new-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    env = {**os.environ, "DESK_VAR": str(folder)}
    database = ""
    if url:
        database = f"web_new_{os.getpid()}"
        execute(url, f"CREATE DATABASE {database}")
        atexit.register(execute, url, f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        env["DESK_DATABASE_URL"] = beside(url, database)
    command = [sys.executable, "-m", "tests.web.seed", "people"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, database


def beside(url: str, database: str) -> str:
    """The address of another database of the same server."""
    return f"{url.rsplit('/', 1)[0]}/{database}"


def execute(url: str, statement: str) -> None:
    """One statement outside a transaction."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
