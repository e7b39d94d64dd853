"""Seeded faults on the way from the venue to the kernel: drop, delay, duplicate, reorder, ask again.

Whatever the road does, once the venue has given its answers again the kernel stands where the clean road leads.
"""

import random

import numpy as np
import pytest

from marketdata.core.records import new_events
from tests.simulation.kit import START_NS, make_spec, quote, score
from trading.core.records import (
    ACK,
    CANCEL,
    CANCELLED,
    CANCELLED_ON_REQUEST,
    COMMAND,
    ENTRY,
    EXIT,
    FILL,
    LINK,
    LINK_DATABASE,
    LINK_EXECUTION,
    LINK_STREAM,
    MODIFY,
    QUERY,
    RECON,
    RECON_BEGIN,
    RECON_END,
    START,
    SUBMIT,
)
from trading.run.journal.recovery import account_event
from trading.run.replica import Kernel
from trading.run.spec import setup_events

STEP_NS = 50_000_000


class TinyVenue:
    """Answers every request with numbered events and keeps them for ever; fills market orders and, by chance, legs."""

    def __init__(self, chance: random.Random) -> None:
        self.chance, self.position = chance, 0
        self.history: list[np.ndarray] = []
        self.working: dict[int, np.void] = {}
        self.known: set[int] = set()

    def _say(self, kind: int, order: np.void, **fields: int) -> None:
        event = new_events(1)
        event["kind"], event["ref"] = kind, len(self.history) + 1
        for name in ("order_number", "side", "instrument", "order_type", "role"):
            event[name] = order[name]
        for name, value in fields.items():
            event[name] = value
        self.history.append(event)

    def serve(self, output: np.void) -> None:
        number = int(output["order_number"])
        if output["kind"] == SUBMIT and number not in self.known:
            self.known.add(number)
            self._say(ACK, output)
            self.working[number] = output.copy()
            if output["role"] in (ENTRY, EXIT):
                self._fill(number)
        elif output["kind"] == CANCEL and number in self.working:
            self._say(CANCELLED, self.working.pop(number), code=CANCELLED_ON_REQUEST)
        elif output["kind"] == MODIFY and number in self.working:
            self.working[number]["qty"] = output["qty"]
            self._say(ACK, output)

    def _fill(self, number: int) -> None:
        order = self.working.pop(number)
        price = int(order["stop_tick"] if order["role"] == 2 else order["price_tick"] if order["role"] == 3 else 20_000)
        self._say(FILL, order, qty=int(order["qty"]), price_tick=price, fee_micros=420_000)
        self.position += int(order["side"] * order["qty"])

    def move(self) -> None:
        """By chance a bracket leg is filled."""
        legs = [n for n, order in self.working.items() if order["role"] in (2, 3)]
        if legs and self.chance.random() < 0.2:
            self._fill(self.chance.choice(sorted(legs)))


def play(seed: int, faulty: bool) -> tuple[Kernel, TinyVenue, list[np.ndarray]]:
    """One session of 400 steps; returns kernel, venue and all frames."""
    chance, road = random.Random(seed), random.Random(seed + 1)
    kernel, venue = Kernel(), TinyVenue(chance)
    frames: list[np.ndarray] = []
    delivered, now = 0, START_NS
    in_flight: list[np.ndarray] = []

    def apply(event: np.ndarray) -> None:
        nonlocal delivered
        event["ts_ns"] = now
        made = kernel.apply(event)
        frames.append(made)
        for output in made:
            if output["kind"] in (SUBMIT, CANCEL, MODIFY):
                venue.serve(output)
            elif output["kind"] == QUERY and output["order_number"] == 0:
                in_flight.extend(e.copy() for e in venue.history[int(output["ref"]) :])
                in_flight.append(account_event(RECON, RECON_BEGIN, now))

    for event in setup_events(make_spec(), now):
        apply(event.reshape(1).copy())
    for code in (LINK_EXECUTION, LINK_STREAM, LINK_DATABASE):
        apply(account_event(LINK, code, now, value=1))
    apply(account_event(COMMAND, START, now))
    for step in range(400):
        now += STEP_NS
        apply(quote(now))
        if step < 360 and chance.random() < 0.15:
            apply(score(now, chance.choice((1, -1))))
        venue.move()
        fresh, delivered = venue.history[delivered:], len(venue.history)
        in_flight.extend(e.copy() for e in fresh)
        if faulty and in_flight:
            if road.random() < 0.3:
                road.shuffle(in_flight)
            if road.random() < 0.2:
                in_flight.extend(e.copy() for e in road.sample(in_flight, 1))
            if road.random() < 0.2 and step < 360:
                in_flight.pop(road.randrange(len(in_flight)))
        keep = 0 if not faulty or step >= 360 else road.randrange(len(in_flight) + 1)
        ready, in_flight = in_flight[: len(in_flight) - keep], in_flight[len(in_flight) - keep :]
        for event in ready:
            if event["kind"] == RECON:
                reconcile(apply, venue, now)
            else:
                apply(event)
        if step % 20 == 19 or step >= 380:
            reconcile(apply, venue, now)
    return kernel, venue, frames


def reconcile(apply, venue: TinyVenue, now: int) -> None:
    """As the execution loop does it: all answers first, then the truth."""
    for event in venue.history:
        apply(event.copy())
    from trading.brokers.port import BrokerTruth
    from trading.run.bodies.reconcile import recon_events

    rows = [order.reshape(1).copy() for order in venue.working.values()]
    orders = np.concatenate(rows) if rows else new_events(0)
    orders["kind"], orders["code"] = RECON, 3
    for event in recon_events(BrokerTruth({0: venue.position}, orders, len(venue.history)), now):
        apply(event.reshape(1).copy())


@pytest.mark.parametrize("seed", range(12))
def test_the_kernel_stands_where_the_venue_stands(seed):
    kernel, venue, frames = play(seed, faulty=True)
    account = kernel.state.account[0]
    events = np.concatenate(frames)
    fills = [e for e in venue.history if e["kind"] == FILL]
    message = f"seed {seed}"
    assert len(fills) > 4, message
    assert kernel.state.positions["qty"][0] == venue.position == sum(int(e["side"][0] * e["qty"][0]) for e in fills), (
        message
    )
    assert account.fills == len(fills), f"{message}: a fill was booked twice or not at all"
    assert account.venue_ref == len(venue.history), message
    assert account.reconciled == 1, message
    assert account.fees_micros == sum(int(e["fee_micros"][0]) for e in fills), message
    cash = -sum(int(e["side"][0] * e["qty"][0] * e["price_tick"][0]) for e in fills)
    tick_value = int(kernel.params.specs[0].tick_value_micros)
    open_cost = int(kernel.state.positions["cost_ticks"][0])
    assert account.realised_micros == (cash + open_cost) * tick_value, message
    numbers = events["order_number"][events["kind"] == SUBMIT]
    assert len(numbers) == len(set(numbers.tolist())), message
    assert RECON_END in events["code"][events["kind"] == RECON]


@pytest.mark.parametrize("seed", range(3))
def test_a_seed_is_a_whole_session(seed):
    """The same seed gives the same frames, bit for bit."""
    first, second = play(seed, faulty=True)[2], play(seed, faulty=True)[2]
    assert np.concatenate(first).tobytes() == np.concatenate(second).tobytes()
