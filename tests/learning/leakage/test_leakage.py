"""N10: 25 planted leaks are found, each at its place; 25 clean pipelines pass; the desk's own passes (MES-LABEL-03)."""

from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from marketdata.core.barfeatures.records import Bars
from marketdata.core.barfeatures.schema import FEATURE_NAMES
from tests.learning.leakage.clean import CLEAN
from tests.learning.leakage.planted import OTHERS, PLANTED
from tests.learning.leakage.tape import SINGLE, closes, pipeline_of, preparation, tape
from trading.learning.leakage.checks import cuts_of, inspect
from trading.learning.leakage.futures import cut_off, down, up
from trading.learning.leakage.pipeline import Matrix, Pipeline, Prepared, ends_ns
from trading.learning.leakage.report import CHECKS, at
from trading.learning.leakage.shipped import bars_pipeline, made_bars

BARS = tape()


def name_of(pipeline: object) -> str:
    return pipeline.name if isinstance(pipeline, Pipeline) else ""


def test_there_are_25_of_each() -> None:
    assert len(PLANTED) == 25 == len(CLEAN)
    assert len({name_of(leak) for leak, _, _ in PLANTED}) == 25 == len({name_of(pipeline) for pipeline in CLEAN})


@pytest.mark.parametrize(("pipeline", "check", "column"), [*PLANTED, *OTHERS], ids=name_of)
def test_a_planted_leak_is_found_and_named(pipeline, check, column):
    report = inspect(pipeline, BARS)
    assert not report.passed
    assert (check, column) in {(finding.check, finding.column) for finding in report.findings}
    told = "\n".join(report.sentences())
    assert "LEAKS" in told and CHECKS[check] in told and "2024-03-01 00:0" in told and column in told


@pytest.mark.parametrize("pipeline", CLEAN, ids=name_of)
def test_a_clean_pipeline_passes(pipeline):
    report = inspect(pipeline, BARS)
    assert report.passed, report.sentences()
    assert report.moments == len(BARS.second) - 1 and report.runs > 2 * report.moments


def test_the_report_says_which_row_and_how_far_it_looks() -> None:
    def features(bars: Bars) -> dict[str, np.ndarray]:
        ahead = np.concatenate([closes(bars)[7:], np.full(min(7, len(bars.second)), np.nan)])
        return {"close": closes(bars), "ahead": ahead[: len(bars.second)]}

    report = inspect(pipeline_of(features), BARS)
    (finding,) = report.findings
    assert finding.column == "ahead" and finding.moment_ns == ends_ns(BARS)[0]
    assert finding.words.startswith(f"column 1 (ahead) of the row known at {at(finding.moment_ns)} changes")
    assert finding.words.endswith("7 more than are known then")


def test_a_single_row_is_found_at_its_own_moment() -> None:
    """Only a future that begins right after the row shows it: every moment is tried."""
    leak = next(pipeline for pipeline, _, column in PLANTED if column == "repaired")
    (finding,) = inspect(leak, BARS).findings
    assert finding.moment_ns == ends_ns(BARS)[SINGLE]
    assert inspect(leak, BARS, moments=3).passed  # too few moments miss it, which is why the command tries 1,000


def test_what_cannot_be_checked_does_not_pass() -> None:
    count = [0]

    def restless(bars: Bars) -> dict[str, np.ndarray]:
        count[0] += 1
        return {"count": np.full(len(bars.second), count[0])}

    def breaks(bars: Bars) -> dict[str, np.ndarray]:
        if bars.close_tick[-1] != BARS.close_tick[-1]:
            raise RuntimeError("a price that I have not seen")
        return {"close": closes(bars)}

    def empty(bars: Bars) -> dict[str, np.ndarray]:
        return {"nothing": np.full(len(bars.second), np.nan)}

    def backwards(bars: Bars) -> Matrix:
        return Matrix(ends_ns(bars)[::-1], closes(bars)[:, None], ("close",))

    def one_row(bars: Bars) -> np.ndarray:
        return closes(bars)[:1, None]

    kept: dict[int, np.ndarray] = {}

    def remembers(bars: Bars) -> dict[str, np.ndarray]:
        return {"close": kept.setdefault(len(bars.second), closes(bars))}

    cases = [(pipeline_of(restless), "repeat", "two answers")]
    cases += [(pipeline_of(breaks), "failed", "have not seen"), (pipeline_of(empty), "failed", "nothing can be")]
    cases += [(Pipeline("b", backwards), "times", "stands behind")]
    cases += [(Pipeline("one row", one_row), "failed", "not one row for each")]
    cases += [(pipeline_of(remembers), "failed", "an answer that was kept shows nothing")]
    for pipeline, check, words in cases:
        report = inspect(pipeline, BARS)
        assert [finding.check for finding in report.findings] == [check]
        assert words in report.findings[0].words
    few = inspect(pipeline_of(empty), Bars(*(column[:1] for column in BARS)))
    assert not few.passed and "too few" in few.findings[0].words


