"""The simulated venue's account in this process, and what it states: the code that its own process runs, no socket."""

from pathlib import Path

import numpy as np

from marketdata.core.records import BOOK, new_depths, new_events
from tests.brokers.desk import Order
from trading.brokers.paper import terms_of, truth_of
from trading.brokers.paper_account import Account
from trading.brokers.paper_statement import Told
from trading.brokers.wire import events_of
from trading.core.records import SUBMIT
from trading.run.spec import SessionSpec

BIDS, ASKS = [(100, 5), (99, 5)], [(101, 5), (102, 5)]


class VenueAccount:
    """One account on a tape: the market moves its time."""

    def __init__(self, folder: Path, spec: SessionSpec) -> None:
        self.spec = spec
        self.account = Account.create(folder / f"{spec.key}.account", terms_of(spec))

    def book(self, at_ns: int) -> None:
        """A book at this time; what is due is served before it."""
        event, depth = new_events(1), new_depths(1)
        event["kind"], event["ts_ns"], event["ts_venue_ns"] = BOOK, at_ns, at_ns
        depth["ts_venue_ns"] = at_ns
        for i, (tick, qty) in enumerate(BIDS):
            depth["bid_tick"][0, i], depth["bid_qty"][0, i] = tick, qty
        for i, (tick, qty) in enumerate(ASKS):
            depth["ask_tick"][0, i], depth["ask_qty"][0, i] = tick, qty
        event["bid_tick"], event["ask_tick"] = BIDS[0][0], ASKS[0][0]
        self.account.market(event.tobytes(), depth.tobytes(), np.zeros(1, np.int32).tobytes(), -1)

    def send(self, order: Order, at_ns: int) -> None:
        row = order.row(at_ns)
        row["kind"], row["ts_venue_ns"] = SUBMIT, at_ns
        self.account.request(row.tobytes(), SUBMIT)
        self.account.advance(at_ns)

    def told(self, after_ref: int = 0) -> Told:
        """What the venue's process answers the reconcile role."""
        truth = truth_of(self.account.snapshot())
        return Told(after_ref, events_of(self.account.since(after_ref)), truth)
