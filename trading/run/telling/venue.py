"""What the execution loop measures of its venue: how long an acknowledgement takes, and how far the venue is.

Stage `broker` of LATENCY (MOEX-MON-04) and the probes of NET_SLOW and NET_FAILOVER (MOEX-RISK-05): of shares alone.
Acknowledgements are noted by the thread that collects them, the rest is the loop's own thread.
"""

import threading
from collections import deque
from collections.abc import Callable

import numpy as np

from risk.core.records import MES
from trading.brokers.port import Unauthorized
from trading.core.records import ACK, PASSIVE, SUBMIT
from trading.run.clock import SessionClock, boot_ns
from trading.run.spec import SessionSpec, watch_of
from trading.run.telling.conditions import Conditions
from trading.run.telling.probes import Probes
from trading.run.telling.stages import Stages

KEPT = 256  # acknowledgements that wait to be looked at
WAITING_KEPT = 1024  # latest orders that the venue keeps before it acknowledges them


class VenueWatch:
    """One holding of the execution loop.  `ask` is one round trip, `tell` gives EVENTs to the inbox, now or later."""

    def __init__(self, spec: SessionSpec, ask: Callable[[], None], tell: Callable[[np.ndarray], object]) -> None:
        self._tell = tell
        self._conditions = Conditions(spec.limits.get("rules", MES))
        self._watched = self._conditions.knows("LATENCY")
        self._stages = Stages(self._conditions, watch_of(spec), "execution")
        self._ask = ask
        self._probes = Probes(self._probe, self._watched)  # a version switches the limits on, and the kernel knows it
        self._acks: deque[int] = deque(maxlen=KEPT)
        self._kept: dict[int, None] = {}  # numbers of orders that the venue keeps, oldest first
        self._lock = threading.Lock()
        self._measured_ref = 0  # newest answer that was looked at: given again, it says nothing of the venue's pace

    def leaves(self, row: np.void) -> None:
        """This output is about to leave: a passive child is acknowledged when it is released, not when it arrives."""
        if row["kind"] == SUBMIT and row["order_type"] == PASSIVE:
            with self._lock:
                self._kept[int(row["order_number"])] = None
                if len(self._kept) > WAITING_KEPT:
                    del self._kept[next(iter(self._kept))]

    def note(self, answers: np.ndarray) -> None:
        """Answers as they come: how long each acknowledgement took, once however often it is given."""
        if not self._watched or len(answers) == 0:
            return
        fresh = answers[(answers["kind"] == ACK) & (answers["ref"] > self._measured_ref) & (answers["value"] > 0)]
        self._measured_ref = max(self._measured_ref, int(answers["ref"].max()))
        now, pairs = boot_ns(), zip(fresh["order_number"].tolist(), fresh["value"].tolist(), strict=True)
        with self._lock:
            self._acks.extend(now - sent for number, sent in pairs if number not in self._kept)

    def reached(self, error: Exception | None) -> None:
        """The venue was asked: None for an answer.  A token that it refuses is told until it takes one (BROKER_AUTH).

        An outage says nothing of the token.
        """
        if error is None or isinstance(error, Unauthorized):
            self._conditions.set("BROKER_AUTH", error is not None)

    def _probe(self) -> None:
        try:
            self._ask()
        except Unauthorized as error:
            self.reached(error)
            raise
        self.reached(None)  # on a connection that stays nobody else says that the token is good again

    def step(self, clock: SessionClock, *, up: bool, idle: bool) -> None:
        """Now and then, while the inbox takes what it is told.  `up`: connected; `idle`: nothing waits to be sent."""
        now_ns = clock.now()
        if not self._watched:
            return
        if clock.tape:  # nothing is measured on it
            self._conditions.tell(now_ns, self._tell)
            return
        self._stages.begin(now_ns, "broker")
        while self._acks:
            self._stages.sample("broker", self._acks.popleft(), now_ns)
        self._stages.look(now_ns)
        self._conditions.tell(now_ns, self._tell)
        if (idle or not up) and self._probes.is_due():  # without a connection nothing can be sent that it would delay
            self._tell(self._probes.take(up, clock.now))

    def shown(self) -> dict[str, object]:
        """Figures for the loop's beat."""
        if not self._watched:
            return {}
        shown: dict[str, object] = {"slow_acks": self._stages.counts["breaches"], **self._stages.shown()}
        if self._probes.last_ns >= 0:
            shown["probe_us"] = self._probes.last_ns // 1000
        return shown
