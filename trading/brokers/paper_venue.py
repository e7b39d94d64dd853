"""The paper venue as a process of its own: accounts on one local socket, durable before they answer.

`manage.py venue` calls `run_venue`.  Feeds bring market data, execution brings orders and gets answers pushed, the
guard blocks, cancels and flattens, reconcile reads.  A call is handled when it arrives; all calls of one turn of the
loop share one sync of the disk, and only then leave replies and answers.  It has no route to anything but this socket.
"""

import asyncio
import fcntl
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trading.brokers.paper_account import Account
from trading.brokers.paper_store import StoreError
from trading.brokers.paper_token import is_refused
from trading.brokers.wire import (
    FENCED,
    MALFORMED,
    RATE_LIMITED,
    REJECTED,
    ROLES,
    UNAUTHORIZED,
    UNKNOWN_ACCOUNT,
    Call,
    Frames,
    Reply,
    WireError,
    frame,
)
from trading.core.records import CANCEL, MODIFY, SUBMIT
from trading.core.venue.warm import warm

SOCKET_NAME = "venue.sock"
TAPE_SILENCE_S = 1.0  # a tape that stands still this long lets the next request arrive
SOCKET_PATH_MAX = 100  # bytes; the system's limit is 108
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_REQUESTS = {"submit": SUBMIT, "cancel": CANCEL, "modify": MODIFY}
_ALLOWED = {
    "feed": {"market", "snapshot"},
    "execution": {"submit", "cancel", "modify", "query", "events_since", "snapshot", "ping"},
    "guard": {"block", "cancel_all", "flatten_all", "snapshot", "events_since"},
    "reconcile": {"query", "events_since", "snapshot"},
}


class VenueError(RuntimeError):
    """The venue cannot start; one sentence that says what to do."""


class Refused(Exception):
    """A call that has no effect; becomes a Reply with `error`."""

    def __init__(self, error: str, text: str) -> None:
        super().__init__(text)
        self.error = error


