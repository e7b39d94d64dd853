"""A session of the real loops on the bar features, its scorer killed on the way: the journal's scores are the batch's.

Rules: MES-FEAT-01, -02, -06, MES-ML-15.
"""

from pathlib import Path

import numpy as np
import pytest

from tests.learning.loop.test_bar_feeding import in_batch
from tests.simulation.ring import Ring
from trading.core.records import SCORE
from trading.learning.artifacts import load
from trading.learning.scoring import NetworkScorer, Score
from trading.run.spec import ScorerSpec, save_spec

pytestmark = [pytest.mark.processes, pytest.mark.slow]
SPEED = 8.0
SCORES = 12  # of each holder
OPTIONS = {"edge_min": 0.0}


def test_the_scores_of_a_recorded_session_are_those_of_the_batch(tmp_path: Path, bars_network: Path) -> None:
    ring = Ring(tmp_path, SPEED, scorer=ScorerSpec("network", str(bars_network), OPTIONS))
    try:
        save_spec(ring.folder, ring.spec)
        ring.start()
        ring.until(lambda: len(ring.events(SCORE)) >= SCORES, "it scores")
        ring.abandon("inference")
        before = len(ring.events(SCORE))
        ring.start("inference")
        ring.until(lambda: len(ring.events(SCORE)) >= before + SCORES, "another holder scores")
        ring.stop()
        events = ring.events()
    finally:
        ring.close()
    rows = dict(in_batch(events))
    scorer = NetworkScorer(load(bars_network), OPTIONS)
    found = events[events["kind"] == SCORE]
    for score in found:
        vector = np.frombuffer(rows[int(score["ts_venue_ns"])])
        said = Score(int(score["side"]), int(score["score_ppm"]), int(score["confidence_ppm"]))
        assert said == scorer.score(vector)
    assert len(np.unique(found["score_ppm"])) > SCORES
    assert (np.diff(np.unique(found["ts_venue_ns"])) >= 1_000_000_000).all()
