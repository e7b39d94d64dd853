"""The watcher beside the inference loop: what it tells the kernel, when, and what it leaves for people.  T-06."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from marketdata.core.units import NANOS
from risk.core.holds import BIT
from risk.core.records import MES, MOEX
from tests.simulation.kit import make_spec
from trading.core.records import (
    CAUSE_OPERATOR,
    DRIFT,
    DRIFT_CRITICAL,
    DRIFT_NONE,
    DRIFT_WARN,
    MODEL,
    MODEL_BLOCKED,
    MODEL_READY,
)
from trading.learning.artifacts import MANIFEST_FILE, load
from trading.learning.health.drift import NONE
from trading.learning.health.evaluation import NO_REFERENCE, NO_VALUES, Report
from trading.learning.scoring import NetworkScorer, ScorerError, open_scorer
from trading.run.clock import SessionClock, boot_ns
from trading.run.health.files import read_report
from trading.run.health.watcher import HealthWatch, event_of
from trading.run.journal.recovery import account_event
from trading.run.replica import Kernel
from trading.run.spec import ScorerSpec, setup_events
from trading.run.streams import StreamFull
from trading.run.telling.reload import BY_HEALTH, MODEL_MARK, UNWELL, ModelWatch, Told

EVERY_S = 86_400  # of a hundred moments each: so far apart that no score has an outcome, and every hour is touched


class Watched:
    """A watcher fed with rows of the network's own reference, moved by so many of its sigmas."""

    def __init__(self, artifact: Path, folder: Path, rules: int = MOEX, features: object = None) -> None:
        self.scorer = NetworkScorer(load(artifact), {"health_s": EVERY_S})
        known = self.scorer.artifact.reference
        spec = make_spec(rules=rules)
        self.spec = msgspec.structs.replace(spec, scorer=ScorerSpec("network", str(artifact)))
        self.sent: list[np.ndarray] = []
        self.unwell: list[int] = []
        self.no_mark = False
        self.full = False
        self.folder = folder
        self.rows = None if known is None else known.features.astype(np.float64)
        if features is not None and known is not None:
            broken = known._replace(features=features)  # type: ignore[arg-type]
            self.scorer.artifact = self.scorer.artifact._replace(reference=broken)
        self.watch = HealthWatch(self.spec, self.scorer, folder, self.take, self.block)
        self.clock = SessionClock(0, boot_ns(), 1.0)
        self.at = self.looks = 0

    def take(self, events: np.ndarray) -> None:
        if self.full:
            raise StreamFull("full")
        self.sent.append(events.copy())

    def block(self, worst: int) -> None:
        if self.no_mark:
            raise StreamFull("full")
        self.unwell.append(worst)

    def look(self, moved: float = 0.0) -> np.ndarray:
        """Moments until the next look is due, and its DRIFT."""
        self.moments(moved)
        return self.told(self.looks)

    def moments(self, moved: float) -> None:
        """Those of one look, of rows of the reference moved by so many of its deviations."""
        assert self.rows is not None
        spread = self.rows.std(axis=0)
        self.looks += 1
        while self.at <= 100 * self.looks:
            row = self.rows[(self.at * 37) % len(self.rows)]
            self.watch.scored(0, self.at * EVERY_S * NANOS // 100, 40_000, row + moved * spread)
            self.at += 1

    def told(self, count: int) -> np.ndarray:
        """Wait for so many DRIFTs in all; the last one."""
        until(lambda: self.stepped() >= count)
        return self.sent[-1][0]

    def stepped(self) -> int:
        self.watch.step(self.clock)
        return len(self.sent)


def until(truth: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not truth():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def watched(trained, tmp_path: Path) -> Iterator[Watched]:
    found = Watched(trained[0], tmp_path)
    yield found
    found.watch.close()


def test_a_healthy_network_is_told_as_such_and_one_that_moved_is_confirmed_by_the_second_look_moex_mon_03(
    watched: Watched,
) -> None:
    """DRIFT_NONE, then a warning for the first critical look, then DRIFT_CRITICAL; each leaves lines and a report."""
    event = watched.look()
    assert (int(event["kind"]), int(event["code"])) == (DRIFT, DRIFT_NONE) and event["qty"] > 0
    event = watched.look(moved=6.0)
    assert int(event["code"]) == DRIFT_WARN and int(event["value"]) > 3_000_000 and event["ref"] > 0
    assert int(watched.look(moved=6.0)["code"]) == DRIFT_CRITICAL and watched.unwell == []
    assert int(watched.look()["code"]) == DRIFT_NONE
    report = read_report(watched.folder)
    assert report is not None and report.verdict == "none" and report.judged == event["qty"]
    files = sorted(watched.folder.glob("drift_metrics_*.jsonl"))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len(files) == 4 and files[0].name == "drift_metrics_19700102.jsonl", "by the date of Moscow"
    assert len(rows) == 4 * report.judged and rows[0]["instrument"] == "MES"
    assert {row["reference"] for row in rows} == {report.reference} and rows[0]["n_cur"] == 100
    assert watched.watch.counts == {"health_looks": 4, "health_verdict": DRIFT_NONE}


def test_the_kernel_steps_down_and_then_stops_entries_by_its_own_holds_moex_mon_03(watched: Watched) -> None:
    """And a replay of the journal has it, for the DRIFT is an event like every other."""
    for moved in (0.0, 6.0, 6.0):
        watched.look(moved)
    kernel = Kernel()
    kernel.apply(setup_events(watched.spec))
    standing = []
    for events in watched.sent:
        kernel.apply(events)
        holds = int(kernel.state.account[0].holds)
        standing.append(tuple(bool(holds >> BIT[code] & 1) for code in ("DRIFT_WARN", "DRIFT_CRITICAL")))
    assert standing == [(False, False), (True, False), (True, True)]


def test_futures_have_no_hold_of_drift_so_what_is_confirmed_blocks_the_network_t_06_mes_hold_model_blocked(
    trained, tmp_path: Path
) -> None:
    watched = Watched(trained[0], tmp_path, MES)
    try:
        watched.look(6.0)
        assert watched.unwell == []
        watched.look(6.0)
        assert len(watched.unwell) == 1 and watched.unwell[0] > 3_000_000
    finally:
        watched.watch.close()


def test_a_network_without_a_reference_is_told_at_its_first_score_t_06(trained, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(trained[0], old)
    manifest = json.loads((old / MANIFEST_FILE).read_text())
    del manifest["reference"]
    (old / MANIFEST_FILE).write_text(json.dumps(manifest))
    watched = Watched(old, tmp_path)
    try:
        watched.watch.scored(0, 1, 40_000, np.zeros(watched.scorer.schema.width))
        assert int(watched.told(1)["code"]) == DRIFT_WARN
        report = read_report(tmp_path)
        assert report is not None and report.why == NO_REFERENCE
    finally:
        watched.watch.close()


def test_what_the_inbox_cannot_take_is_told_later_and_once(watched: Watched) -> None:
    watched.full = True
    watched.moments(0.0)
    until(lambda: read_report(watched.folder) is not None)
    assert watched.stepped() == 0
    watched.full = False
    assert int(watched.told(1)["code"]) == DRIFT_NONE and watched.stepped() == 1


def test_what_waits_is_told_with_its_worst_and_no_part_of_it_twice_t_06(trained, tmp_path: Path) -> None:
    """Four looks while the inbox is full, the third confirmed; then the block is refused after its DRIFT has left."""
    watched = Watched(trained[0], tmp_path, MES)
    watched.full = watched.no_mark = True
    for moved in (0.0, 6.0, 6.0, 0.0):
        watched.moments(moved)
        until(lambda: seen_of(tmp_path) == watched.looks * EVERY_S * NANOS)
    watched.watch.close()
    assert watched.stepped() == 0
    watched.full = False
    assert (watched.stepped(), watched.stepped(), watched.unwell) == (2, 2, [])
    watched.no_mark = False
    assert (watched.stepped(), watched.stepped(), len(watched.unwell)) == (2, 2, 1)
    assert [int(events["code"][0]) for events in watched.sent] == [DRIFT_NONE, DRIFT_CRITICAL]


def seen_of(folder: Path) -> int:
    """Time of the newest report."""
    report = read_report(folder)
    return 0 if report is None else report.ts_ns


class Ending:
    """Features that end whoever asks for them."""

    def __getitem__(self, rows: object) -> None:
        raise SystemExit


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("features", "why"), [(np.zeros(3), "the look failed: IndexError"), (Ending(), "nobody looks any more")]
)
def test_a_look_that_fails_and_a_thread_that_ended_are_warnings_t_06(
    trained, tmp_path: Path, features: object, why: str
) -> None:
    watched = Watched(trained[0], tmp_path, features=features)
    try:
        assert int(watched.look()["code"]) == DRIFT_WARN
        report = read_report(tmp_path)
        assert report is not None and (report.verdict, report.why[: len(why)]) == ("warning", why)
        assert watched.stepped() == 1, "once"
    finally:
        watched.watch.close()


def test_a_silence_is_no_part_of_the_span_of_a_look_moex_mon_03(watched: Watched) -> None:
    """Of 54 hours without a score 1.2 count, a twentieth of the day that a look takes here."""
    for hour in (*range(7), *range(60, 79)):
        watched.watch.scored(0, hour * 3600 * NANOS, 40_000, np.zeros(watched.scorer.schema.width))
    watched.told(1)
    assert seen_of(watched.folder) == 77 * 3600 * NANOS


def test_too_few_values_and_no_outcome_are_said_and_hold_nothing_t_06() -> None:
    event = event_of(Report(5, NONE, False, "ab", NO_VALUES, 2, [], None, None, None), 7)[0]
    assert [int(event[name]) for name in ("code", "qty", "score_ppm", "confidence_ppm")] == [DRIFT_NONE, 0, -1, -1]


def test_a_holder_that_takes_over_goes_on_with_the_count_moex_mon_03(trained, tmp_path: Path) -> None:
    """Critical once before and once after is confirmed, and the look is due as if nobody had changed."""
    first = Watched(trained[0], tmp_path)
    try:
        assert int(first.look(moved=6.0)["code"]) == DRIFT_WARN
    finally:
        first.watch.close()
    second = Watched(trained[0], tmp_path)
    second.at, second.looks = first.at, first.looks
    try:
        second.moments(6.0)
        assert int(second.told(1)["code"]) == DRIFT_CRITICAL and seen_of(tmp_path) == 2 * EVERY_S * NANOS
    finally:
        second.watch.close()


def test_a_look_is_due_every_half_hour_and_a_setting_out_of_range_is_refused_moex_mon_03(trained) -> None:
    assert NetworkScorer(load(trained[0]), {}).health_s == 1800
    with pytest.raises(ScorerError, match="health_s is 60 to 86400 seconds"):
        open_scorer("network", str(trained[0]), {"health_s": 1.0})


class Inbox:
    """The mark, and the MODEL events that were told."""

    def __init__(self) -> None:
        self.mark: bytes | None = None
        self.told: list[tuple[int, int, int]] = []
        self.events: list[np.ndarray] = []

    def take(self, events: np.ndarray, mark: tuple[str, bytes] | None = None) -> None:
        assert mark is not None and mark[0] == MODEL_MARK
        self.mark = mark[1]
        self.events.append(events)
        self.told += [(int(row["code"]), int(row["ref"]), int(row["value"])) for row in events if row["kind"] == MODEL]


def test_no_start_of_the_loop_unblocks_a_network_that_is_not_healthy_t_06() -> None:
    """Neither by the mark nor, where Redis has lost it, by the journal; told once."""
    inbox = Inbox()
    spec = msgspec.structs.replace(make_spec(), scorer=ScorerSpec("network", "/nets/1"))
    first = ModelWatch(spec, None, Told, inbox.take)
    first.unwell(5)
    first.unwell(6)
    assert (inbox.told, inbox.mark) == ([(MODEL_BLOCKED, BY_HEALTH, 5)], UNWELL)
    ModelWatch(spec, inbox.mark, Told, inbox.take).opened("network")
    journal = Told().after(inbox.events[0])
    assert journal.blocked and journal.unwell
    ModelWatch(spec, None, lambda: journal, inbox.take).opened("network")
    assert len(inbox.told) == 1
    ready = account_event(MODEL, MODEL_READY, 1, ref=CAUSE_OPERATOR)
    assert not journal.after(ready).unwell
