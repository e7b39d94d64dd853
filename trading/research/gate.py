"""The go-live gate: a table of checks, and the evidence for each, judged without mercy (MES-GATE-01).

A required row passes only when its evidence is there, finite, from this very configuration, network and build, not
stale, from a large enough sample, and within its bound.  All else, an empty table too, is not passed.  Nothing is
measured here.  Called by whoever decides whether a session may trade for real, and by the report of it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trading.research.figures import (
    NO_DATA,
    NO_WORDS,
    REQUIRED,
    WARNING,
    Figure,
    Verdict,
    judge,
    not_applicable,
)
from trading.research.records import ResearchError

DAY_NS = 86_400_000_000_000
STALE_NS = 30 * DAY_NS
# what a row's evidence must name as its own: configuration and network, the code, or all of them
RESULT, BUILD, BOTH = "result", "build", "both"
NAMED = {
    RESULT: ("config_hash", "network_hash"),
    BUILD: ("code_hash",),
    BOTH: ("config_hash", "network_hash", "code_hash"),
}
SPOKEN = {"config_hash": "configuration", "network_hash": "network", "code_hash": "build"}


class Check(NamedTuple):
    """One row of a gate.  `text` is its sentence when it can be judged; `optional_when_single`: does not apply when
    one trial is all that was ever run (MES-GUARD-03)."""

    name: str
    relation: str
    bound: float
    weight: str
    scope: str
    n_of: str
    n_min: int
    text: str
    optional_when_single: bool = False


class Evidence(NamedTuple):
    """A measured value: 1 or 0 where the row asks whether something passed.  None with `why` where there is none."""

    value: float | None
    n: int
    run: str
    measured_ns: int
    config_hash: str = ""
    network_hash: str = ""
    code_hash: str = ""
    why: str = ""


class Candidate(NamedTuple):
    """What wants to go live."""

    config_hash: str
    network_hash: str
    code_hash: str


class Decision(NamedTuple):
    """`passed` only when there are rows and no required one stands in the way; warnings are listed and do not block."""

    passed: bool
    rows: tuple[Verdict, ...]

    @property
    def missing(self) -> tuple[Verdict, ...]:
        """Required rows that block, in the order of the table."""
        return tuple(row for row in self.rows if row.blocks)


_TEST = "The tests of {name} pass on this build: {answer}."


def _asks(name: str, n_of: str, n_min: int, text: str) -> Check:
    """A check of the build that either passed or did not."""
    return Check(name, ">=", 1, REQUIRED, BUILD, n_of, n_min, text)


# MES-GATE, in its order; plateau is N11's.  Out-of-sample figures of the walk-forward unless the text says otherwise.
# fmt: off
MES_CHECKS = (
    Check("sharpe", ">", 1.0, REQUIRED, RESULT, "sessions", 2,
          "The annual Sharpe ratio is {value}; it must be above {bound}."),
    Check("calmar", ">", 0.5, REQUIRED, RESULT, "sessions", 2,
          "The Calmar ratio is {value}; it must be above {bound}."),
    Check("profit_factor", ">", 1.0, REQUIRED, RESULT, "trades", 1,
          "The profit factor is {value}; it must be above {bound}."),
    Check("accuracy_gain_low", ">", 0, REQUIRED, RESULT, "rows", 1,
          "The lower 95 % bound of accuracy above the majority class's share is {value}; it must be above 0."),
    Check("log_loss_change", "<", 0, REQUIRED, RESULT, "rows", 1,
          "The log loss differs from that of a base-rate predictor by {value}; it must be lower."),
    Check("max_drawdown", "<", 0.20, REQUIRED, RESULT, "sessions", 1,
          "The deepest drawdown is {value} of its peak; it must be below {bound}."),
    Check("worst_day", ">", -0.05, REQUIRED, RESULT, "sessions", 1,
          "The worst day returned {value} of its opening equity; it must be above {bound}."),
    Check("trades", ">=", 100, REQUIRED, RESULT, "trades", 0, "There are {value} trades; at least {bound} are needed."),
    Check("profitable_folds", ">=", 0.60, REQUIRED, RESULT, "folds", 3,
          "{value} of {n} folds earned money with a Sharpe ratio above 0; at least {bound} are needed."),
    Check("deflated_sharpe", ">=", 0.95, REQUIRED, RESULT, "days", 2,
          "After all trials on these data it is better than luck with a probability of {value}; {bound} is needed."),
    Check("pbo", "<=", 0.30, REQUIRED, RESULT, "trials", 2,
          "The probability of backtest overfitting is {value}; at most {bound} is allowed.", True),
    Check("plateau", ">=", 0.70, REQUIRED, RESULT, "trials", 2,
          "One step away from the chosen parameters {value} of the score is left; at least {bound} is needed.", True),
    Check("net_at_cost_1_5", ">", 0, REQUIRED, RESULT, "trades", 1,
          "At 1.5 times all costs the net result is {value}; it must be above 0."),
    Check("calibration_error", "<=", 0.05, REQUIRED, RESULT, "rows", 10,
          "The calibration error on test rows is {value}; at most {bound} is allowed."),
    Check("features_p99_ms", "<", 5, REQUIRED, BOTH, "calls", 1_000,
          "Features take {value} ms at p99; below {bound} is needed."),
    Check("inference_p99_ms", "<", 10, REQUIRED, BOTH, "calls", 1_000,
          "Inference takes {value} ms at p99; below {bound} is needed."),
    Check("both_p99_ms", "<", 15, REQUIRED, BOTH, "calls", 1_000,
          "Features and inference take {value} ms at p99; below {bound} is needed."),
    Check("batch_streaming_difference", "<=", 1e-9, REQUIRED, BOTH, "rows", 1,
          "Features in batch and streaming differ by at most {value}; {bound} is allowed."),
    _asks("prefix_test", "rows", 1, "No feature changes when later data change: {answer}."),
    _asks("sanity_strategies", "strategies", 4,
          "Random, oracle, mirrored oracle and shuffled labels behave as they must: {answer}."),
    Check("code_coverage", ">", 0.80, REQUIRED, BUILD, "lines", 1,
          "The tests run {value} of the code; above {bound} is needed."),
    _asks("risk_limits", "tests", 1, _TEST.replace("{name}", "the risk limits")),
    _asks("sizing_tiers", "tests", 1, _TEST.replace("{name}", "the sizing tiers")),
    _asks("breakers", "tests", 1, _TEST.replace("{name}", "the circuit breakers")),
    _asks("eod_flatten", "tests", 1, _TEST.replace("{name}", "the flatten at the end of the day")),
    _asks("reconnection", "tests", 1, _TEST.replace("{name}", "reconnection")),
    _asks("manual_kill", "tests", 1, _TEST.replace("{name}", "the manual kill")),
    Check("paper_sessions", ">=", 10, REQUIRED, RESULT, "sessions", 0,
          "{value} paper sessions equal the replay of their own bars, every difference explained; {bound} are needed."),
    Check("win_rate_surplus", ">", 0, WARNING, RESULT, "trades", 1,
          "The win rate lies {value} above the bracket's break-even rate after costs; it should be above it."),
    Check("worst_fold_sharpe", ">", -1.0, WARNING, RESULT, "folds", 3,
          "The worst fold's Sharpe ratio is {value}; it should be above {bound}."),
    Check("fold_sharpe_deviation", "<", 1.0, WARNING, RESULT, "folds", 3,
          "The Sharpe ratios of the folds deviate by {value}; it should be below {bound}."),
)
# fmt: on


def judged(check: Check, measured: Figure, n: int, words: Mapping[str, str] = NO_WORDS) -> Verdict:
    """The verdict of one row of a gate's table on what was measured for it."""
    asked = (check.relation, check.bound, n, check.n_of, check.text, check.weight, check.n_min)
    return judge(check.name, measured, *asked, words)


