"""The session's scores once more: its scorer over the same tape, moment by moment, held against what the kernel heard.

A session's scorer may have missed moments, when it was late or taken over: those are told, not differences.  Called by
`parity.proof`.
"""

from typing import NamedTuple

import numpy as np

from marketdata.core.records import FLAG_INVALID
from marketdata.feeds.port import Batch
from trading.core.records import SCORE
from trading.run.spec import ScorerSpec
from trading.run.tapes.scores import scoring_of

KEPT_MAX = 200_000  # scores that wait for the journal to have them
Said = tuple[int, int, int]  # side, score and confidence in ppm


class ScoreDiffers(NamedTuple):
    """The first recorded score that the tape does not give."""

    seq: int
    ts_ns: int
    told: Said
    made: Said | None


class ScoresAgain:
    """Attributes: recorded, equal, missed (moments that the session's scorer let pass), shifted (neutral ones, sent
    once a second at most, that fall on another moment after a missed one), first."""

    def __init__(self, spec: ScorerSpec, symbols: list[str]) -> None:
        """A session without a scorer has heard no score.  Raises BacktestError for one that cannot run here."""
        words = f"{spec.name}:{spec.artifact}" if spec.artifact else spec.name
        self._scoring = None if spec.name == "none" else scoring_of(words, dict(spec.options), symbols)
        self._made: dict[tuple[int, int], Said] = {}
        self.recorded = self.equal = self.missed = self.shifted = 0
        self.first: ScoreDiffers | None = None

    def hear(self, batch: Batch, past: bool) -> None:
        """The next events of the tape; back-fill warms the features alone.  Raises BacktestError."""
        if self._scoring is None:
            return
        for row in self._scoring.scores(batch.events, batch.depths, batch.depth_of, silent=past)[1]:
            self._made[int(row["instrument"]), int(row["ts_venue_ns"])] = _said(row)

    def follow(self, events: np.ndarray) -> None:
        """The next EVENTs of the journal; the tape is heard as far as they go."""
        told = events[(events["kind"] == SCORE) & (events["flags"] & FLAG_INVALID == 0)]
        for row in told:
            self.recorded += 1
            made = self._made.pop((int(row["instrument"]), int(row["ts_venue_ns"])), None)
            if made == _said(row):
                self.equal += 1
            elif made is None and row["side"] == 0 and self.missed > 0:
                self.shifted += 1
            elif self.first is None:
                self.first = ScoreDiffers(int(row["seq"]), int(row["ts_ns"]), _said(row), made)
        if len(told) > 0:
            last_ns = int(told["ts_venue_ns"][-1])
            passed = [key for key in self._made if key[1] < last_ns]
            self.missed += len(passed)
            for key in passed:
                del self._made[key]
        while len(self._made) > KEPT_MAX:
            del self._made[next(iter(self._made))]


def _said(row: np.record) -> Said:
    return int(row["side"]), int(row["score_ppm"]), int(row["confidence_ppm"])
