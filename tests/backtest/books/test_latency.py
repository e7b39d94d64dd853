"""Latency is what it says: one time, or the times that a journal holds, drawn as the generator's paper has it."""

from pathlib import Path

import numpy as np
import pytest

from marketdata.core.records import new_events
from tests.backtest.books.kit import MS, Maker, through
from trading.core.history.rounds import new_rounds
from trading.core.records import ACK, CANCEL, CANCELLED, CANCELLED_ON_REQUEST, FILL, MODIFY, SUBMIT
from trading.run.backtest.plan import BacktestError
from trading.run.tapes.latency import Latency, constant, measured, travelled

TEN_THOUSANDTH = 399_268_537  # Park and Miller's own check, of the multiplier 48271: seed 1, 10,000 draws


@pytest.mark.parametrize(
    ("words", "ns"), [("20 ms", 20 * MS), ("0 ms", 0), ("350us", 350_000), ("1 s", 1_000 * MS), (" 7 ns ", 7)]
)
def test_a_time_with_its_unit(words: str, ns: int) -> None:
    found = constant(words)
    assert found.samples_ns.tolist() == [ns] and found.longest_ns == ns


@pytest.mark.parametrize("words", ["", "20", "fast", "-1 ms", "1.5 ms", "20 min"])
def test_what_is_no_time_is_refused(words: str) -> None:
    with pytest.raises(BacktestError, match="like 20 ms"):
        constant(words)


def _row(kind: int, number: int, ours: int, theirs: int, code: int = 0) -> np.ndarray:
    row = new_events(1)
    row["kind"], row["order_number"], row["ts_ns"], row["ts_venue_ns"], row["code"] = kind, number, ours, theirs, code
    return row


def test_a_journal_tells_how_long_requests_travelled() -> None:
    journal = np.concatenate(
        [
            _row(SUBMIT, 1, 100, 100),
            _row(SUBMIT, 2, 110, 110),
            _row(ACK, 1, 190, 150),
            _row(FILL, 1, 191, 150),
            _row(MODIFY, 1, 200, 200),
            _row(ACK, 2, 205, 117),
            _row(ACK, 1, 260, 231),
            _row(CANCEL, 1, 300, 300),
            _row(CANCELLED, 1, 350, 290, CANCELLED_ON_REQUEST),
            _row(ACK, 9, 400, 400),
            _row(CANCELLED, 2, 500, 480, 3),
        ]
    )
    sent: dict[tuple[int, int], int] = {}
    assert travelled(journal, sent).tolist() == [50, 7, 31, 0], "a venue's clock behind ours counts as at once"
    halves: dict[tuple[int, int], int] = {}
    parts = [travelled(half, halves).tolist() for half in (journal[:5], journal[5:])]
    assert parts == [[50], [7, 31, 0]], "a chunk may end between request and answer"


def test_too_few_answers_are_no_distribution(tmp_path: Path) -> None:
    with pytest.raises(BacktestError, match="20 are needed"):
        measured(tmp_path, "session:7")


def test_the_generator_is_park_and_miller_s() -> None:
    """Each request of a run takes the sample that the paper's recurrence names; its own check value holds."""
    state = 1
    for _ in range(10_000):
        state = state * 48_271 % 2_147_483_647
    assert state == TEN_THOUSANDTH
    samples = np.array([1, 2, 3, 5, 8], np.int64) * MS
    tape = Maker().book(0.0, [(24_000, 5)], [(24_001, 5)]).trade(0.1, 24_001)
    tape.score(0.5, 1).trade(2.0, 24_001).trade(3.0, 24_001)
    run, _ = through(tape.made(), latency=Latency("drawn", samples, seed=4))
    first = (1 + 4) * 48_271 % 2_147_483_647
    assert int(run.fills()["ts_ns"][0] - tape.made().events["ts_ns"][2]) == samples[first % 5]
    assert run.requests >= 3, "an entry, a stop, a target"


def test_a_seed_or_a_latency_below_zero_is_a_programmer_s_error() -> None:
    for samples, seed in ((np.zeros(0, np.int64), 1), (np.array([-1]), 1), (np.array([1]), -1)):
        with pytest.raises(ValueError, match="latency"):
            new_rounds(samples, seed, timers=True)
