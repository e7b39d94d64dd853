"""A session recorded against the paper venue's own account: market, scores, orders, fills, reconciliations, one loop.

What the risk loop, the execution loop and the venue's process do, in this process and in order; the journal that comes
out is one that they could have written.
"""

import random
from pathlib import Path

import msgspec
import numpy as np

from marketdata.core.records import BOOK, TRADE, new_depths
from tests.kernel.desk import LIMITS, Desk, S
from tests.why.recorded import record, spec_of
from trading.brokers.paper import terms_of, truth_of
from trading.brokers.paper_account import Account
from trading.core import records as r
from trading.run.bodies.reconcile import recon_events
from trading.run.journal.recovery import is_sent
from trading.run.spec import SessionSpec, VenueSpec

LATENCY_NS = 20_000_000
SHOWN = 30  # contracts on each side


class Trading:
    """A desk that trades a random walk at the paper venue."""

    def __init__(self, folder: Path, seed: int, **limits: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.rng = random.Random(seed)
        self.desk = Desk({"cooldown_exit_ns": S, "cooldown_entry_ns": S} | limits)
        self.spec = spec_of_trading(self.desk.limits)
        self.account = Account.create(folder / f"venue-{seed}.account", terms_of(self.spec))
        self.heard, self.price, self.second = 0, 20_000, 0

    def run(self, steps: int) -> "Trading":
        for step in range(steps):
            self.price += self.rng.choice((-2, -1, -1, 0, 0, 1, 1, 2))
            wide = self.rng.choice((1, 1, 1, 2, 3))
            book = {"bid_tick": self.price, "ask_tick": self.price + wide, "bid_qty": SHOWN, "ask_qty": SHOWN}
            self.market(BOOK, **book)
            self.market(TRADE, price_tick=self.price + self.rng.choice((0, wide)), qty=self.rng.randint(1, 40))
            if step % 3 == 0:
                side = self.rng.choice((1, 1, -1, -1, 0))
                self.send(self.desk.score(side, self.rng.choice((500_000, 620_000, 900_000)), wait_ns=1_000_000))
            if self.desk.now_ns // S != self.second:
                self.second = self.desk.now_ns // S
                self.send(self.desk.event(r.TIMER))
            if step % 50 == 49:
                truth = truth_of(self.account.snapshot())
                self.take(recon_events(truth, self.desk.now_ns))
        return self

    def market(self, kind: int, **fields: int) -> None:
        """One event of the feed: the kernel hears it, then the venue, then its answers come."""
        sent = self.desk.event(kind, wait_ns=self.rng.randint(50_000_000, 200_000_000), **fields)
        event, depths = self.desk.given[-1], new_depths(1)
        index = np.full(1, -1, np.int32)
        if kind == BOOK:
            for side in ("bid", "ask"):
                depths[f"{side}_tick"][0, 0], depths[f"{side}_qty"][0, 0] = fields[f"{side}_tick"], SHOWN
            index[0] = 0
        self.account.market(event.tobytes(), depths.tobytes(), index.tobytes(), -1)
        self.answers()
        self.send(sent)

    def answers(self) -> None:
        while len(news := np.frombuffer(self.account.since(self.heard), self.desk.given[0].dtype)) > 0:
            self.heard = self.account.last_ref
            self.take(news.copy())

    def take(self, events: np.ndarray) -> None:
        """Events of the venue, as they are; what follows from them is sent."""
        for i in range(len(events)):
            row = events[i : i + 1].copy()
            row["ts_ns"] = self.desk.now_ns
            made = self.desk.kernel.apply(row)
            self.desk.given.append(row)
            self.send([made[k] for k in range(1, len(made))])

    def send(self, outputs: list[np.record]) -> None:
        for output in outputs:
            if is_sent(int(output.kind)):
                assert output.kind != r.QUERY
                self.account.request(output.tobytes(), int(output.kind))
        self.answers()


def spec_of_trading(limits: dict[str, int]) -> SessionSpec:
    plain = spec_of()
    venue = VenueSpec("book", latency_ns=LATENCY_NS, slip_ticks=0)
    return msgspec.structs.replace(plain, venue=venue, limits=LIMITS | limits, capital_micros=limits["capital_micros"])


def trade(folder: Path, seed: int, steps: int, **limits: int) -> SessionSpec:
    """A recorded session in `folder`; its spec."""
    trading = Trading(folder, seed, **limits).run(steps)
    fields = {name: getattr(trading.spec, name) for name in ("venue", "limits", "capital_micros")}
    record(folder, trading.desk.given, **fields)
    return trading.spec
