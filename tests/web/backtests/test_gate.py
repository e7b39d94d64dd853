"""The gate on a result's page: a backtest, however good, is no evidence for it (MES-GATE-01, MES-GATE-02)."""

from typing import Any

import pytest

from desk.backtests.gate import CRITICISED, TOLD, gate_of, in_sample
from trading.research.gate import MES_CHECKS


def summary(**figures: Any) -> dict[str, Any]:
    """A summary in which every figure that the gate knows is splendid."""
    return {
        "run": {"config_hash": "c" * 64, "code_hash": "d" * 64},
        "returns": {"sharpe": 9.0},
        "risk": {"calmar": 20.0},
        "trades": {"profit_factor": 5.0, "count": 5_000},
        "drawdown": {"pct": 1.0},
        "consistency": {"worst_day_pct": -0.1},
        "criticism": {"rows": [{"name": name, "value": figures.get(name, 1.0)} for name in CRITICISED]},
    }


def test_a_splendid_backtest_passes_no_row_of_the_gate() -> None:
    """MES-GATE-01: absent evidence is not passed, and in-sample figures stand beside a row without passing it."""
    gate = gate_of(summary(), now_ns=1)
    required = [row for row in gate.rows if row.required]
    assert not gate.passed and gate.missing == len(required) > 20
    assert [row.name for row in gate.rows] == [check.name for check in MES_CHECKS]
    assert all("no evidence" in row.why and row.source for row in gate.rows)
    here = {row.name: row.here for row in gate.rows if row.here is not None}
    assert set(here) == {*TOLD, *CRITICISED}
    assert here["sharpe"] == 9.0 and here["trades"] == 5_000
    assert here["max_drawdown"] == pytest.approx(0.01) and here["worst_day"] == pytest.approx(-0.001)


def test_what_the_backtest_could_not_say_stays_unknown() -> None:
    found = summary(pbo=None)
    assert in_sample(found, "pbo") is None and in_sample(found, "deflated_sharpe") == 1.0
    found["returns"]["sharpe"] = None
    found["criticism"]["rows"] = []
    assert in_sample(found, "sharpe") is None and in_sample(found, "deflated_sharpe") is None
    assert in_sample(found, "paper_sessions") is None


def test_a_figure_of_zero_is_a_figure() -> None:
    """MES-GATE-01: a value of 0 is evaluated like any other."""
    assert in_sample(summary(net_at_cost_1_5=0.0), "net_at_cost_1_5") == 0.0
    assert in_sample({**summary(), "trades": {"profit_factor": 0, "count": 0}}, "trades") == 0.0
