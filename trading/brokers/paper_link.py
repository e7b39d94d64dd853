"""A client's connection to the paper venue: calls matched with replies by their id, pushes in order, one reader thread.

Blocking and thread-safe.  Raises the port's four errors and nothing else: not connected is Unreachable, a timeout or a
lost connection after sending is OutcomeUnknown.  It knows one local socket and no other address.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from trading.brokers.port import OutcomeUnknown, RateLimited, Rejected, Unauthorized, Unreachable
from trading.brokers.wire import RATE_LIMITED, UNAUTHORIZED, Call, Frames, Reply, Terms, WireError, frame
from trading.run.clock import ClockRecord

READ_BYTES = 1 << 18


class VenueLink:
    """One connection: one account, one role, one fence."""

    def __init__(self, path: Path, timeout_s: float = 1.0, on_push: Callable[[Reply], None] | None = None) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._on_push = on_push
        self._socket: socket.socket | None = None
        self._changed = threading.Condition()
        self._replies: dict[int, Reply] = {}
        self._asked: set[int] = set()
        self._next_id = 1
        self._sending = threading.Lock()
        self._reader: threading.Thread | None = None

    @property
    def connected(self) -> bool:
        """False after `close`, or once the venue ended the connection."""
        return self._socket is not None

    def connect(
        self,
        account: str,
        role: str,
        fence: int = 0,
        after_ref: int = -1,
        terms: Terms | None = None,
        clock: ClockRecord | None = None,
    ) -> Reply:
        """Connect and say hello; `terms` open the account when it does not exist yet."""
        self.close()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self._timeout_s)
        try:
            sock.connect(os.fspath(self._path))
        except OSError as error:
            sock.close()
            raise Unreachable(f"no venue at {self._path}: {error.strerror or error}") from None
        sock.settimeout(None)
        with self._changed:
            self._socket = sock
            self._replies.clear()
            self._asked.clear()
        self._reader = threading.Thread(target=self._read, args=(sock,), name=f"venue-{role}", daemon=True)
        self._reader.start()
        try:
            return self.hello(account, role, fence, after_ref, terms, clock)
        except Exception:
            self.close()
            raise

    def hello(
        self,
        account: str,
        role: str,
        fence: int = 0,
        after_ref: int = -1,
        terms: Terms | None = None,
        clock: ClockRecord | None = None,
    ) -> Reply:
        """Say who asks, on a new connection, or again on one that stands: pushes begin anew behind `after_ref`."""
        return self.call(
            "hello", account=account, role=role, fence=fence, after_ref=after_ref, terms=terms, clock=clock
        )

    def call(self, verb: str, timeout_s: float | None = None, **fields: object) -> Reply:
        """Send one call and wait for its reply."""
        number = self.send(verb, **fields)
        return self.wait(number, timeout_s)

    def send(self, verb: str, **fields: object) -> int:
        """Send one call without waiting.  Returns its id, for `wait`."""
        with self._sending:
            sock = self._socket
            if sock is None:
                raise Unreachable("not connected to the venue")
            number = self._next_id
            self._next_id += 1
            with self._changed:
                self._asked.add(number)
            try:
                sock.sendall(frame(Call(id=number, verb=verb, **fields)))  # type: ignore[arg-type]
            except OSError as error:
                self._lost(sock)
                raise OutcomeUnknown(f"{verb}: the connection broke while sending ({error.strerror})") from None
            return number

    def wait(self, number: int, timeout_s: float | None = None) -> Reply:
        """The reply to a call."""
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + limit_s
        with self._changed:
            while number not in self._replies:
                left = deadline - time.monotonic()
                if self._socket is None or left <= 0:
                    self._asked.discard(number)
                    why = "the connection was lost" if self._socket is None else f"no reply within {limit_s} s"
                    raise OutcomeUnknown(f"{why} after the call was sent")
                self._changed.wait(left)
            self._asked.discard(number)
            reply = self._replies.pop(number)
        if reply.error == RATE_LIMITED:
            raise RateLimited(reply.text)
        if reply.error == UNAUTHORIZED:
            raise Unauthorized(reply.text)
        if reply.error != "":
            raise Rejected(reply.text, reply.error)
        return reply

    def _read(self, sock: socket.socket) -> None:
        frames = Frames(Reply)
        try:
            while data := sock.recv(READ_BYTES):
                for reply in frames.feed(data):
                    self._take(reply)
        except (OSError, WireError):
            pass  # the same as an end of the stream: what was asked is unknown
        self._lost(sock)

    def _take(self, reply: Reply) -> None:
        if reply.id == 0:
            if self._on_push is not None:
                self._on_push(reply)
            return
        with self._changed:
            if reply.id in self._asked:  # else nobody waits any longer
                self._replies[reply.id] = reply
                self._changed.notify_all()

    def _lost(self, sock: socket.socket) -> None:
        with self._changed:
            if self._socket is sock:
                self._socket = None
            self._changed.notify_all()
        sock.close()
        if self._on_push is not None:
            self._on_push(Reply(error="lost"))

    def close(self) -> None:
        """End the connection; everybody who waits is told."""
        sock, reader = self._socket, self._reader
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                self._lost(sock)  # the other side was faster
        if reader is not None and reader is not threading.current_thread():
            reader.join(self._timeout_s)
        self._reader = None