def decide(
    checks: Sequence[Check],
    evidence: Mapping[str, Evidence],
    candidate: Candidate,
    now_ns: int,
    stale_ns: int = STALE_NS,
) -> Decision:
    """The gate's answer.  Raises ResearchError for evidence that no row asks for: a misspelt name must not be lost."""
    names = [check.name for check in checks]
    if len(set(names)) != len(names):
        raise ResearchError("two rows of the gate have one name")
    unknown = sorted(set(evidence) - set(names))
    if unknown:
        raise ResearchError(f"no row of the gate is called {', '.join(unknown)}")
    rows = tuple(_row(check, evidence.get(check.name), candidate, now_ns, stale_ns) for check in checks)
    required = [row for row in rows if row.weight == REQUIRED]
    return Decision(bool(required) and not any(row.blocks for row in rows), rows)


def evidence_of(row: Verdict, run: str, measured_ns: int, candidate: Candidate) -> Evidence:
    """A row of criticism as evidence of the run that it criticised."""
    why = "" if row.value is not None else row.sentence.rstrip(".")
    return Evidence(row.value, row.n, run, measured_ns, *candidate, why=why)


def _row(check: Check, found: Evidence | None, candidate: Candidate, now_ns: int, stale_ns: int) -> Verdict:
    if found is None:
        return _refused(check, Figure(None, "There is no evidence for this"), 0)
    reason = _distrust(check, found, candidate, now_ns, stale_ns)
    if reason:
        return _refused(check, Figure(None, reason), found.n)
    if check.optional_when_single and found.n == 1 and found.value is None:
        return not_applicable(check.name, check.relation, check.bound, 1, check.n_of, "One trial was all that was run.")
    measured = Figure(found.value, found.why)
    answer = {"answer": "yes" if found.value is not None and found.value >= 1 else "no"}
    return judged(check, measured, found.n, answer)


def _distrust(check: Check, found: Evidence, candidate: Candidate, now_ns: int, stale_ns: int) -> str:
    """Why this evidence does not count; empty when it does."""
    if not found.run:
        return "The evidence names no run"
    if found.measured_ns > now_ns:
        return "The evidence is from the future: a clock is wrong"
    if now_ns - found.measured_ns > stale_ns:
        days, most = (now_ns - found.measured_ns) // DAY_NS, stale_ns // DAY_NS
        return f"The evidence is more than {days} days old, at most {most} are allowed"
    for name, word in SPOKEN.items():
        named, own = getattr(found, name), getattr(candidate, name)
        must = name in NAMED[check.scope]
        if must and not (named and own):
            return f"The evidence or the candidate names no {word}"
        # a result outlives a build that changed nothing of it; another configuration or network never counts
        if named != own and (must or (named and name != "code_hash")):
            return f"The evidence is of another {word}"
    return ""


def _refused(check: Check, measured: Figure, n: int) -> Verdict:
    row = judged(check, measured, n)
    assert row.state == NO_DATA
    return row
