"""Round trips of the trading connection, one a second, told as PROBE events: NET_SLOW, NET_FAILOVER (MOEX-RISK-05).

The execution loop asks while nothing waits to be sent, or nothing can be, on the connection that its orders take; no
answer within the connection's own time-out, or no connection, is a lost one.  The limits, and how many make a hold,
are the kernel's.
"""

from collections.abc import Callable

import numpy as np

from trading.brokers.port import OutcomeUnknown, RateLimited, Rejected, Unreachable
from trading.core.records import PROBE, PROBE_LOST
from trading.run.bodies.reconcile import raise_if_fenced
from trading.run.clock import boot_ns
from trading.run.journal.recovery import account_event

EVERY_NS = 1_000_000_000  # boot clock
LOST_NS = -1


class Probes:
    """`ask()` is one round trip; it raises as a broker does.  `watched`: whether anybody wants to know."""

    def __init__(self, ask: Callable[[], None], watched: bool) -> None:
        self._ask, self._watched = ask, watched
        self._next_ns = 0
        self.last_ns = LOST_NS

    def is_due(self) -> bool:
        """A second has passed since the last one."""
        return self._watched and boot_ns() >= self._next_ns

    def take(self, up: bool, now_ns: Callable[[], int]) -> np.ndarray:
        """One PROBE (1,).  `up`: there is a connection; the answer that does not come is no error here.

        Nor is a venue that refuses to answer (an older one knows no such request).  Raises Fenced.
        """
        begin = boot_ns()
        self._next_ns = begin + EVERY_NS
        self.last_ns = LOST_NS
        if up:
            try:
                self._ask()
                self.last_ns = boot_ns() - begin
            except Rejected as error:
                raise_if_fenced(error)
            except (Unreachable, OutcomeUnknown, RateLimited):
                pass  # whoever sends next finds out; here it is a lost one
        if self.last_ns < 0:
            return account_event(PROBE, PROBE_LOST, now_ns(), value=LOST_NS)
        return account_event(PROBE, 0, now_ns(), value=self.last_ns)
