"""The latest picture of every watched session, one Hub per web process, fed by one Redis subscription.

Values are kept as the JSON text that the sinks loop wrote and are overwritten, never queued: what a slow browser has
not taken yet is simply replaced.  A Redis that goes away is tried again with back-off; sockets stay open meanwhile.
The Hub subscribes first and reads the whole picture after, so nothing falls between.  Used by the consumers alone.
"""

import asyncio
import itertools
import logging
import time
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import redis.asyncio as aioredis
from django.conf import settings
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

CHANNEL = "desk:live"
FETCH_S = 0.01  # at most a hundred reads a second, whatever is published
PING_S = 0.4  # a silent Redis is asked whether it is there
TIMEOUT_S = 1.0
BACK_OFF_S = (0.1, 0.25, 0.5, 1.0, 2.0)
ROWS = "rows:"

log = logging.getLogger(__name__)
_readings = itertools.count(1)  # of whole pictures in this process: a forgotten picture's number never comes again


class Live(msgspec.Struct):
    """One message on the channel: these fields of this session's hash are new, as of boot µs `at`."""

    k: str
    f: list[str]
    at: int | None = None


class Rows(msgspec.Struct):
    """One stream of rows: `items` are the last ones, the newest has the number `to`.  Numbers have no gaps."""

    to: int
    items: list[msgspec.Raw]


class Clock(msgspec.Struct):
    now_us: int | None = None
    speed: float = 1.0


class Loop(msgspec.Struct):
    id: str
    beat_us: int | None = None


class Stamp(msgspec.Struct):
    ts_us: int | None = None


def boot_us() -> int:
    """The machine's boot clock in µs: monotonic, the same in every process."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class Signal:
    """A flag for one waiter of this event loop; stays up until cleared.

    `asyncio.wait_for(event.wait(), s)` makes a task for every wait; this makes one future and one timer.
    """

    def __init__(self) -> None:
        self._set = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def raised(self) -> bool:
        """Whether the flag is up."""
        return self._set

    def set(self) -> None:
        """Raise the flag and wake the waiter."""
        self._set = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        """Lower the flag."""
        self._set = False

    async def wait(self, seconds: float) -> bool:
        """Whether the flag is up now or within `seconds`."""
        if self._set:
            return True
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiter = waiter
        timer = loop.call_later(seconds, _expire, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None
        return self._set


def _expire(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


class Picture:
    """What is known of one session now.  `counts` grows with each new value of a field, `version` with each batch.

    `made_us`: boot µs at which the publisher took a field's present value (rows under `rows:<name>`); absent: unknown.
    `shared` holds what was composed at this version, for sockets that stand at the same place (see `wire`).
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.values: dict[str, bytes] = {}
        self.counts: dict[str, int] = {}
        self.rows: dict[str, Rows] = {}
        self.generation = 0  # another one after every reading of the whole
        self.beats: dict[str, int] = {}  # hop → boot µs of its last sign of life
        self.epoch, self.seq = 0, 0
        self.loaded = False
        self.dirty: dict[str, int | None] = {}  # field → when the news of it was made
        self.sockets: set[Signal] = set()
        self.version = 0
        self.made_us: dict[str, int] = {}
        self.newest_us: int | None = None
        self.shared: dict[Any, Any] = {}

    def load(self, values: dict[str, bytes], now_us: int | None) -> None:
        """Replace everything.  `now_us` None: the values are old, and no hop is alive by them."""
        self.generation = next(_readings)
        self.values, self.rows, self.beats, self.made_us, self.newest_us = {}, {}, {}, {}, None
        self.counts = dict.fromkeys(values, 0)
        self.epoch = self.seq = 0
        for name, text in values.items():
            self.put(name, text, None)
        if now_us is not None:
            self.loaded = True
        self.wake()

    def put(self, name: str, text: bytes | None, now_us: int | None) -> None:
        """One new value.  None: Redis has lost the field, so it is unknown.  `now_us` None: it may be of any age."""
        if name.startswith(ROWS):
            if text is not None:
                self.rows[name.removeprefix(ROWS)] = msgspec.json.decode(text, type=Rows)
            return
        if name in ("seq", "epoch"):
            setattr(self, name, 0 if text is None else int(text))
            return
        self.values[name] = b"null" if text is None else text
        self.counts[name] = self.counts.get(name, 0) + 1
        if now_us is not None and text is not None:
            self._note_beat(name, text, now_us)

    def _note_beat(self, name: str, text: bytes, now_us: int) -> None:
        """What a fresh value says about who is alive."""
        if name == "clock":
            self.beats["worker"] = now_us
        elif name == "loops":
            for loop in msgspec.json.decode(text, type=list[Loop]):
                if loop.beat_us is not None:
                    self._beat(loop.id, now_us - loop.beat_us)
        elif name.startswith(("quote:", "book:")):
            self._beat("feed", now_us)
            clock = msgspec.json.decode(self.values.get("clock", b"{}"), type=Clock)
            stamp = msgspec.json.decode(text, type=Stamp)
            if clock.now_us is not None and stamp.ts_us is not None and clock.speed > 0:
                self._beat("venue", now_us - round(max(0, clock.now_us - stamp.ts_us) / clock.speed))
            else:
                self._beat("venue", now_us)

    def _beat(self, hop: str, at_us: int) -> None:
        self.beats[hop] = max(at_us, self.beats.get(hop, 0))

    def note_made(self, made: dict[str, int | None]) -> None:
        """When the values that were just put had been made."""
        for name, at in made.items():
            if at is None:
                self.made_us.pop(name, None)
            else:
                self.made_us[name] = at
        self.newest_us = max((at for at in made.values() if at is not None), default=self.newest_us)

    def wake(self) -> None:
        """A batch was put: what was composed before is old, and every socket has something to look at."""
        self.version += 1
        self.shared.clear()
        for socket in self.sockets:
            socket.set()


