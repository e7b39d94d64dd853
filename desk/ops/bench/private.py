"""A desk of its own for measurements and drills: own folder, own ports, the shipped programs under the supervisor.

It is started as a user would start it and ended as a service manager would end it.  It touches no other.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from desk.jitcache import BASE

START_S = 300  # a first start compiles


class NotStarted(RuntimeError):
    """The private desk did not come up; the text is what it said."""


def free_ports(count: int) -> list[int]:
    """`count` different TCP ports of 127.0.0.1 that nobody uses now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


class PrivateDesk:
    """Context manager: a running desk; `environment` for commands that should talk to it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="desk-", ignore_cleanup_errors=True)
        self.var = Path(self._folder.name)
        web, guard, redis = free_ports(3)
        ports = {"DESK_PORT": str(web), "DESK_GUARD_PORT": str(guard), "DESK_REDIS_PORT": str(redis)}
        mine = {k: v for k, v in os.environ.items() if k not in ("DESK_REDIS_URL", "DESK_DATABASE_URL")}
        self.environment = {**mine, **ports, "DESK_VAR": str(self.var)}
        self.web_port, self.guard_port = web, guard

    def __enter__(self) -> "PrivateDesk":
        self._said = self.var / "run.out"
        with open(self._said, "wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, str(BASE / "manage.py"), "run"],
                cwd=BASE,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                process_group=0,
            )
        deadline = time.monotonic() + START_S
        while "Ctrl-C" not in (words := self._said.read_text(errors="replace")):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise NotStarted(words)
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()  # not SIGINT: a shell's background job is born with that one ignored
            self._process.wait(60)
        self._folder.cleanup()

    def manage(self, *arguments: str, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
        """One command of this desk; its output is returned, a failure too."""
        return subprocess.run(
            [sys.executable, str(BASE / "manage.py"), *arguments],
            cwd=BASE,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
