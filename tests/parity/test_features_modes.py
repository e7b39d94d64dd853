"""Features and scores: compiled = plain interpreter; batch = streaming on the simulated market and recorded data.

Rules: MES-FEAT-01, -02; the plain interpreter runs in a process of its own (NUMBA_DISABLE_JIT=1).
"""

import hashlib

import numpy as np
import pytest

from marketdata.core import features_schema as f
from marketdata.core import features_stream as stream
from tests import plain
from tests.learning.tapes import bar_tape, book_tape

PROGRAM = "from tests.parity.test_features_modes import digest; print(digest())"


def digest() -> str:
    """Hash over the features and scores of three tapes, one event at a time."""
    from trading.learning import scoring

    total = hashlib.sha256()
    for tape, instruments in (
        (book_tape(1_500, 7), 1),
        (book_tape(1_500, 11, instruments=3, faults=True), 3),
        (bar_tape(200, 5, seconds=300), 1),
    ):
        states = stream.new_states(instruments)
        out, valid = np.empty((len(tape.events), f.FEATURE_COUNT)), np.empty(len(tape.events), np.bool_)
        stream.batch(states, tape.events, tape.depths, tape.depth_of, out, valid)
        total.update(out.tobytes())
        total.update(states.tobytes())
        weights = scoring.BaselineScorer({}).values
        scores = [scoring.baseline_score(row, weights) for row in out[valid]]
        total.update(np.array(scores).tobytes())
    return total.hexdigest()


def test_compiled_equals_plain_interpreter():
    assert plain.answer_of(PROGRAM) == digest()


def check_tape(name: str, symbol: str, path: str, options: dict[str, str], seconds: int) -> int:
    """Batch = streaming over a real tape, its back-fill included; returns the number of warm rows."""
    from marketdata.feeds.registry import open_feed
    from trading.learning.dataset import FOREVER, Tape, chunks, some_depths

    feed = open_feed(Tape(name, [symbol], seed=7, path=path, options=options))
    until_ns = feed.start_ns + seconds * 1_000_000_000 if seconds else FOREVER
    batch_states, single_states = stream.new_states(1), stream.new_states(1)
    warm = 0
    for batch in chunks(feed, until_ns):
        count, depths = len(batch.events), some_depths(batch.depths)
        out, valid = np.empty((count, f.FEATURE_COUNT)), np.empty(count, np.bool_)
        stream.batch(batch_states, batch.events, depths, batch.depth_of, out, valid)
        row = np.empty(f.FEATURE_COUNT)
        for i in range(count):
            stream.update(single_states, batch.events, depths, batch.depth_of, i)
            if valid[i]:
                stream.vector(single_states[0], row)
                assert row.tobytes() == out[i].tobytes()
        assert np.isfinite(out[valid]).all()
        assert batch_states.tobytes() == single_states.tobytes()
        warm += int(valid.sum())
    feed.close()
    return warm


def test_batch_equals_streaming_on_the_simulated_market():
    assert check_tape("simulated", "MES", "", {}, 120) > 2_000


@pytest.mark.parametrize(
    ("file", "symbol", "options"),
    [
        ("cme_es_mbo/esh4_20231225_to2330.mbo.dbn.zst", "MES", {"as_symbol": "MES"}),
        ("moex_bars/SBER_5min_2018.csv.gz", "SBER", {"zone": "Europe/Moscow"}),
    ],
)
def test_batch_equals_streaming_on_recorded_data(sample_data, file, symbol, options):
    """MES-FEAT-02 on the real ESH4 book and real SBER bars."""
    if not (sample_data / file).exists():
        pytest.skip(f"{sample_data / file} is absent")
    assert check_tape("replay", symbol, str(sample_data / file), options, 0) > 10_000
