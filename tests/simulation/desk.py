"""A risk loop stepped by hand between a real inbox and a real outbox; the test stands where feed and execution do."""

import msgspec
import numpy as np

from marketdata.core.records import NO_TIME, new_events
from tests.redis_server import RedisServer
from tests.simulation.kit import START_NS, command, make_context, make_spec, quote
from trading.core.records import (
    FILL,
    LINK,
    LINK_EXECUTION,
    RECON,
    RECON_BEGIN,
    RECON_END,
    START,
)
from trading.run.bodies.risk_loop import RiskLoop
from trading.run.clock import SessionClock, boot_ns, load_clock, save_clock
from trading.run.journal.reader import JournalReader
from trading.run.journal.recovery import account_event
from trading.run.spec import PastSpec
from trading.run.streams import INBOX, OUTBOX, ZERO_ID, Board, Stream


class Desk:
    """Inbox, outbox and the loop between them."""

    def __init__(
        self, tmp_path, server: RedisServer, speed: float = 1.0, *, past: PastSpec | None = None, fence: int = 0,
        **limits: int,
    ) -> None:  # fmt: skip
        self.server, self.folder = server, tmp_path / "7"
        self.folder.mkdir(exist_ok=fence > 0)  # with a fence: around what another one left
        server.client().flushall()
        self.spec = msgspec.structs.replace(make_spec(server.url, "", speed, **limits), past=past)
        save_clock(self.folder, SessionClock(START_NS, boot_ns(), speed))
        self.inbox = Stream(server.client(), self.spec.key, INBOX)
        self.outbox = Stream(server.client(), self.spec.key, OUTBOX)
        self.board = Board(server.client(), self.spec.key)
        self.fence = fence
        self.ref = 0
        self.start()

    def start(self) -> None:
        """A new owner takes over; the one before is as good as killed: it was not closed."""
        self.fence += 1
        self.loop = RiskLoop()
        self.loop.open(make_context(self.folder, self.spec, "risk", self.fence))
        self.board.beat("sinks", 60_000)
        self.step()

    def step(self, times: int = 3) -> None:
        for _ in range(times):
            self.loop._looked_ns = NO_TIME  # look at health and streams in every step
            self.loop.step()

    def give(self, *events: np.ndarray, loop: str = "feed") -> None:
        self.inbox.append(np.concatenate(events), fence=1, loop=loop)

    def now(self) -> int:
        return load_clock(self.folder).now()

    def make_ready(self) -> None:
        """Reconciled, quoted, started."""
        recon = [account_event(RECON, code, self.now()) for code in (RECON_BEGIN, RECON_END)]
        recon[-1]["ref"] = self.ref
        link = account_event(LINK, LINK_EXECUTION, self.now(), value=1)
        self.give(link, *recon, quote(self.now()), command(START, self.now()))
        self.step()

    def answer(self, kind: int, order: np.ndarray, price: int = 20_001) -> np.ndarray:
        """The venue's next answer to an order, (1,)."""
        self.ref += 1
        event = new_events(1)
        event["kind"], event["ref"], event["ts_ns"] = kind, self.ref, self.now()
        for name in ("order_number", "side", "instrument"):
            event[name] = order[name]
        if kind == FILL:
            event["qty"], event["price_tick"] = order["qty"], price
        return event

    def journal(self, *kinds: int) -> np.ndarray:
        events = JournalReader(self.folder).read(0, 10**6)["event"]
        return events[np.isin(events["kind"], kinds)] if kinds else events

    def sent(self) -> np.ndarray:
        """What lies in the outbox, without requests to reconcile."""
        entries = self.outbox.read(ZERO_ID, 0, 10_000)
        events = [entry.events for entry in entries if entry.events["kind"][0] != RECON]
        return np.concatenate(events) if events else new_events(0)
