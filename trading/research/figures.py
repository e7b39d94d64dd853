"""The two forms in which research answers: a figure that may be undefined, and a verdict with its bound.

An undefined figure is None with a reason, never infinity, NaN or a stand-in number (MES-METRIC); a verdict passes only
when its value is there, was compared, and met its bound.  Sentences are templates with named places, so that the screen
can translate them.  Used by every other file of this room.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

PASSED, FAILED, NO_DATA, NOT_APPLICABLE, REPORTED = "passed", "failed", "no_data", "not_applicable", "reported"
STATES = {
    PASSED: "the value is there and meets its bound",
    FAILED: "the value is there and does not meet its bound",
    NO_DATA: "not enough data, or none: counts as not passed",
    NOT_APPLICABLE: "nothing was searched, so nothing can be overfitted: does not block",
    REPORTED: "has no bound: for the reader's judgement",
}
REQUIRED, WARNING, REPORT = "required", "warning", "report"
RELATIONS = (">", ">=", "<", "<=", "")
NO_WORDS: Mapping[str, str] = MappingProxyType({})


class Figure(NamedTuple):
    """A finite number, or None and why it is undefined."""

    value: float | None
    why: str = ""


class Verdict(NamedTuple):
    """One row of criticism or of a gate.

    `n`: size of the sample behind the value, in `n_of` (trades, days, trials …).  `text` is the sentence with named
    places, `words` what stands in them.
    """

    name: str
    value: float | None
    relation: str  # how the value must stand to the bound; empty where there is no bound
    bound: float | None
    state: str
    n: int
    n_of: str
    text: str
    words: Mapping[str, str]
    weight: str = REQUIRED

    @property
    def passed(self) -> bool:
        return self.state == PASSED

    @property
    def blocks(self) -> bool:
        """Whether the row stands in the way: a required row that is neither passed nor not applicable."""
        return self.weight == REQUIRED and self.state not in (PASSED, NOT_APPLICABLE)

    @property
    def sentence(self) -> str:
        return self.text.format(**self.words)


def figure(value: float) -> Figure:
    """A defined figure.  A value that is not finite is a programmer's error here: its case must have been caught."""
    assert math.isfinite(value), value
    return Figure(float(value))


def ratio(above: int, below: int, why: str) -> Figure:
    """above / below of exact integers, correctly rounded; undefined with `why` when below is 0."""
    return Figure(None, why) if below == 0 else figure(above / below)


def holds(value: float, relation: str, bound: float) -> bool:
    """Whether `value relation bound`.  A value that is not finite holds nothing."""
    if not math.isfinite(value):
        return False
    answers = {">": value > bound, ">=": value >= bound, "<": value < bound, "<=": value <= bound}
    return answers[relation]


def judge(
    name: str,
    measured: Figure,
    relation: str,
    bound: float | None,
    n: int,
    n_of: str,
    text: str,
    weight: str = REQUIRED,
    n_min: int = 0,
    words: Mapping[str, str] = NO_WORDS,
) -> Verdict:
    """The verdict on a figure: NO_DATA when it is undefined or `n` is below `n_min`, REPORTED without a bound.

    `text` may name {value}, {bound}, {n} and {n_of} beside `words`; an undefined figure's sentence is its reason.
    """
    assert relation in RELATIONS and (bound is None) == (relation == "")
    said = {"value": number(measured.value), "bound": number(bound), "n": f"{n:,}", "n_of": n_of, **words}
    value = measured.value
    if value is None or not math.isfinite(value):
        reason = measured.why or "The value is missing or not finite"
        return Verdict(name, None, relation, bound, NO_DATA, n, n_of, "{why}.", said | {"why": reason}, weight)
    if n < n_min:
        short = "Only {n} {n_of}, {n_min} are needed before this can be judged."
        said |= {"n_min": f"{n_min:,}"}
        return Verdict(name, value, relation, bound, NO_DATA, n, n_of, short, said, weight)
    if bound is None:
        return Verdict(name, value, relation, bound, REPORTED, n, n_of, text, said, weight)
    state = PASSED if holds(value, relation, bound) else FAILED
    return Verdict(name, value, relation, bound, state, n, n_of, text, said, weight)


def not_applicable(name: str, relation: str, bound: float, n: int, n_of: str, text: str) -> Verdict:
    """The row of a search that was none."""
    return Verdict(name, None, relation, bound, NOT_APPLICABLE, n, n_of, text, {})


def number(value: float | None) -> str:
    """Four significant digits for a sentence; a dash for no value."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def money(micros: float) -> str:
    """Micros → text with two decimals, rounded half away from zero, for a sentence; no currency sign."""
    cents = math.floor(abs(micros) / 10_000 + 0.5)
    return f"{'-' if micros < 0 and cents else ''}{cents // 100:,}.{cents % 100:02d}"


def percent(share: float) -> str:
    """0.123 → 12.3 %."""
    return f"{100 * share:.1f} %"
