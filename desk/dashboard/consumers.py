"""The desk's one socket: the live picture of a session to one tab, with flow control.  It carries no command.

At most 20 frames a second, or as few as `sub` asks for, and one unacknowledged frame in flight: a page that cannot
paint gets fewer, fresher frames, and one that does not answer for five seconds is closed.  Session and rights are
looked up again every 30 seconds.
"""

import asyncio
import contextlib
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from importlib import import_module
from typing import Any

from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError

from desk.dashboard import wire
from desk.dashboard.hub import Signal, boot_us, this_hub
from desk.dashboard.rights import rights
from desk.dashboard.sessions import find_key, stored_picture

FAILED = 1011
PROTOCOL_ERROR, SIGNED_OUT, NO_RIGHT, SLOW, TOO_MANY = 4400, 4401, 4403, 4408, 4429
SOCKETS_MAX = 8  # of one person in one web process
ACK_S = 5.0
SOON_S = 0.005  # a frame that is due within this time goes with the picture that is there now
STRIP_HZ = 4  # a page with nothing but the strip
SLOW_HZ = 5
WAY_S = 0.04  # from the making of a picture to a page, when hundreds look
BEAT_S = 0.25  # a frame at least so often: the page tells a dead web process by their absence
HIDDEN_S = 1.0
RECHECK_S = 30.0
LOAD_S = 0.3  # how long a first picture is waited for before the ledger is asked
MESSAGE_CHARS_MAX = 2_000

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

log = logging.getLogger(__name__)
_open: Counter[Any] = Counter()


def same_page(headers: dict[bytes, bytes]) -> bool:
    """Whether Origin names the very host and port that was asked: another port of this machine is another program."""
    origin = headers.get(b"origin", b"").decode("latin-1")
    return origin.split("://", 1)[-1] == headers.get(b"host", b"").decode("latin-1")


