"""The transport between the loops: Redis Streams of packed records, fenced and bounded.

One stream is opened by its one reader and filled by its producers; a full stream refuses, a missing one is away, and a
producer with an older fence than the newest seen is fenced.  Nothing here decides what to do about it.  A Redis that
starts empty loses nothing that counts: fences come back with the callers, positions and outputs from the journal.
"""

import contextlib
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import redis

from marketdata.core.records import DEPTH, EVENT
from trading.run.clock import boot_ns
from trading.run.context import Fenced

INBOX, OUTBOX, MARKET = "in", "out", "md"
CAPS = {INBOX: 20_000, OUTBOX: 5_000, MARKET: 20_000}  # entries; a full stream is a fault that is shown
TIMEOUT_S = 0.7  # a Redis that does not answer for so long is away
TAIL_BLOCK_S = 0.5  # below TIMEOUT_S: a server that is alive answers in time

StreamId = tuple[int, int]
ZERO_ID: StreamId = (0, 0)

_AWAY = (redis.ConnectionError, redis.TimeoutError, OSError)
_APPEND = """
local fence = tonumber(ARGV[1])
local seen = tonumber(redis.call('HGET', KEYS[2], ARGV[2]) or '0')
if fence < seen then return {'F', tostring(seen)} end
if fence > seen then redis.call('HSET', KEYS[2], ARGV[2], ARGV[1]) end
if redis.call('EXISTS', KEYS[1]) == 0 then return {'M', ''} end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[3]) then return {'X', ''} end
local id = ''
local at = 7
for n = 1, tonumber(ARGV[4]) do
  local count = tonumber(ARGV[at + 1])
  local args = {}
  for i = 1, 2 * count do args[i] = ARGV[at + 1 + i] end
  id = redis.call('XADD', KEYS[1], ARGV[at], unpack(args))
  at = at + 2 + 2 * count
end
if ARGV[5] ~= '' then redis.call('HSET', KEYS[3], ARGV[5], ARGV[6]) end
return {'A', id}
"""
_MAKE = """
local missing = 1 - redis.call('EXISTS', KEYS[1])
if missing == 1 then redis.call('XGROUP', 'CREATE', KEYS[1], 'reader', '$', 'MKSTREAM') end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
local last = '0-0'
for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last = info[i + 1] end end
local ms, n = string.match(last, '(%d+)-(%d+)')
ms, n = tonumber(ms), tonumber(n)
local to_ms, to_n = tonumber(ARGV[1]), tonumber(ARGV[2])
if ms < to_ms or (ms == to_ms and n < to_n) then redis.call('XSETID', KEYS[1], ARGV[1] .. '-' .. ARGV[2]) end
return missing
"""


class StreamAway(RuntimeError):
    """Redis does not answer, or the stream's reader has not opened it: keep what you have and try again."""


class StreamFull(RuntimeError):
    """The stream holds as many entries as it may: its reader is behind.  Shown, never dropped in silence."""


class Entry(NamedTuple):
    """One stream entry.  `position` is the feed's, -1 when the entry carries none."""

    id: StreamId
    events: np.ndarray  # (n,) EVENT
    depths: np.ndarray  # (m,) DEPTH
    depth_of: np.ndarray  # (n,) int32, index into depths or -1
    boot_ns: int  # boot clock of the sender
    position: int


def make_client(url: str) -> "redis.Redis":
    """A client for one thread: bytes in and out, short time-outs, no retries of its own."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return redis.Redis.from_url(
        url,
        protocol=2,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
    )


def parse_id(text: bytes) -> StreamId:
    """b"12-3" → (12, 3)."""
    left, _, right = text.partition(b"-")
    return int(left), int(right)


def pack(
    events: np.ndarray,
    depths: np.ndarray | None = None,
    depth_of: np.ndarray | None = None,
    position: int = -1,
    boot: int | None = None,
) -> list[bytes]:
    """The fields of one entry: EVENT bytes, with depths and their index where given, sender's boot clock, position."""
    fields = [b"e", events.tobytes(), b"b", struct.pack("<q", boot_ns() if boot is None else boot)]
    if depths is not None and depth_of is not None and len(depths) > 0:
        fields += [b"d", depths.tobytes(), b"i", np.ascontiguousarray(depth_of, "<i4").tobytes()]
    if position >= 0:
        fields += [b"p", struct.pack("<q", position)]
    return fields


