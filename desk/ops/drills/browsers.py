"""Many browsers' sockets in one process of its own: signs in by cookie, subscribes, acknowledges, measures ages.

`python -m desk.ops.drills.browsers` reads its orders as one JSON object from stdin and prints its figures as one JSON
object at the end.  It knows the socket's protocol and nothing else of the desk: no Django, no shared memory.  All times
are the machine's boot clock, so a stamp made by the publisher and the receipt here can be compared.
"""

import asyncio
import json
import os
import random
import sys
import time
from array import array
from collections import Counter
from typing import Any

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

MESSAGE_BYTES_MAX = 8_000_000
RETRY_S = (0.25, 0.5, 1.0, 2.0, 4.0, 5.0)  # as the page comes back, each ±20 %
OPEN_S = 60


class Orders(msgspec.Struct):
    """What to do.  `cookies`: one header value a browser; the last `stalled` of them never acknowledge."""

    url: str
    origin: str
    session: int
    hz: int
    cookies: list[str]
    stalled: int
    warm_s: float
    seconds: float
    spread_s: float


class Head(msgspec.Struct):
    """The members of a message that are looked at; the rest is skipped."""

    k: str
    n: int = 0
    oldest: int | None = None
    newest: int | None = None


def boot_us() -> int:
    """The machine's boot clock in µs."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class Browsers:
    """All sockets of this process and what they saw after the warm-up."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.oldest_us, self.newest_us = array("q"), array("q")
        self.frames = [0] * len(orders.cookies)
        self.bytes = 0
        self.unstamped = 0
        self.closes: Counter[str] = Counter()
        self.decoder = msgspec.json.Decoder(Head)
        self.began = time.monotonic()

    @property
    def measuring(self) -> bool:
        return time.monotonic() - self.began >= self.orders.warm_s

    async def run(self) -> None:
        """Until the time is over."""
        tasks = [asyncio.create_task(self._browser(i)) for i in range(len(self.orders.cookies))]
        await asyncio.sleep(self.orders.warm_s + self.orders.seconds)
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    async def _browser(self, i: int) -> None:
        """One tab: comes back when its socket is closed, as the page does."""
        await asyncio.sleep(self.orders.spread_s * i / len(self.orders.cookies))
        stalled = i >= len(self.orders.cookies) - self.orders.stalled
        chance = random.Random(i)
        tries = 0
        while True:
            try:
                async with connect(
                    self.orders.url,
                    origin=self.orders.origin,  # type: ignore[arg-type]
                    additional_headers={"Cookie": self.orders.cookies[i]},
                    compression=None,
                    max_size=MESSAGE_BYTES_MAX,
                    open_timeout=OPEN_S,
                    ping_interval=None,
                ) as socket:
                    tries = 0
                    await socket.send(json.dumps({"k": "sub", "session": self.orders.session, "hz": self.orders.hz}))
                    await self._read(socket, i, stalled)
            except ConnectionClosed as closed:
                self._closed(str(closed.rcvd.code if closed.rcvd else 1006))
            except (InvalidHandshake, OSError, TimeoutError) as error:
                self._closed(type(error).__name__)
            await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)] * chance.uniform(0.8, 1.2))
            tries += 1

    async def _read(self, socket: Any, i: int, stalled: bool) -> None:
        """Frames, acknowledged at once; a stalled browser takes one and falls silent."""
        async for message in socket:
            now = boot_us()
            head = self.decoder.decode(message)
            if head.k == "hello":
                continue
            if stalled:
                await socket.wait_closed()
                self._closed(str(socket.close_code))
                return
            await socket.send(f'{{"k":"ack","n":{head.n},"paint_ms":1,"hidden":false}}')
            if self.measuring:
                self.frames[i] += 1
                self.bytes += len(message)
                if head.k == "f":
                    self._note(head, now)

    def _closed(self, how: str) -> None:
        """Count it, unless everybody is still coming in."""
        if self.measuring:
            self.closes[how] += 1

    def _note(self, head: Head, now: int) -> None:
        if head.newest is None:
            self.unstamped += 1
            return
        self.newest_us.append(now - head.newest)
        if head.oldest is not None:  # a frame without a value is a beat
            self.oldest_us.append(now - head.oldest)

    def figures(self) -> dict[str, Any]:
        """What was seen."""
        return {
            "oldest_us": self.oldest_us.tolist(),
            "newest_us": self.newest_us.tolist(),
            "frames": self.frames,
            "bytes": self.bytes,
            "unstamped": self.unstamped,
            "closes": dict(self.closes),
            "cpu_s": sum(os.times()[:2]),
        }


def main() -> None:
    browsers = Browsers(msgspec.json.decode(sys.stdin.buffer.read(), type=Orders))
    asyncio.run(browsers.run())
    print(json.dumps(browsers.figures()))


if __name__ == "__main__":
    main()
