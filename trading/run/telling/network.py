"""Whether the network of a session answers: holds ENSEMBLE_WEAK and ML_FALLBACK (MOEX-ML-02, -03, -06).

A session has one network, an ensemble of one: its weight is 1 while its last output was one, else 0.  Three outputs in
a row that were none put it away until it is loaded again; ten seconds without one leave the heuristic alone, which this
desk does not have, so nothing enters.  Futures know neither hold.  Session time.
"""

from marketdata.core.records import NO_TIME
from trading.run.telling.conditions import Conditions

FAILED_MAX = 3  # outputs in a row


class NetworkWatch:
    """`fallback_ns`: so long without an output until ML_FALLBACK."""

    def __init__(self, conditions: Conditions, fallback_ns: int) -> None:
        self._conditions, self._fallback_ns = conditions, fallback_ns
        self._watched = conditions.knows("ML_FALLBACK")
        self._failed = 0
        self._since_ns = NO_TIME  # of the first output that was none, NO_TIME: the last one was good
        self.answers = False  # the last output was one

    @property
    def is_away(self) -> bool:
        """Put away: it is not asked again before it is loaded anew."""
        return self._watched and self._failed >= FAILED_MAX

    def answered(self) -> None:
        """An output."""
        self._failed, self._since_ns, self.answers = 0, NO_TIME, True
        self._conditions.set("ENSEMBLE_WEAK", False)

    def failed(self, now_ns: int) -> None:
        """No output, or none that may be used."""
        self._failed, self.answers = self._failed + 1, False
        if self._since_ns == NO_TIME:
            self._since_ns = now_ns
        self._conditions.set("ENSEMBLE_WEAK", True)
        self._judge(now_ns)

    def look(self, now_ns: int) -> None:
        """Time passes for a network that is put away; one that is still asked has its next output to answer with."""
        if self.is_away:
            self._judge(now_ns)

    def _judge(self, now_ns: int) -> None:
        silent_ns = now_ns - self._since_ns
        if silent_ns >= self._fallback_ns:
            self._conditions.set("ML_FALLBACK", True, silent_ns)