class DeskConsumer(AsyncWebsocketConsumer):
    channel_layer = None  # no groups: with a layer every handshake would fail while Redis is down

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """One message after another.

        The library's loop makes a task and a wait for each, so that it can listen to a layer, too; of thousands of
        acknowledgements a second that is the greater part.
        """
        self.scope, self.base_send = scope, send
        with contextlib.suppress(StopConsumer):
            while True:
                await self.dispatch(await receive())

    async def connect(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._user: Any = self.scope.get("user")
        self._counted = False
        self._wake, self._acked = Signal(), Signal()
        self._hz = wire.HZ
        self._cursor: wire.Cursor | None = None
        self._waiting_for = 0  # number of the frame in flight, 0 = none
        self._hidden = False
        if not same_page(dict(self.scope["headers"])):
            await self.close()
            return
        await self.accept()  # first accept, then close: a browser sees the code of an accepted socket only
        if self._user is None or not self._user.is_authenticated or not self._user.is_active:
            await self.close(SIGNED_OUT)
            return
        if _open[self._user.pk] >= SOCKETS_MAX:
            await self.close(TOO_MANY)
            return
        _open[self._user.pk] += 1
        self._counted = True
        self._start(self._watch())

    async def disconnect(self, code: int) -> None:
        for task in self._tasks:
            task.cancel()
        if self._counted:
            _open[self._user.pk] -= 1
            self._counted = False
        if self._cursor is not None:
            this_hub().unwatch(self._cursor.picture.key, self._wake)

    async def dispatch(self, message: dict[str, Any]) -> None:
        """A page's messages past the library's look at old database connections: that costs a thread's turn each.

        What needs the database here goes through `database_sync_to_async`, which looks by itself.
        """
        if message["type"] == "websocket.receive":
            await self.websocket_receive(message)
        else:
            await super().dispatch(message)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """`sub`, `ack` or `resync`; anything else is a fault of the page."""
        try:
            if text_data is None or len(text_data) > MESSAGE_CHARS_MAX:
                raise ValueError("not a short text")
            message = json.loads(text_data)
            match message["k"]:
                case "ack":
                    self._take_ack(int(message["n"]), bool(message.get("hidden", False)))
                case "resync":
                    log.info("the page asks for a fresh picture: %s", str(message.get("why"))[:80])
                    self._require_picture().restart()
                    self._wake.set()
                case "sub":
                    strip_only = message.get("panels") == ["strip"]
                    hz = _rate(message.get("hz", STRIP_HZ if strip_only else wire.HZ))
                    await self._subscribe(int(message["session"]), strip_only, hz)
                case other:
                    raise ValueError(f"unknown message {other!r}")
        except (ValueError, KeyError, TypeError) as error:
            log.warning("socket of %s closed: %s", self._user, error)
            await self._end(PROTOCOL_ERROR)

    def _require_picture(self) -> wire.Cursor:
        if self._cursor is None:
            raise ValueError("no session was asked for")
        return self._cursor

    def _take_ack(self, n: int, hidden: bool) -> None:
        if n != self._waiting_for or n == 0:
            raise ValueError(f"acknowledged frame {n}, in flight is {self._waiting_for}")
        self._waiting_for, self._hidden = 0, hidden
        self._acked.set()

    async def _subscribe(self, session_id: int, strip_only: bool, hz: int) -> None:
        if self._cursor is not None:
            raise ValueError("a socket shows one session")
        self._hz = hz
        key = await database_sync_to_async(find_key)(session_id)
        if key is None:
            await self._end(NO_RIGHT)
            return
        picture = this_hub().watch(key, self._wake)
        self._cursor = wire.Cursor(picture, wire.STRIP_KEYS if strip_only else None)
        await self.send(
            wire.hello(
                user=self._user.get_username(),
                rights=await database_sync_to_async(rights)(self._user),
                epoch=self._cursor.epoch,
                build=settings.BUILD,
                hz=hz,
            )
        )
        self._start(self._pump(session_id))

    async def _pump(self, session_id: int) -> None:
        """Send what changed, wait for the page to have painted it, and so on."""
        cursor = self._require_picture()
        await self._first_picture(cursor, session_id)
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            pause = due - loop.time()
            if pause > SOON_S:
                await asyncio.sleep(pause)
            await self._wake.wait(BEAT_S)
            self._wake.clear()
            self._acked.clear()
            frame = cursor.frame(wire.hops(cursor.picture, this_hub().heard_us, boot_us()))
            self._waiting_for = cursor.n
            await self.send(frame)
            period = HIDDEN_S if self._hidden else period_s(self._hz)
            due = max(due + period, loop.time())  # a grid: a late frame does not make all later ones late
            if not await self._acked.wait(ACK_S):
                await self._end(SLOW)
                return

    async def _first_picture(self, cursor: wire.Cursor, session_id: int) -> None:
        """Redis has it, or, for a session that no loop serves any more, the ledger."""
        picture = cursor.picture
        if not picture.values:
            await self._wake.wait(LOAD_S)
        if not picture.values:
            stored = await database_sync_to_async(stored_picture)(session_id)
            if not picture.values:
                picture.load(stored, None)

    async def _watch(self) -> None:
        """A socket outlives its sign-in: look again, and close when it has ended."""
        while True:
            await asyncio.sleep(settings.SOCKET_RECHECK_S)
            try:
                user = await self._user_now()
            except DatabaseError as error:
                log.warning("the session of %s could not be looked up: %s", self._user, error)
                continue
            if not user.is_authenticated or not user.is_active:
                await self._end(SIGNED_OUT)
                return

    async def _user_now(self) -> Any:
        key = self.scope["session"].session_key
        store = import_module(settings.SESSION_ENGINE).SessionStore(key)
        return await get_user({"session": store})

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(self._run(work)))

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """A fault of ours is logged and ends the socket, so that the page greys out and comes again."""
        try:
            await work
        except Exception:
            log.exception("the socket of %s failed", self._user)
            await self._end(FAILED)

    async def _end(self, code: int) -> None:
        """Close, and send nothing afterwards."""
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        await self.close(code)


def period_s(hz: int) -> float:
    """Between two frames of a page that asks for `hz` a second.

    What was made right after a frame waits a period and then has its way to go: a slow page's frames follow each other
    sooner by that, so that it sees nothing older than 1 / hz.
    """
    return 1 / hz - (WAY_S if hz <= SLOW_HZ else 0)


def _rate(hz: object) -> int:
    """Frames a second that a page asks for.  Raises ValueError."""
    if not isinstance(hz, int) or isinstance(hz, bool) or not 1 <= hz <= wire.HZ:
        raise ValueError(f"{hz!r} frames a second; 1 to {wire.HZ} are possible")
    return hz
