"""When one alert goes to which channel: at once, on to the next one after 60 s and 120 s without an answer (N16).

A channel that takes nothing is passed over at once; while none takes it, all are tried again and again.  Only what is
urgent waits for an answer.  Pure: the boot clock is an argument.
"""

from dataclasses import dataclass, field

from desk.alerts.kinds import URGENT, Alert
from marketdata.core.units import NANOS

ESCALATE_NS = 60 * NANOS  # from one channel to the next
REPEAT_NS = 600 * NANOS  # once all of them have it and nobody answers
PAUSE_NS = 2 * NANOS  # after a round in which no channel took it; twice as long after the next, at most
PAUSE_NS_MAX = 30 * NANOS
IN_FLIGHT_NS = 10 * NANOS  # a channel that has said nothing for so long has not taken it
STEPS_MIN = 3  # a desk with one channel uses it at 0, 60 and 120 s


@dataclass
class Standing:
    """An alert that is not done: where it was sent, and when it is due again.  Boot clock."""

    alert: Alert
    delivered: list[str] = field(default_factory=list)  # names of channels, in order
    due_ns: int = 0
    in_flight: bool = False
    taken_ns: int = 0  # since when it is
    asked: int = 0  # how many channels were asked, counting each time
    failed: int = 0  # in a row
    paused: bool = False  # its session has the pause that it asks for

    def channel(self, channels: int) -> int:
        """Index of the channel that is next."""
        return self.asked % channels

    def is_due(self, now_ns: int) -> bool:
        """Whether it is to be sent now."""
        return not self.in_flight and now_ns >= self.due_ns

    def take(self, now_ns: int) -> None:
        """It was handed to the next channel."""
        self.in_flight, self.taken_ns, self.asked = True, now_ns, self.asked + 1

    def is_with(self, channel: int, channels: int) -> bool:
        """Whether it is this channel's answer that is waited for."""
        return self.in_flight and (self.asked - 1) % channels == channel

    def is_overdue(self, now_ns: int) -> bool:
        """Whether its channel hangs."""
        return self.in_flight and now_ns - self.taken_ns >= IN_FLIGHT_NS

    def took(self, now_ns: int, channels: int) -> None:
        """The channel took it; the caller has noted its name in `delivered`."""
        self.in_flight, self.failed = False, 0
        everywhere = len(self.delivered) >= max(channels, STEPS_MIN)
        self.due_ns = now_ns + (REPEAT_NS if everywhere else ESCALATE_NS)

    def refused(self, now_ns: int, channels: int) -> None:
        """The channel did not take it: the next one at once, and after a whole round a pause."""
        self.in_flight, self.failed = False, self.failed + 1
        rounds = self.failed // channels
        whole = self.failed % channels == 0
        self.due_ns = now_ns + (min(PAUSE_NS << min(rounds - 1, 8), PAUSE_NS_MAX) if whole else 0)

    @property
    def waits_for_answer(self) -> bool:
        """Whether a person must answer."""
        return self.alert.severity == URGENT