class Connection(asyncio.Protocol):
    """One client: an account and a role once it said hello."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.frames = Frames(Call)
        self.transport: asyncio.Transport | None = None
        self.account = ""
        self.role = ""
        self.fence = 0
        self.cursor = -1  # last answer pushed; −1: nothing is pushed to this connection
        self.waiting: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.connections.discard(self)
        if self.role == "execution" and self.cursor >= 0:  # −1: another took over, and has dropped them
            self.server.drop_kept(self.account)

    def data_received(self, data: bytes) -> None:
        try:
            for call in self.frames.feed(data):
                self.server.handle(self, call)
        except WireError as error:
            self.reply(Reply(error=MALFORMED, text=str(error)))
            self.server.flush_soon()
            assert self.transport is not None
            self.server.loop.call_soon(self.transport.close)

    def reply(self, reply: Reply) -> None:
        """Queue a reply; it leaves with the next flush."""
        self.waiting.append(frame(reply))

    def send(self) -> None:
        """Write what is queued."""
        if self.waiting and self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"".join(self.waiting))
        self.waiting.clear()


class Server:
    """All accounts of one desk."""

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.folder = folder
        self.loop = loop
        self.accounts: dict[str, Account] = {}
        self.connections: set[Connection] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._moved: dict[str, float] = {}  # when market data last came, loop time
        self._dirty: set[str] = set()
        self._flushing = False
        self._closed = False

    # accounts

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.account"

    def account(self, name: str) -> Account:
        """The account, loaded when it is first asked for.  Raises Refused when it was never opened."""
        if name not in self.accounts:
            if not _NAME.fullmatch(name) or not self.path(name).exists():
                raise Refused(UNKNOWN_ACCOUNT, f"account {name!r} was never opened here")
            try:
                self.accounts[name] = Account.open(self.path(name))
                self.accounts[name].drop_kept()  # its connections ended with the process before this one
            except StoreError as error:
                raise Refused(REJECTED, str(error)) from None
            self._schedule(name)
        return self.accounts[name]

    def _open_account(self, call: Call, name: str) -> Reply:
        if call.terms is None or not _NAME.fullmatch(name):
            raise Refused(REJECTED, "an account needs terms and a name of letters, digits, - and _")
        if name in self.accounts or self.path(name).exists():
            account = self.account(name)
        else:
            try:
                account = self.accounts[name] = Account.create(self.path(name), call.terms)
            except ValueError as error:
                raise Refused(REJECTED, str(error)) from None
        if account.meta.terms != call.terms:
            raise Refused(REJECTED, f"account {name!r} was opened under other terms; they never change")
        return Reply(id=call.id, ref=account.last_ref, position=int(account.venue.account[0].market_position))

    # calls

    def handle(self, connection: Connection, call: Call) -> None:
        """One call: its reply is queued and leaves after the next commit."""
        try:
            if call.verb == "hello":
                reply: Reply | None = self._hello(connection, call)
            elif connection.role == "":
                raise Refused(REJECTED, "say hello first")
            else:
                reply = self._serve(connection, call)
        except Refused as refusal:
            reply = Reply(id=call.id, error=refusal.error, text=str(refusal))
        if reply is not None:
            connection.reply(reply)
        if connection.account in self.accounts:
            self._dirty.add(connection.account)
            self._schedule(connection.account)
        self.flush_soon()

    def _hello(self, connection: Connection, call: Call) -> Reply:
        if call.role not in ROLES:
            raise Refused(REJECTED, f"role {call.role!r} is unknown; known: {', '.join(ROLES)}")
        self._check_token(call.account, call.role)
        who = (call.account, call.role, call.fence)
        again = connection.cursor >= 0 and (connection.account, connection.role, connection.fence) == who
        connection.account, connection.role, connection.fence = who
        if not again:
            connection.cursor = -1
        if call.terms is not None:
            reply = self._open_account(call, call.account)
        else:
            account = self.account(call.account)
            reply = Reply(id=call.id, ref=account.last_ref, position=int(account.venue.account[0].market_position))
        account = self.accounts[call.account]
        if call.clock is not None:
            account.set_clock(call.clock)
        self._take_fence(connection, account)
        if call.role == "execution" and not again:  # who kept them on this connection still does
            account.drop_kept()
        if call.role == "execution" and call.after_ref >= 0:
            self._missed(account, call.after_ref)
            connection.cursor = call.after_ref
        return reply

    def _take_fence(self, connection: Connection, account: Account) -> None:
        """The highest fence of a role is the only one that acts; its earlier connection is closed."""
        self._check_fence(connection, account)
        if connection.role in ("guard", "reconcile"):
            return
        account.take_fence(connection.role, connection.fence)
        for other in list(self.connections):
            same = (other.account, other.role) == (connection.account, connection.role)
            if other is not connection and same and other.transport is not None:
                other.cursor = -1
                other.transport.close()

    def drop_kept(self, name: str) -> None:
        """The execution loop that kept these children is gone: with a real broker nobody would send them either."""
        if name in self.accounts and not self._closed:
            self.accounts[name].drop_kept()
            self._dirty.add(name)
            self._schedule(name)
            self.flush_soon()

    def _check_fence(self, connection: Connection, account: Account) -> None:
        highest = account.meta.fences.get(connection.role, connection.fence)
        if connection.fence < highest:
            connection.cursor = -1
            raise Refused(FENCED, f"fence {connection.fence} of role {connection.role} is below {highest}")

    def _check_token(self, account: str, role: str) -> None:
        if role == "execution" and is_refused(self.folder, account):
            raise Refused(UNAUTHORIZED, f"the token of account {account!r} is not accepted")

    def _missed(self, account: Account, ref: int) -> bytes:
        try:
            return account.since(ref)
        except LookupError as error:
            raise Refused(REJECTED, str(error)) from None

    def _serve(self, connection: Connection, call: Call) -> Reply | None:
        account = self.account(connection.account)
        if call.verb not in _ALLOWED[connection.role]:
            raise Refused(REJECTED, f"role {connection.role} may not call {call.verb!r}")
        self._check_fence(connection, account)
        self._check_token(connection.account, connection.role)
        if call.clock is not None:
            account.set_clock(call.clock)
        if call.verb == "market":
            self._moved[connection.account] = self.loop.time()
            account.market(call.event, call.depths, call.depth_of, call.position)
            return Reply(id=call.id, ref=account.last_ref, position=int(account.venue.account[0].market_position))
        if call.verb in _REQUESTS:
            if account.full():
                raise Refused(RATE_LIMITED, "too many requests are on their way to the market")
            account.request(call.event, _REQUESTS[call.verb])
            return Reply(id=call.id, ref=account.last_ref)
        if call.verb == "ping":
            return Reply(id=call.id)
        if call.verb in ("cancel_all", "flatten_all"):
            self.loop.call_later(account.delay_s(), self._act, connection, call)
            return None
        if call.verb == "block":
            account.block(call.on)
        elif call.verb == "query":
            return Reply(id=call.id, events=account.query(call.number), ref=account.last_ref)
        elif call.verb == "events_since":
            return Reply(id=call.id, events=self._missed(account, call.after_ref), ref=account.last_ref)
        reply = account.snapshot()
        reply.id = call.id
        return reply

    def _act(self, connection: Connection, call: Call) -> None:
        """The guard's cancel or flatten, after the venue's latency."""
        account = self.accounts[connection.account]
        account.advance()
        cancelled, closed = (account.cancel_all(), 0) if call.verb == "cancel_all" else account.flatten()
        reply = account.snapshot()
        reply.id, reply.cancelled, reply.closed = call.id, cancelled, closed
        connection.reply(reply)
        self._dirty.add(connection.account)
        self.flush_soon()

    # time

    def _schedule(self, name: str) -> None:
        """One timer per account, at the time when a request arrives or an order ends."""
        if timer := self._timers.pop(name, None):
            timer.cancel()
        account = self.accounts[name]
        wait_s = account.wait_s()
        if wait_s is not None:
            self._timers[name] = self.loop.call_later(wait_s, self._tick, name)
        elif account.on_tape and account.waits:
            self._timers[name] = self.loop.call_later(TAPE_SILENCE_S, self._tick_tape, name)

    def _tick(self, name: str) -> None:
        self._timers.pop(name, None)
        self.accounts[name].advance()
        self._dirty.add(name)
        self._schedule(name)
        self.flush_soon()

    def _tick_tape(self, name: str) -> None:
        if self.loop.time() - self._moved.get(name, 0.0) >= TAPE_SILENCE_S:
            self.accounts[name].advance_to_due()
        self._tick(name)

    # what leaves

    def flush_soon(self) -> None:
        """Once per turn of the loop: commit, then send."""
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        for name in self._dirty:
            if self.accounts[name].changed:
                self.accounts[name].commit()
        self._dirty.clear()
        for connection in list(self.connections):
            if connection.cursor >= 0 and connection.account in self.accounts:
                self._push(connection, self.accounts[connection.account])
            connection.send()

    def _push(self, connection: Connection, account: Account) -> None:
        if connection.cursor < account.last_ref:
            connection.waiting.insert(0, frame(Reply(events=account.since(connection.cursor), ref=account.last_ref)))
            connection.cursor = account.last_ref

    def close(self) -> None:
        """Commit everything and end."""
        self._closed = True
        for account in self.accounts.values():
            account.commit()
            account.store.close()
        for connection in list(self.connections):
            if connection.transport is not None:
                connection.transport.close()


def _lock(folder: Path) -> int:
    """Only one venue on a folder."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise VenueError(f"another venue already serves {folder}; stop it first") from None
    return handle