def test_columns_that_never_move_are_told() -> None:
    clean = next(pipeline for pipeline in CLEAN if name_of(pipeline) == "clock_and_noise")
    report = inspect(clean, BARS, moments=5)
    assert report.unmoved == ["always"] and "always" in report.sentences()[-1]


@pytest.mark.parametrize("cut", [1, 60, len(BARS.second) - 1])
def test_another_future_keeps_the_past_and_nothing_else(cut):
    rng = np.random.default_rng(1)
    for future, direction in ((up, 1), (down, -1)):
        other = future(BARS, cut, rng)
        for before, after in zip(BARS, other, strict=True):
            assert np.array_equal(before[:cut], after[:cut])
        assert np.array_equal(other.second, BARS.second)
        assert (other.close_tick[cut:] != BARS.close_tick[cut:]).all()
        assert (other.close_tick[cut] - BARS.close_tick[cut - 1]) * direction > 0
        assert (other.low_tick <= np.minimum(other.open_tick, other.close_tick)).all() and other.low_tick.min() > 0
        assert (other.high_tick >= np.maximum(other.open_tick, other.close_tick)).all()
    assert len(cut_off(BARS, cut, rng).second) == cut


def test_moments_are_all_or_spread_evenly() -> None:
    rng = np.random.default_rng(1)
    assert cuts_of(10, 9, rng).tolist() == list(range(1, 10))
    some = cuts_of(100_000, 1_000, rng)
    assert len(some) > 990 and some[0] < 101 and some[-1] > 99_899 and np.diff(some).max() < 201


# the desk's own pipeline

OWN_BARS = made_bars(1, before_s=910, after_s=150)  # ten mornings, rows valid from 09:30:30


def test_the_desks_own_pipeline_passes_without_any_tolerance() -> None:
    report = inspect(bars_pipeline(), OWN_BARS, moments=20, tolerance=0.0)
    assert report.passed, report.sentences()
    assert report.rows > 10_000 and len(report.unmoved) < 12


def test_a_leak_in_one_of_the_56_is_named() -> None:
    """The minute's trend a minute early, in the real matrix."""
    own, column = bars_pipeline(), FEATURE_NAMES.index("htf_trend_1m")

    def features(bars: Bars) -> Matrix:
        made = own.features(bars)
        assert isinstance(made, Matrix)
        values = made.values.copy()
        values[:-60, column] = made.values[60:, column]
        return made._replace(values=values)

    report = inspect(Pipeline("early", features), OWN_BARS, moments=20)
    assert {finding.column for finding in report.findings} == {"htf_trend_1m"}
    assert f"column {column} (htf_trend_1m)" in report.findings[0].words


def test_weights_of_all_labels_are_found_in_the_real_preparation() -> None:
    own = bars_pipeline()
    assert own.prepare is not None

    def prepare(bars: Bars) -> Prepared:
        assert own.prepare is not None
        made = own.prepare(bars)
        return made._replace(fitted=made.fitted | {"class weights": np.bincount(made.y.astype(int), minlength=3)})

    report = inspect(Pipeline("weights", own.features, prepare), OWN_BARS, moments=2)
    assert ("fit", "class weights") in {(finding.check, finding.column) for finding in report.findings}


def test_an_empty_part_does_not_pass() -> None:
    honest = preparation()
    assert honest.prepare is not None
    without = lambda bars: honest.prepare(bars)._replace(test=np.empty(0, np.int64))  # noqa: E731
    (finding,) = inspect(Pipeline("no test", honest.features, without), BARS, moments=2).findings
    assert finding.check == "split" and "the test part is empty" in finding.words


def test_the_command_names_the_leak_and_fails() -> None:
    told = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("leakage", pipeline="tests.learning.leakage.planted:NEXT_CLOSE", moments=3, stdout=told)
    assert ended.value.code == 1
    assert "next_close: LEAKS: 1 found" in told.getvalue() and "column 1 (next)" in told.getvalue()
    with pytest.raises(CommandError, match="is no Pipeline"):
        call_command("leakage", pipeline="tests.learning.leakage.tape:tape")


def test_a_preparation_that_was_kept_does_not_pass() -> None:
    honest = preparation()
    kept: list[Prepared] = []

    def remembers(bars: Bars) -> Prepared:
        assert honest.prepare is not None
        kept[:] = kept or [honest.prepare(bars)]
        return kept[0]

    (finding,) = inspect(Pipeline("kept", honest.features, remembers), BARS, moments=2).findings
    assert finding.check == "failed" and "a kept answer shows nothing" in finding.words