class Hub:
    """Keeps the pictures current.  Lives in one event loop."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pictures: dict[str, Picture] = {}
        self.heard_us = 0  # when Redis last answered
        self._work = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def watch(self, key: str, socket: Signal) -> Picture:
        """The picture of a session; `socket` is set whenever it changes."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="desk hub")
            self._task.add_done_callback(self._ended)
        picture = self.pictures.get(key)
        if picture is None:
            picture = self.pictures[key] = Picture(key)
            self._work.set()
        picture.sockets.add(socket)
        return picture

    def unwatch(self, key: str, socket: Signal) -> None:
        """A picture that nobody looks at is forgotten."""
        picture = self.pictures.get(key)
        if picture is not None:
            picture.sockets.discard(socket)
            if not picture.sockets:
                del self.pictures[key]

    async def close(self) -> None:
        """End the reading task."""
        if self._task is not None:
            task = self._task
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """A Hub that died of a bug says so and is started again by the next socket."""
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("the hub ended", exc_info=error)

    async def _run(self) -> None:
        tries = 0
        while True:
            started = time.monotonic()
            try:
                await self._serve()
            except* (RedisError, OSError) as error:
                away = error.exceptions[0]
            if time.monotonic() - started > 5:
                tries = 0
            pause = BACK_OFF_S[min(tries, len(BACK_OFF_S) - 1)]
            if tries == 0:
                log.warning("Redis is away, trying again: %s", away)
            tries += 1
            for picture in self.pictures.values():
                picture.loaded = False
            await asyncio.sleep(pause)

    async def _serve(self) -> None:
        """One connection, until it breaks."""
        client = aioredis.Redis.from_url(
            self.url, protocol=2, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=None
        )
        try:
            async with client.pubsub() as channel:
                await channel.subscribe(CHANNEL)
                self._work.set()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._listen(channel))
                    tasks.create_task(self._fetch(client))
        finally:
            await client.aclose()

    async def _listen(self, channel: PubSub) -> None:
        """Note which fields are new."""
        while True:
            message = await channel.get_message(ignore_subscribe_messages=True, timeout=PING_S)
            if message is None:
                continue
            self.heard_us = boot_us()
            try:
                live = msgspec.json.decode(message["data"], type=Live)
            except msgspec.MsgspecError as error:
                log.error("a message on %s is not understood: %s", CHANNEL, error)
                continue
            picture = self.pictures.get(live.k)
            if picture is not None:
                picture.dirty.update(dict.fromkeys(live.f, live.at))
                self._work.set()

    async def _fetch(self, client: aioredis.Redis) -> None:
        """Read what is new: all fields at first and after a break, then only those that changed."""
        while True:
            try:
                await asyncio.wait_for(self._work.wait(), PING_S)
            except TimeoutError:
                await client.ping()
                self.heard_us = boot_us()
                continue
            self._work.clear()
            for picture in list(self.pictures.values()):
                await self._refresh(client, picture)
            await asyncio.sleep(FETCH_S)

    async def _refresh(self, client: aioredis.Redis, picture: Picture) -> None:
        name = f"desk:latest:{picture.key}"
        made, picture.dirty = picture.dirty, {}
        fields = sorted(made)
        if not picture.loaded:
            values: Any = await client.hgetall(name)
            self.heard_us = boot_us()
            if values or not picture.values:
                picture.load({field.decode(): text for field, text in values.items()}, self.heard_us)
            return
        if fields:
            texts: Any = await client.hmget(name, fields)
            self.heard_us = boot_us()
            for field, text in zip(fields, texts, strict=True):
                picture.put(field, text, self.heard_us)
            picture.note_made(made)
            picture.wake()


_hubs: "WeakKeyDictionary[asyncio.AbstractEventLoop, Hub]" = WeakKeyDictionary()


def this_hub() -> Hub:
    """The Hub of the running event loop: one in a web process."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub(settings.REDIS_URL)
    return _hubs[loop]