async def serve_venue(
    folder: Path, stop: asyncio.Event, failures: list[BaseException], ready: Callable[[], None]
) -> None:
    """Serve until `stop`.  Raises VenueError when the folder is taken or the socket's path is too long."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    path = folder / SOCKET_NAME
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        raise VenueError(f"{path} is too long for a local socket; choose a shorter DESK_VAR")
    handle = _lock(folder)
    try:
        path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        server = Server(folder, loop)
        old = os.umask(0o177)
        try:
            listener = await loop.create_unix_server(lambda: Connection(server), str(path))
        finally:
            os.umask(old)
        ready()
        await stop.wait()
        listener.close()
        if not failures:  # else what is in memory is not to be trusted; what is on disk is
            server.close()
        path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def run_venue(folder: Path) -> None:
    """The process: until SIGTERM or SIGINT.  An error that nobody expected ends it; the supervisor starts it again."""
    warm()
    failures: list[BaseException] = []

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def fail(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            failures.append(context.get("exception") or RuntimeError(context["message"]))
            stop.set()

        loop.set_exception_handler(fail)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await serve_venue(folder, stop, failures, lambda: print("venue: ready", flush=True))

    try:
        asyncio.run(main())
    except VenueError as error:
        sys.exit(f"venue: {error}")
    if failures:
        raise failures[0]
