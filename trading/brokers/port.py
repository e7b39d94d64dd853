"""What every broker is to the desk: the same verbs, four errors, answers in order and exactly once.

The execution loop and the reconcile path speak to this port alone.  An order is an EVENT record with the kernel's order
number; the number is the identity, so sending it again never makes a second order.  Answers are EVENTs (ACK, FILL,
REJECT, CANCELLED) whose `ref` is the venue's own gapless event number.  ACK and CANCELLED carry in `value` the boot
time (ns) at which their request left this process, 0 if not known: latencies are read from the journal.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np


class Rejected(Exception):
    """The broker understood and refused; the request had no effect.  `reason`: one word for tables and tests."""

    def __init__(self, text: str, reason: str = "rejected") -> None:
        super().__init__(text)
        self.reason = reason


class RateLimited(Exception):
    """Too many requests; it had no effect.  `wait_s`: how long to wait before the next."""

    def __init__(self, text: str, wait_s: float = 1.0) -> None:
        super().__init__(text)
        self.wait_s = wait_s


class Unreachable(Exception):
    """Not connected: nothing was sent."""


class Unauthorized(Unreachable):
    """The broker refuses the desk's token: nothing was done, nor will be before it takes one (BROKER_AUTH)."""


class OutcomeUnknown(Exception):
    """Sent, and no answer came: it may or may not have happened.  Never to be read as failed."""


NO_MONEY: Mapping[int, tuple[int, int]] = {}  # of a venue that says nothing of it


class BrokerTruth(NamedTuple):
    """What the broker says is so."""

    positions: dict[int, int]  # instrument → signed quantity; flat ones are absent
    orders: np.ndarray  # EVENT of kind RECON, code RECON_ORDER: one per working order (qty total, volume filled)
    last_ref: int  # number of the last answer that this truth contains
    market_position: int = 0  # tape events that the venue has taken; 0 for venues with a market of their own
    pending: int = 0  # requests received that have not reached the market yet
    money: Mapping[int, tuple[int, int]] = NO_MONEY  # instrument → (−Σ side x qty x price in ticks, fees in micros)


class Broker(Protocol):
    """One account at one venue.  All methods may be called from several threads."""

    def connect(self, fence: int, after_ref: int) -> None:
        """Begin a session under this fence; answers after `after_ref` follow by `events`.

        Raises Unreachable, or Rejected when a higher fence was seen.  A second call reconnects.
        """
        ...

    def submit(self, order: np.ndarray) -> None:
        """Send an order (one EVENT).  Returns once the broker has it durably; its fate comes by `events`.

        Raises Rejected, RateLimited, Unreachable (not sent) or OutcomeUnknown (sent, no answer).
        """
        ...

    def cancel(self, order: np.ndarray) -> None:
        """Ask to cancel `order_number`.  Errors as `submit`."""
        ...

    def modify(self, order: np.ndarray) -> None:
        """Ask for another total quantity and price (stop_tick of a stop, else price_tick).  Errors as `submit`."""
        ...

    def request_all(self, orders: list[np.ndarray]) -> list[Exception | None]:
        """Send requests (EVENTs of kind SUBMIT, CANCEL, MODIFY) one behind the other, none waiting for an answer.

        Returns each one's outcome in order: None, or the error that `submit` would have raised.
        """
        ...

    def query(self, number: int) -> np.ndarray:
        """What became of an order: a report with ref 0 (ACK: works; REJECT: never heard of), else its own answers.

        Empty: received, on its way.  To be read after the answers that `events` holds.
        """
        ...

    def snapshot(self) -> BrokerTruth:
        """Positions and working orders as the broker has them now."""
        ...

    def probe(self) -> None:
        """One round trip on the connection that orders take; it changes nothing.  Errors as `submit`."""
        ...

    def change_route(self, episode: int) -> None:
        """Reach the venue by another way, once an episode: asked again about the same one, nothing happens.

        A broker with a single way stays on it; entries are held until that one is good (MOEX-RISK-07).
        """
        ...

    def events(self, timeout_s: float) -> np.ndarray:
        """Answers not yet delivered, in order; waits at most `timeout_s` for the first.  Empty: none came.

        Raises Unreachable when the connection is lost and nothing is left to deliver.
        """
        ...

    def close(self) -> None:
        """End the session; a blocked `events` returns."""
        ...
