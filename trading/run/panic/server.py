"""The guard's process: a local socket for this machine's own callers, the panic page, and the second look.

`manage.py guard` calls `run_guard`.  It imports no Django, Redis or database (K-04).  A latch found at the start is
verified before anything else; what is not flat is tried again every second until it is.
"""

import os
import signal
import socket
import socketserver
import struct
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from trading.run.guard import SOCKET_FILE, Guard
from trading.run.latch import guard_folder
from trading.run.panic.page import PanicServer, secret

SECOND_LOOK_S = 1.0
LINE_MAX = 10_000


class LocalHandler(socketserver.StreamRequestHandler):
    """One line of JSON in, one out: {"verb": "kill", "by", "reason"} or {"verb": "status"}."""

    server: "LocalServer"
    timeout = 30

    def handle(self) -> None:
        if self._peer() != os.getuid():
            self._answer({"error": "only the desk's owner may ask the guard"})
            return
        try:
            message = msgspec.json.decode(self.rfile.readline(LINE_MAX))
            verb = message["verb"]
        except (msgspec.DecodeError, KeyError, TypeError):
            self._answer({"error": "one line of JSON with a verb is expected"})
            return
        if verb == "kill":
            self._answer(self.server.guard.kill(str(message.get("by", "unknown")), str(message.get("reason", ""))))
        elif verb == "status":
            self._answer(self.server.guard.status())
        else:
            self._answer({"error": "known verbs: kill, status"})

    def _peer(self) -> int:
        """User id of the caller, by the kernel's word; systems without it rely on the socket's mode."""
        if not hasattr(socket, "SO_PEERCRED"):
            return os.getuid()
        data = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", data)[1])

    def _answer(self, value: dict[str, Any]) -> None:
        self.wfile.write(msgspec.json.encode(value) + b"\n")


class LocalServer(socketserver.ThreadingUnixStreamServer):
    """`var/guard/guard.sock`, mode 0600."""

    daemon_threads = True

    def __init__(self, path: Path, guard: Guard) -> None:
        self.guard = guard
        old = os.umask(0o177)
        try:
            super().__init__(os.fspath(path), LocalHandler)
        finally:
            os.umask(old)


def second_look(guard: Guard, stop: threading.Event, wait_s: float = SECOND_LOOK_S) -> None:
    """Until `stop`: a latch that stands without proof of flat is acted on again."""
    while True:
        if guard.unfinished():
            guard.go_on()
        if stop.wait(wait_s):
            return


def run_guard(var: Path, port: int) -> None:
    """The process: until SIGTERM or SIGINT.  A taken port ends it with one sentence."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    guard_folder(var).chmod(0o700)
    secret(var)
    guard = Guard(var)
    path = var / "guard" / SOCKET_FILE
    try:
        page = PanicServer(port, guard)
    except OSError as error:
        words = f"port {port} of 127.0.0.1 cannot be used ({error.strerror}); set DESK_GUARD_PORT to a free one"
        sys.exit(f"guard: {words}")
    path.unlink(missing_ok=True)  # ours: the port is the lock
    local = LocalServer(path, guard)
    threads = [
        threading.Thread(target=page.serve_forever, name="page", daemon=True),
        threading.Thread(target=local.serve_forever, name="local", daemon=True),
        threading.Thread(target=second_look, args=(guard, stop), name="second-look", daemon=True),
    ]
    for thread in threads:
        thread.start()
    print("guard: ready", flush=True)
    stop.wait()
    page.shutdown()
    local.shutdown()
    path.unlink(missing_ok=True)
