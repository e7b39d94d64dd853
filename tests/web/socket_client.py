"""A socket of the desk without a browser: signs in, subscribes, reads frames, acknowledges or does not."""

import json
from types import TracebackType
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.web.kit import Desk

MESSAGE_BYTES_MAX = 4_000_000


class Tab:
    """One tab's socket, used as `async with Tab(desk) as tab`."""

    def __init__(
        self, desk: Desk, *, name: str | None = "alice", origin: str | None = None, session: int | None = 1
    ) -> None:
        self.desk, self.session = desk, session
        self.origin: Any = desk.url if origin is None else origin
        self.cookies = "; ".join(f"{row['name']}={row['value']}" for row in desk.shared_cookies(name)) if name else ""
        self.last: dict[str, Any] = {}

    async def __aenter__(self) -> "Tab":
        headers = {"Cookie": self.cookies} if self.cookies else {}
        address = self.desk.url.replace("http:", "ws:") + "/ws/desk/"
        self.socket: ClientConnection = await connect(
            address,
            origin=self.origin,
            additional_headers=headers,
            max_size=MESSAGE_BYTES_MAX,
        )
        if self.session is not None:
            await self.send(k="sub", session=self.session)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.socket.close()

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def read(self) -> dict[str, Any]:
        self.last = json.loads(await self.socket.recv())
        return self.last

    async def ack(self, *, hidden: bool = False) -> None:
        await self.send(k="ack", n=self.last["n"], paint_ms=1, hidden=hidden)

    async def next(self) -> dict[str, Any]:
        """Acknowledge the last frame and read the next one."""
        await self.ack()
        return await self.read()

    async def opened(self) -> dict[str, Any]:
        """hello, then the first snap."""
        hello = await self.read()
        assert hello["k"] == "hello", hello
        snap = await self.read()
        assert snap["k"] == "snap", snap
        return snap

    async def code(self) -> int:
        """Read to the end; the close code."""
        await self.socket.wait_closed()
        assert self.socket.close_code is not None
        return self.socket.close_code
