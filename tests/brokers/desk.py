"""What an acceptance card needs: a broker with a market behind it, and answers read in plain words.

`Bench` is the factory's contract: any broker that can be set before a market that the test moves can run the same list.
`PaperBench` is the paper broker over a real venue process and a real socket.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from marketdata.core.records import BOOK, TRADE, new_depths, new_events
from tests.bootstrap import ROOT
from trading.brokers.paper import PaperBroker, PaperMarket
from trading.brokers.port import Broker, BrokerTruth
from trading.brokers.wire import InstrumentTerms, Terms
from trading.core.records import (
    ACK,
    CANCELLED,
    ENTRY,
    FILL,
    LIMIT,
    MARKET,
    REJECT,
    STOP,
)
from trading.run.clock import TAPE, SessionClock, boot_ns

NAMES = {ACK: "ACK", FILL: "FILL", REJECT: "REJECT", CANCELLED: "CANCELLED"}
MES = {"tick_value_micros": 1_250_000, "fee_micros": 420_000, "fee_ppm": 0}
START_NS = 1_700_000_000_000_000_000
WAIT_S = 120.0  # a loaded machine; nothing waits when all is well
_SCRIPT = "import sys, pathlib; from trading.brokers.paper_venue import run_venue; run_venue(pathlib.Path(sys.argv[1]))"


class Order(NamedTuple):
    """An order in words; `row` makes it an EVENT."""

    number: int
    side: int = 1
    qty: int = 1
    order_type: int = MARKET
    tick: int = 0
    role: int = ENTRY

    def row(self, ts_ns: int) -> np.ndarray:
        e = new_events(1)
        e["order_number"], e["side"], e["qty"], e["role"] = self.number, self.side, self.qty, self.role
        e["order_type"], e["ts_ns"] = self.order_type, ts_ns
        if self.order_type == LIMIT:
            e["price_tick"] = self.tick
        if self.order_type == STOP:
            e["stop_tick"] = self.tick
        return e


class Bench(Protocol):
    """A broker to accept, and the market that it trades on."""

    broker: Broker
    seen: list[np.ndarray]

    def book(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None: ...
    def trade(self, tick: int, qty: int, side: int) -> None: ...
    def kill_venue(self) -> None: ...
    def start_venue(self) -> None: ...
    def freeze_venue(self) -> None: ...
    def thaw_venue(self) -> None: ...
    def new_broker(self, timeout_s: float = 2.0) -> Broker: ...
    def guard_flatten(self) -> BrokerTruth: ...
    def close(self) -> None: ...


class VenueProcess:
    """A paper venue as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "venue.sock"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, str(self.folder)], cwd=ROOT, stdout=subprocess.PIPE, env=os.environ.copy()
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == b"venue: ready\n", line

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self.process is not None and self.process.stdout is not None
        self.process.terminate()
        status = self.process.wait(WAIT_S)
        self.process.stdout.close()
        self.process = None
        return status


def paper_terms(latency_ns: int = 0, fill_model: str = "book") -> Terms:
    return Terms(fill_model, "USD", [InstrumentTerms("MES", MES)], latency_ns=latency_ns)


class PaperBench:
    """The paper broker over a venue process.  Each bench is an account of its own at a shared venue."""

    def __init__(self, venue: VenueProcess, account: str, latency_ns: int = 0, speed: float = TAPE) -> None:
        self.venue, self.account, self.terms = venue, account, paper_terms(latency_ns)
        self.clock = SessionClock(START_NS, boot_ns(), speed)
        self.position, self.time_ns = 0, START_NS
        self.seen: list[np.ndarray] = []
        self.feed = PaperMarket(venue.socket, account, self.terms, fence=1, clock=self.clock, timeout_s=10.0)
        self.feed.connect()
        self.broker: Broker = self.new_broker()
        self.broker.connect(1, 0)

    def new_broker(self, timeout_s: float = 2.0) -> PaperBroker:
        return PaperBroker(self.venue.socket, self.account, timeout_s=timeout_s)

    def _play(self, events: np.ndarray, depths: np.ndarray, index: int) -> None:
        self.position += 1
        self.time_ns = self.time_ns + 1_000_000 if self.clock.tape else self.clock.now()
        events["ts_venue_ns"] = events["ts_ns"] = self.time_ns
        self.feed.market(events, depths, np.array([index], np.int32), self.position)
        assert self.feed.drain() == self.position

    def book(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
        events, depths = new_events(1), new_depths(1)
        events["kind"] = BOOK
        for side, levels in (("bid", bids), ("ask", asks)):
            for i, (tick, qty) in enumerate(levels):
                depths[f"{side}_tick"][0, i], depths[f"{side}_qty"][0, i] = tick, qty
        self._play(events, depths, 0)

    def trade(self, tick: int, qty: int, side: int) -> None:
        events = new_events(1)
        events["kind"], events["price_tick"], events["qty"], events["side"] = TRADE, tick, qty, side
        self._play(events, new_depths(0), -1)

    def kill_venue(self) -> None:
        self.venue.kill()

    def start_venue(self) -> None:
        self.venue.start()
        self.feed.connect()

    def freeze_venue(self) -> None:
        self.venue.signal(signal.SIGSTOP)

    def thaw_venue(self) -> None:
        self.venue.signal(signal.SIGCONT)

    def guard_flatten(self) -> BrokerTruth:
        from trading.brokers.paper import truth_of
        from trading.brokers.paper_link import VenueLink

        link = VenueLink(self.venue.socket, 2.0)
        link.connect(self.account, "guard")
        try:
            return truth_of(link.call("flatten_all"))
        finally:
            link.close()

    def close(self) -> None:
        self.broker.close()
        self.feed.close()


def send(bench: Bench, order: Order) -> None:
    bench.broker.submit(order.row(START_NS))


def answers(bench: Bench, count: int, broker: Broker | None = None) -> list[tuple[str, int, int, int]]:
    """The next `count` answers as (kind, order, qty, price of a fill or code); fails when they do not come."""
    found: list[np.ndarray] = []
    deadline = time.monotonic() + WAIT_S
    while len(found) < count and time.monotonic() < deadline:
        rows = (broker or bench.broker).events(0.5)
        found.extend(rows)
        bench.seen.extend(rows)
    assert len(found) == count, f"{len(found)} answers instead of {count}: {[NAMES[int(r['kind'])] for r in found]}"
    return [words(row) for row in found]


def words(row: np.ndarray) -> tuple[str, int, int, int]:
    kind = NAMES[int(row["kind"])]
    last = row["price_tick"] if kind == "FILL" else row["code"]
    return kind, int(row["order_number"]), int(row["qty"]), int(last)
