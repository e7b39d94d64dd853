"""Evidence of the futures' gate as text, and what a network's probabilities are worth (MES-GATE-01)."""

import numpy as np
import pytest

from trading.research.gate import Evidence
from trading.research.golive.evidence import dated, evidence_from, merged, text_of
from trading.research.golive.networks import (
    BINS,
    Told,
    accuracy_gain_low,
    calibration_error,
    joined,
    log_loss_change,
    network_figures,
)
from trading.research.records import ResearchError

ONE = Evidence(0.0, 12, "run 7", 1_000, "config", "network", "code")
NONE = Evidence(None, 0, "run 7", 1_000, why="Nothing was traded")


def test_evidence_is_read_as_it_was_written_zero_and_nothing_among_it_mes_gate_01() -> None:
    rows = {"sharpe": ONE, "pbo": NONE}
    assert evidence_from(text_of(rows), "f") == rows
    assert evidence_from(text_of({}), "f") == {}


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[1]", '[{"name": "sharpe"}]', text_of({"a": ONE}).replace('"n": 12', '"n": "12"'),
        text_of({"a": ONE}).replace('"value": 0.0', '"value": true'),
        text_of({"a": ONE})[:-2] + "," + text_of({"a": ONE})[1:],
    ],
    ids=["empty", "no list", "no row", "half a row", "a word for a number", "a yes for a number", "twice"],
)  # fmt: skip
def test_a_text_that_is_no_evidence_is_refused_whole(text: str) -> None:
    with pytest.raises(ResearchError, match="f holds no evidence"):
        evidence_from(text, "f")


def test_judging_the_same_once_more_makes_it_no_younger_mes_gate_01() -> None:
    later = ONE._replace(measured_ns=5_000)
    assert dated({"a": later}, {"a": ONE}) == {"a": ONE}
    better = later._replace(value=1.0)
    assert dated({"a": better}, {"a": ONE}) == {"a": better}
    assert dated({"a": ONE}, {"a": later}) == {"a": ONE}, "what claims to be of the future is not kept"
    assert dated({"b": later}, {"a": ONE}) == {"b": later}


def test_no_two_sources_answer_one_row() -> None:
    assert merged([{"a": ONE}, {"b": NONE}]) == {"a": ONE, "b": NONE}
    with pytest.raises(ResearchError, match="two sources answer the gate's a"):
        merged([{"a": ONE}, {"a": NONE}])


DAYS, OF_A_DAY = 20, 100


def told(skill: float, seed: int = 1) -> Told:
    """Half of the labels are flat; of a share `skill` of the rows the network knows the label, of others nothing."""
    rng = np.random.default_rng(seed)
    n = DAYS * OF_A_DAY
    label = rng.choice(3, n, p=[0.25, 0.5, 0.25])
    base = np.tile([0.25, 0.5, 0.25], (n, 1))
    shares = base.copy()
    known = rng.random(n) < skill
    shares[known] = 0.05
    shares[known, label[known]] = 0.9
    return Told(shares, label, np.repeat(np.arange(DAYS), OF_A_DAY), base)


def test_a_network_without_an_idea_gains_nothing_and_one_with_some_does_mes_gate_01() -> None:
    """What says the base rates has their log loss, to the bit, and is right as often as the majority class."""
    blind, seeing = told(0.0), told(0.3)
    assert accuracy_gain_low(blind).value == 0.0 == log_loss_change(blind).value
    gain, change = accuracy_gain_low(seeing).value, log_loss_change(seeing).value
    assert gain is not None and 0.1 < gain < 0.15, "right in 30 % + 70 % of half: 0.15 above half, less its error"
    assert change == pytest.approx(0.3 * (np.log(1 / 0.9) - 1.5 * np.log(2)), abs=0.03)
    assert network_figures(seeing)["accuracy_gain_low"][1] == DAYS * OF_A_DAY


def test_days_are_drawn_whole_for_their_rows_resemble_each_other() -> None:
    """All of the skill on one day: its rows are many, and its days are few."""
    some = told(0.0)
    first = some.day == 0
    shares = some.shares.copy()
    shares[first] = 0.0
    shares[first, some.label[first]] = 1.0
    lucky = accuracy_gain_low(some._replace(shares=shares)).value
    assert lucky is not None and lucky <= 0.0
    short = Told(*(column[: 4 * OF_A_DAY] for column in some))
    assert accuracy_gain_low(short).why == "The tests have rows on 4 days, 5 are needed"


def test_calibration_is_of_bins_of_equally_many_rows() -> None:
    """Ten rows, a bin each: sure by 0.6, and right in the six that come first."""
    n = BINS
    shares = np.tile([0.6, 0.3, 0.1], (n, 1))
    label = np.array([0] * 6 + [1] * 4)
    found = Told(shares, label, np.arange(n), shares)
    assert calibration_error(found).value == pytest.approx((6 * 0.4 + 4 * 0.6) / 10)
    many = Told(*(np.repeat(column, 10, axis=0) for column in found))
    mixed = many._replace(label=np.tile(label, 10), day=np.arange(100))
    assert calibration_error(mixed).value == pytest.approx(0.0), "in every bin six of ten are right"
    few = Told(*(column[:9] for column in found))
    assert calibration_error(few).why == "The tests have 9 labelled rows, 10 are needed"


def test_tests_are_joined_in_the_order_of_their_days() -> None:
    one, two = told(0.1), told(0.2)
    both = joined([one, two._replace(day=two.day + DAYS)])
    assert len(both.label) == 2 * DAYS * OF_A_DAY
    with pytest.raises(ResearchError, match="not in the order of their days"):
        joined([one, two])
