"""A real desk for the browser tests: Daphne in a process of its own, migrated database, collected files, real Redis.

The loops are not started: `tests.web.producer` writes what the sinks loop would write.  Nothing is shared with the test
process but the ports.
"""

import os
import shutil
import subprocess
import sys
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
        self._own_database()
        if self.runs_redis:
            self.redis.start()
        self.run("tests.web.seed")
        self.web = self.spawn("daphne", "-b", "127.0.0.1", "-p", str(self.port), "-v", "0", "desk.asgi:application")
        self.wait()
        return self

    def wait(self) -> None:
        deadline = time.monotonic() + 180
        while True:
            try:
                httpx.get(f"{self.url}/sign-in/", timeout=10).raise_for_status()
                return
            except httpx.HTTPError:
                assert time.monotonic() < deadline and self.web.poll() is None, (self.folder / "daphne.log").read_text()
                time.sleep(0.05)  # another process is starting: there is no clock to inject

    def _own_database(self) -> None:
        """On PostgreSQL a database of its own beside the suite's."""
        url = self.env.get("DESK_DATABASE_URL", "")
        if url:
            self.database = f"web_{self.port}"
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {self.database}")
            self.env["DESK_DATABASE_URL"] = f"{url.rsplit('/', 1)[0]}/{self.database}"

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

    def produce(self, session: int = 1) -> "subprocess.Popen[bytes]":
        """Start the producer of live values for a session."""
        return self.spawn("tests.web.producer", str(session))

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
        """The cookies of a signed-in person, for a browser."""
        with self.client(name) as client:
            return [{"name": key, "value": value, "url": self.url} for key, value in client.cookies.items()]

    def end(self, child: "subprocess.Popen[Any]") -> None:
        child.terminate()
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def stop(self) -> None:
        for child in reversed(self.children):
            if child.poll() is None:
                self.end(child)
        self.redis.kill()
        if self.database:
            with psycopg.connect(os.environ["DESK_DATABASE_URL"], autocommit=True) as connection:
                connection.execute(f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)")
        shutil.rmtree(self.folder, ignore_errors=True)


def csrf(client: httpx.Client) -> dict[str, str]:
    """Headers of a POST from the desk's own page."""
    return {"X-CSRFToken": client.cookies["csrftoken"], "Referer": str(client.base_url)}