def unpack(entry_id: bytes, pairs: dict[bytes, bytes]) -> Entry:
    """The entry back from its fields.  Raises ValueError when they are not ours."""
    events = np.frombuffer(pairs[b"e"], EVENT)
    depths = np.frombuffer(pairs.get(b"d", b""), DEPTH)
    if b"i" in pairs:
        depth_of = np.frombuffer(pairs[b"i"], "<i4")
    else:
        depth_of = np.full(len(events), -1, "<i4")
    if len(depth_of) != len(events):
        raise ValueError(f"entry {entry_id!r}: {len(events)} events but {len(depth_of)} depth indices")
    boot = struct.unpack("<q", pairs[b"b"])[0]
    position = struct.unpack("<q", pairs[b"p"])[0] if b"p" in pairs else -1
    return Entry(parse_id(entry_id), events, depths, depth_of, boot, position)


def _ask(client: Any, *words: Any) -> Any:
    """One command and its answer, past the client's retries, metrics and callbacks: they cost 0.13 ms a call.

    Raises redis' errors.  A connection that broke in between is dropped, so that no answer is taken for another's.
    """
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        connection.send_command(*words)
        return connection.read_response()
    except redis.ResponseError:
        raise  # an answer like any other
    except BaseException:
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


@contextlib.contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except redis.OutOfMemoryError as error:
        raise StreamFull(f"Redis has no memory left: {error}") from error
    except redis.ReadOnlyError as error:
        raise StreamAway(f"Redis takes no writes: {error}") from error
    except redis.ResponseError as error:
        if not str(error).startswith("MISCONF"):  # its disk is full or gone
            raise
        raise StreamAway(f"Redis takes no writes: {error}") from error
    except _AWAY as error:  # loading its file after a start is one of them
        raise StreamAway(f"Redis does not answer: {error}") from error


