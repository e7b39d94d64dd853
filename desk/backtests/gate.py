"""The go-live gate over one backtest: every row, what it asks for, and that a backtest is no evidence (MES-GATE-01).

The gate's figures are out of sample, of a walk-forward, of the network and build that would trade, and of paper
sessions; nothing of that is known here, so no row passes, whatever the backtest came to.  Beside a row stands what this
very backtest says in sample: to see how far it is, never to pass by.  Called by the page of a result.
"""

from typing import Any, NamedTuple

from trading.research.figures import REQUIRED
from trading.research.gate import BOTH, BUILD, MES_CHECKS, RESULT, Candidate, decide

FROM = {
    RESULT: "a walk-forward or paper sessions of this configuration and network",
    BUILD: "tests and measurements of this build",
    BOTH: "a measurement of this configuration, network and build",
}
# row of the gate → (part, name, times) of summary.json
TOLD = {
    "sharpe": ("returns", "sharpe", 1.0),
    "calmar": ("risk", "calmar", 1.0),
    "profit_factor": ("trades", "profit_factor", 1.0),
    "max_drawdown": ("drawdown", "pct", 0.01),
    "worst_day": ("consistency", "worst_day_pct", 0.01),
    "trades": ("trades", "count", 1.0),
}
CRITICISED = ("deflated_sharpe", "pbo", "plateau", "net_at_cost_1_5")  # rows of the same name


class Row(NamedTuple):
    """What a row asks, where evidence would come from, why it is not passed; `here`: in sample, None if unknown."""

    name: str
    required: bool
    relation: str
    bound: float
    n_min: int
    n_of: str
    source: str
    why: str
    here: float | None


class Gate(NamedTuple):
    """`passed` by the gate itself; `missing`: required rows in its way."""

    passed: bool
    rows: list[Row]
    missing: int


def gate_of(summary: dict[str, Any], now_ns: int) -> Gate:
    """The gate's own answer for the configuration and build of a result, with the evidence that there is: none."""
    run = summary["run"]
    decision = decide(MES_CHECKS, {}, Candidate(run["config_hash"] or "", "", run["code_hash"] or ""), now_ns)
    rows = [
        Row(
            check.name, check.weight == REQUIRED, check.relation, check.bound, check.n_min, check.n_of,
            FROM[check.scope], verdict.sentence, in_sample(summary, check.name),
        )
        for check, verdict in zip(MES_CHECKS, decision.rows, strict=True)
    ]  # fmt: skip
    return Gate(decision.passed, rows, len(decision.missing))


def in_sample(summary: dict[str, Any], name: str) -> float | None:
    """What the backtest itself says of a row of the gate; None where it says nothing, or has no value."""
    if name in CRITICISED:
        found = next((row for row in summary["criticism"]["rows"] if row["name"] == name), None)
        return None if found is None or found["value"] is None else float(found["value"])
    if name not in TOLD:
        return None
    part, key, times = TOLD[name]
    value = summary[part][key]
    return None if value is None else float(value) * times
