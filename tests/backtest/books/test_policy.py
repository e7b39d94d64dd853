"""A policy is asked event by event, sees the account as it stands, and decides nothing about what it has not seen."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from marketdata.core.records import BOOK, new_depths, new_events
from marketdata.feeds.port import Batch
from tests.backtest.books.kit import MS, Made, drawn, fixed, plan
from trading.core.records import DECISION, SCORE
from trading.learning import dataset
from trading.learning.dataset import Tape
from trading.run.backtest.plan import BacktestError
from trading.run.tapes.scores import Asked, View, answer_row, policy_of, scoring_of
from trading.run.tapes.source import TapeSource, trade_tape

SECONDS = 40
BEFORE_OPEN_NS = (8 * 3600 - 300) * 1_000_000_000  # from ten o'clock to five minutes before the evening's open
MODULE = '''
class Leaning:
    """Follows the heavier side of the best level, out again when it turns."""

    def __init__(self, share=0.6):
        self.share = share

    def on_event(self, event, depth, view):
        if depth is None or view.bid_tick is None:
            return None
        bid, ask = int(depth["bid_qty"][0]), int(depth["ask_qty"][0])
        if bid + ask == 0:
            return None
        if bid / (bid + ask) >= self.share and view.position <= 0:
            return 1, 0.9
        if ask / (bid + ask) >= self.share and view.position >= 0:
            return -1, 0.9
        return None


class Silent:
    pass


class Broken:
    def on_event(self, event, depth, view):
        raise RuntimeError("no idea")
'''


def simulated(seed: int = 3) -> TapeSource:
    return TapeSource(Tape(name="simulated", symbols=["MES"], seed=seed, options={"backfill_s": "60"}), SECONDS)


class Watching:
    """Remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, View]] = []

    def on_event(self, event: np.record, depth: np.record | None, view: View) -> tuple[int, float] | None:
        assert (depth is not None) == (event["kind"] == BOOK)
        with pytest.raises(ValueError, match="read-only"):
            event["qty"] = 1
        self.seen.append((int(event["ts_ns"]), int(event["kind"]), view))
        return (1, 1.0) if len(self.seen) % 50 == 0 and view.position == 0 else None


def test_it_sees_each_event_once_and_the_account_behind_it() -> None:
    watching = Watching()
    run, result = trade_tape(
        simulated(), plan(), fixed(5 * MS), Asked(watching, "watching", ""), lambda events, ns: None, tape=40_000
    )
    times = [at for at, _, _ in watching.seen]
    assert len(times) == int(result.run.bars) > 200 and times == sorted(times)
    assert all(view.now_ns == at for at, _, view in watching.seen)
    held = {view.position for _, _, view in watching.seen}
    assert held >= {0, 1} and len(result.trades) >= 1
    inside = [view for _, _, view in watching.seen if view.position != 0]
    assert all(not np.isnan(view.average_tick) and view.equity_micros > 0 for view in inside)
    tape = run.tape()
    scores = tape[tape["kind"] == SCORE]
    assert len(scores) >= 1 and (tape["kind"] == DECISION).sum() >= len(scores)


def test_the_same_policy_and_tape_give_the_same_trades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leaning_on_books.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = []
    for _ in range(2):
        asked = policy_of("policy:leaning_on_books:Leaning", {"share": 0.55})
        run, result = trade_tape(simulated(), plan(), fixed(5 * MS), asked, lambda events, ns: None)
        found.append((result.trades.tobytes(), run.fills().tobytes(), asked.code_hash))
    assert found[0] == found[1] and len(found[0][0]) > 0 and len(found[0][2]) == 64
    for words, why in (
        ("policy:leaning_on_books", "module:Class"),
        ("policy:leaning_on_books:Nobody", "no class"),
        ("policy:leaning_on_books:Silent", "on_event"),
        ("policy:no_such_module_here:X", "failed"),
    ):
        with pytest.raises(BacktestError, match=why):
            policy_of(words, {})
    with pytest.raises(BacktestError, match="strange"):
        policy_of("policy:leaning_on_books:Leaning", {"strange": 1})
    broken = policy_of("policy:leaning_on_books:Broken", {})
    with pytest.raises(BacktestError, match="no idea"):
        trade_tape(simulated(), plan(), fixed(5 * MS), broken, lambda events, ns: None)


@pytest.mark.parametrize("answer", [2, "up", (2, 0.5), (1, 1.5), (1, float("nan")), (1,)])
def test_what_is_no_answer_is_refused(answer: object) -> None:
    with pytest.raises(BacktestError, match="answered"):
        answer_row(answer, new_events(1)[0])
    assert answer_row(None, new_events(1)[0]) is None
    assert answer_row((0, 0.5), new_events(1)[0]) is None


def test_a_scorer_says_the_same_however_the_tape_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """That it says what the inference loop says, `test_session` shows."""
    runs = []
    for size in (dataset.CHUNK, 37):
        monkeypatch.setattr(dataset, "CHUNK", size)
        scoring = scoring_of("baseline", {}, ["MES"])
        run, result = trade_tape(simulated(), plan(), fixed(5 * MS), scoring, lambda events, ns: None, tape=40_000)
        tape = run.tape()
        runs.append((tape[tape["kind"] == SCORE].tobytes(), run.fills().tobytes(), int(result.run.scores)))
    assert runs[0] == runs[1] and runs[0][2] >= 10
    assert scoring.artifact_hash == "" and scoring.missing == 0
    with pytest.raises(BacktestError, match="unknown"):
        scoring_of("oracle", {}, ["MES"])
    with pytest.raises(BacktestError, match="who decides"):
        scoring_of("none", {}, ["MES"])


class Early(TapeSource):
    """A drawn tape that begins before the evening's open, read `size` events at a time."""

    def __init__(self, size: int) -> None:
        self.tape, self.events, self._size = Tape(name="drawn", symbols=["MES"]), 0, size
        whole = drawn(2)
        told = whole.events["kind"] != SCORE
        self._made = Made(whole.events[told], whole.depths, whole.depth_of[told])
        for rows in (self._made.events, self._made.depths):
            rows["ts_ns"] += BEFORE_OPEN_NS
            rows["ts_venue_ns"] += BEFORE_OPEN_NS
        self.start_ns = int(self._made.events["ts_ns"][0])

    def batches(self) -> Iterator[tuple[Batch, bool]]:
        yield Batch(new_events(0), new_depths(0), np.zeros(0, np.int32), 0, False), True
        for at in range(0, len(self._made.events), self._size):
            part = self._made.part(at, at + self._size)
            self.events += len(part.events)
            yield Batch(part.events, part.depths, part.depth_of, self.events, False), False


def test_what_lies_before_the_open_warms_the_scorer_wherever_a_chunk_ends() -> None:
    runs = []
    for size in (5, 10_000):
        source, scoring = Early(size), scoring_of("baseline", {}, ["MES"])
        run, result = trade_tape(source, plan(), fixed(5 * MS), scoring, lambda events, ns: None, tape=60_000)
        tape = run.tape()
        runs.append((tape[tape["kind"] == SCORE].tobytes(), run.fills().tobytes(), run.outside, int(result.run.bars)))
    assert runs[0] == runs[1] and runs[0][2] > 100 and runs[0][3] > 100 and len(runs[0][0]) > 0
