"""The session's scores once more: its scorer over the same tape, moment by moment, held against what the kernel heard.

A session's scorer may have missed moments, when it was late or taken over: those are told, not differences.  Called by
`parity.proof`.
"""

from collections import deque
from typing import NamedTuple

import numpy as np

from marketdata.core.records import FLAG_INVALID, new_depths
from marketdata.feeds.port import Batch
from trading.core.records import SCORE
from trading.run.bodies.feed_loop import cut
from trading.run.feeding.active import ActiveSet
from trading.run.spec import ScorerSpec
from trading.run.tapes.scores import scoring_of

KEPT_MAX = 200_000  # scores of an instrument that wait for the journal to have them
Said = tuple[int, int, int]  # side, score and confidence in ppm


class ScoreDiffers(NamedTuple):
    """The first recorded score that the tape does not give."""

    seq: int
    ts_ns: int
    told: Said
    made: Said | None


class ScoresAgain:
    """Attributes: recorded, equal, missed (moments that the session's scorer let pass), shifted (neutral ones, sent
    once a second at most, that fall on another moment after a missed one), first.

    Where a live data engine says who is scored and what the market is (`engine`), its METRIC rows are the journal's,
    and the tape is heard up to each of them as the session's scorer heard it.
    """

    def __init__(self, spec: ScorerSpec, symbols: list[str], engine: bool = False) -> None:
        """A session without a scorer has heard no score.  Raises BacktestError for one that cannot run here."""
        words = f"{spec.name}:{spec.artifact}" if spec.artifact else spec.name
        active = ActiveSet(len(symbols), engine)
        self._scoring = None if spec.name == "none" else scoring_of(words, dict(spec.options), symbols, active)
        self._made: list[dict[int, Said]] = [{} for _ in symbols]  # of each instrument: time at the venue → what
        self._waiting: deque[Batch] = deque()  # of the tape, not yet heard
        self._heard = 0  # events of the tape behind its back-fill
        self.engine = engine
        self.recorded = self.equal = self.missed = self.shifted = 0
        self.first: ScoreDiffers | None = None

    def hear(self, batch: Batch, past: bool) -> None:
        """The next events of the tape; back-fill warms the features alone.  Raises BacktestError."""
        if self.engine and not past:
            self._waiting.append(batch)
        else:
            self._score(batch, past)

    def upto(self, count: int) -> None:
        """With an engine: hear so many events of the tape, all in all.  Raises BacktestError."""
        while self._waiting and self._heard < count:
            batch, left = self._waiting.popleft(), count - self._heard
            if left < len(batch.events):
                self._waiting.appendleft(cut(batch, left, len(batch.events), batch.position))
                batch = cut(batch, 0, left, batch.position)
            self._heard += len(batch.events)
            self._score(batch, past=False)

    def tell(self, metrics: np.ndarray) -> None:
        """METRIC rows of the journal, behind what was heard."""
        self._score(Batch(metrics, new_depths(0), np.full(len(metrics), -1, np.int32), 0, False), past=False)

    def _score(self, batch: Batch, past: bool) -> None:
        if self._scoring is None:
            return
        for row in self._scoring.scores(batch.events, batch.depths, batch.depth_of, silent=past)[1]:
            made = self._made[int(row["instrument"])]
            made[int(row["ts_venue_ns"])] = _said(row)
            if len(made) > KEPT_MAX:
                del made[next(iter(made))]

    def follow(self, events: np.ndarray) -> None:
        """The next EVENTs of the journal; the tape is heard as far as they go."""
        for row in events[(events["kind"] == SCORE) & (events["flags"] & FLAG_INVALID == 0)]:
            self.recorded += 1
            waiting, at_ns = self._made[int(row["instrument"])], int(row["ts_venue_ns"])
            while waiting and next(iter(waiting)) < at_ns:
                del waiting[next(iter(waiting))]
                self.missed += 1
            made = waiting.pop(at_ns, None)
            if made == _said(row):
                self.equal += 1
            elif made is None and row["side"] == 0 and self.missed > 0:
                self.shifted += 1
            elif self.first is None:
                self.first = ScoreDiffers(int(row["seq"]), int(row["ts_ns"]), _said(row), made)


def _said(row: np.record) -> Said:
    return int(row["side"]), int(row["score_ppm"]), int(row["confidence_ppm"])
