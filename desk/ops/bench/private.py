"""A desk of its own for measurements and drills: own folder, own ports, the shipped programs under the supervisor.

It is started as a user would start it and ended as a service manager would end it, or as a power cut would.  It
touches no other, and it ends with the process that made it.
"""

import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from desk.jitcache import BASE
from desk.ops.supervise import kill_session, last_line

START_S = 900  # a first start compiles, on a busy machine for minutes
STOP_S = 60


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
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "PrivateDesk":
        try:
            self.start()
        except NotStarted:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()

    def start(self) -> None:
        """Start it and wait until it answers.  Raises NotStarted."""
        said = self.var / "run.out"
        with open(said, "wb") as output:
            # the wrapper has the kernel end it in order when this process dies
            wrapper = [sys.executable, "-m", "desk.ops.child", "--signal", "SIGTERM", "--"]
            self._process = subprocess.Popen(
                [*wrapper, sys.executable, str(BASE / "manage.py"), "run", "--wait", str(START_S)],
                cwd=BASE,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            )
        deadline = time.monotonic() + START_S
        while "Ctrl-C" not in (words := said.read_text(errors="replace")):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise NotStarted(words)
            time.sleep(0.1)

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()  # not SIGINT: a shell's background job is born with that one ignored
            self._process.wait(STOP_S)

    def crash(self) -> None:
        """SIGKILL to every process of it at once, the supervisor first: what a power cut leaves behind."""
        if self._process is None:
            return
        supervisor = int((self.var / "supervisord.pid").read_text())
        session = os.getsid(supervisor)
        self._process.kill()
        os.kill(supervisor, signal.SIGKILL)
        kill_session(session)
        self._process.wait(STOP_S)

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

    def lines(self, *arguments: str, pulse_s: float = 2.0) -> Iterator[str]:
        """The lines that one command of this desk prints, as they come, and "" after every `pulse_s` without one.

        A caller that stops listening ends the command.  Raises CommandFailed with its last words.
        """
        errors = self.var / "command.err"
        with open(errors, "wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-u", str(BASE / "manage.py"), *arguments],
                cwd=BASE,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        heard: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        listener = threading.Thread(target=_listen, args=(process, heard), daemon=True)
        listener.start()
        try:
            while (line := _next(heard, pulse_s)) is not None:
                yield line
            if process.wait() != 0:
                raise CommandFailed(last_line(errors))
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(STOP_S)
            listener.join()


def _listen(process: "subprocess.Popen[str]", heard: "queue.SimpleQueue[str | None]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        heard.put(line)
    heard.put(None)


def _next(heard: "queue.SimpleQueue[str | None]", pulse_s: float) -> str | None:
    """The next line; "" when there is none yet, None at the end."""
    try:
        return heard.get(timeout=pulse_s)
    except queue.Empty:
        return ""


class CommandFailed(RuntimeError):
    """A command of the private desk ended with an error; the text is the last line of what it said."""