class Stream:
    """One stream of one session, seen by one thread of one loop."""

    def __init__(self, client: "redis.Redis", session: str, name: str, cap: int = 0) -> None:
        self.client: Any = client
        self.name = name
        self.key = f"desk:{session}:{name}"
        self.cap = cap if cap > 0 else CAPS[name]
        self._fences = f"desk:{session}:fences"
        self._marks = f"desk:{session}:marks"
        self._script = client.register_script(_APPEND)
        self._maker = client.register_script(_MAKE)

    def open(self, at_least: StreamId) -> bool:
        """As the stream's reader: make it if it is missing, with ids that go on behind `at_least`.

        Returns True when it was missing: whatever it held is gone.
        """
        with _reachable():  # ids new or older than the journal's are set forward: none may come twice
            return bool(self._maker(keys=[self.key], args=list(at_least)))

    def last_id(self) -> StreamId:
        """The newest id that the stream ever gave.  Raises StreamAway when there is no stream."""
        with _reachable():
            try:
                info = self.client.execute_command("XINFO", "STREAM", self.key)
            except redis.ResponseError as error:
                raise StreamAway(f"{self.key} is not there: {error}") from error
        if isinstance(info, dict):
            named = {k.decode() if isinstance(k, bytes) else k: v for k, v in info.items()}
            return parse_id(named["last-generated-id"])
        return parse_id(info[info.index(b"last-generated-id") + 1])

    def append(
        self,
        events: np.ndarray,
        *,
        fence: int,
        loop: str,
        depths: np.ndarray | None = None,
        depth_of: np.ndarray | None = None,
        position: int = -1,
        mark: tuple[str, bytes] | None = None,
        boot: int | None = None,
    ) -> StreamId:
        """Add one entry; `mark` is a hash field written together with it.  Raises Fenced, StreamFull, StreamAway."""
        fields = pack(events, depths, depth_of, position, boot)
        return self.append_many([(b"*", fields)], fence=fence, loop=loop, mark=mark)

    def append_many(
        self,
        entries: Sequence[tuple[bytes, list[bytes]]],
        *,
        fence: int,
        loop: str,
        mark: tuple[str, bytes] | None = None,
    ) -> StreamId:
        """Add all `entries` (id or b"*", fields from `pack`) or none.  Raises as `append`."""
        keys = (3, self.key, self._fences, self._marks)
        arguments: list[Any] = [*keys, fence, loop, self.cap, len(entries), *(mark or ("", b""))]
        for entry_id, fields in entries:
            arguments += [entry_id, len(fields) // 2, *fields]
        with _reachable():
            try:
                state, detail = _ask(self.client, "EVALSHA", self._script.sha, *arguments)
            except redis.exceptions.NoScriptError:  # a Redis that was started anew
                state, detail = _ask(self.client, "EVAL", _APPEND, *arguments)
        if state == b"A":
            return parse_id(detail)
        if state == b"F":
            raise Fenced(f"{loop} with fence {fence} may not write to {self.key}: fence {detail.decode()} was here")
        if state == b"X":
            raise StreamFull(f"{self.key} holds {self.cap} entries; its reader is behind")
        raise StreamAway(f"{self.key} is not open; its reader makes it")

    def read(self, after: StreamId, block_ms: int, count: int) -> list[Entry]:
        """Up to `count` entries behind `after`; waits `block_ms` for the first (0 = not at all).  Raises StreamAway."""
        block = block_ms if block_ms > 0 else None
        with _reachable():
            answer = self.client.xread({self.key: f"{after[0]}-{after[1]}"}, count=count, block=block)
        if not answer:
            return []
        entries = answer[0][1] if isinstance(answer, list) else next(iter(answer.values()))[0]
        return [unpack(entry_id, pairs) for entry_id, pairs in entries]

    def trim(self, through: StreamId) -> None:
        """Remove every entry up to and including `through`.  Raises StreamAway."""
        with _reachable():
            self.client.execute_command("XTRIM", self.key, "MINID", f"{through[0]}-{through[1] + 1}")

    def length(self) -> int:
        """Entries waiting; 0 when there is no stream.  Raises StreamAway."""
        with _reachable():
            return int(self.client.xlen(self.key))

    def present(self) -> bool:
        """False when there is no stream: never opened, or Redis was emptied.  Raises StreamAway."""
        with _reachable():
            return bool(self.client.exists(self.key))

    def mark(self, name: str) -> bytes | None:
        """A mark written with an append; None when Redis has none (or started empty).  Raises StreamAway."""
        with _reachable():
            value = self.client.hget(self._marks, name)
        return None if value is None else bytes(value)


class Tail:
    """Waits for a stream's next entries on a connection of its own, to the millisecond.

    A server looks at the time-outs of blocked clients ten times a second only; so the question stays with the server
    while the caller's own time runs out here, and its answer is taken by a later call.
    """

    def __init__(self, client: "redis.Redis", stream: Stream) -> None:
        self._pool: Any = client.connection_pool
        self._key = stream.key
        self._connection: Any = None
        self._asked = False

    def read(self, after: StreamId, wait_s: float, count: int) -> list[Entry]:
        """As Stream.read; `after` must not change between a call that gave nothing and the next.  Raises StreamAway."""
        try:
            with _reachable():
                if self._connection is None:
                    self._connection = self._pool.get_connection()
                if not self._asked:
                    where = f"{after[0]}-{after[1]}"
                    block = round(TAIL_BLOCK_S * 1000)
                    self._connection.send_command("XREAD", "COUNT", count, "BLOCK", block, "STREAMS", self._key, where)
                    self._asked = True
                if not self._connection.can_read(wait_s):
                    return []
                self._asked = False
                answer = self._connection.read_response()
        except StreamAway:
            self.close()
            raise
        if answer is None:
            return []
        return [unpack(i, dict(zip(pairs[::2], pairs[1::2], strict=True))) for i, pairs in answer[0][1]]

    def close(self) -> None:
        """Forget what was asked."""
        if self._connection is not None:
            self._connection.disconnect()
            self._pool.release(self._connection)
        self._connection, self._asked = None, False


class Board:
    """Small values that others look at: health of the loops, latest books.  Losing them loses nothing that counts."""

    def __init__(self, client: "redis.Redis", session: str) -> None:
        self.client: Any = client
        self.session = session

    def show(self, loop: str, text: bytes) -> None:
        """Health of one loop (JSON) in the hash `desk:<session>:health`.  Raises StreamAway."""
        with _reachable():
            self.client.hset(f"desk:{self.session}:health", loop, text)

    def health(self) -> dict[str, bytes]:
        """What the loops showed last.  Raises StreamAway."""
        with _reachable():
            rows = self.client.hgetall(f"desk:{self.session}:health")
        return {name.decode(): bytes(value) for name, value in rows.items()}

    def put(self, values: dict[str, bytes]) -> None:
        """Latest raw values in the hash `desk:<session>:latest` (depth:<i> = DEPTH bytes).  Raises StreamAway."""
        with _reachable():
            self.client.hset(f"desk:{self.session}:latest", mapping=values)

    def latest(self) -> dict[str, bytes]:
        """All latest raw values.  Raises StreamAway."""
        with _reachable():
            rows = self.client.hgetall(f"desk:{self.session}:latest")
        return {name.decode(): bytes(value) for name, value in rows.items()}

    def one(self, name: str) -> bytes | None:
        """One latest raw value.  Raises StreamAway."""
        with _reachable():
            value = self.client.hget(f"desk:{self.session}:latest", name)
        return None if value is None else bytes(value)

    def gauges(self) -> list[dict[str, Any]]:
        """How far each limit was when the picture was last taken; empty where there is none.  Raises StreamAway."""
        with _reachable():
            text = self.client.hget(f"desk:latest:{self.session}", "risk")
        return [] if text is None else msgspec.json.decode(text, type=list[dict[str, Any]])

    def beat(self, name: str, life_ms: int) -> None:
        """A key that vanishes unless it is beaten again within `life_ms`.  Raises StreamAway."""
        with _reachable():
            self.client.set(f"desk:{self.session}:beat:{name}", b"1", px=life_ms)

    def beats(self, name: str) -> bool:
        """True while the key stands.  Raises StreamAway."""
        with _reachable():
            return bool(self.client.exists(f"desk:{self.session}:beat:{name}"))

    def published(self) -> dict[str, bytes]:
        """All browser values as they were published last.  Raises StreamAway."""
        with _reachable():
            rows = self.client.hgetall(f"desk:latest:{self.session}")
        return {name.decode(): bytes(value) for name, value in rows.items()}

    def publish(self, values: dict[str, bytes], made_boot_ns: int) -> None:
        """Browser values: hash `desk:latest:<session>`, and their names on `desk:live`.  Raises StreamAway.

        `made_boot_ns`: boot clock at which the picture was taken; every value's age counts from there.
        """
        if not values:
            return
        news = {"k": self.session, "f": list(values), "at": made_boot_ns // 1000}
        with _reachable():
            pipe = self.client.pipeline(transaction=False)
            pipe.hset(f"desk:latest:{self.session}", mapping=values)
            pipe.publish("desk:live", msgspec.json.encode(news))
            pipe.execute()
