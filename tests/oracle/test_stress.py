"""Random lives through kernel and oracle (a bounded number; `make stress` lives longer): no difference, no broken rule.

Compared after every event: decisions with their first refusing rule, sizes, orders sent, holds that went up and came
down, the label, every figure of the ledger, what is held and where its bracket stands.  Most lives die in between, and
go on from a snapshot and the journal behind it (MES-ACC-X7).  Of futures, and of shares with their own stops, routes,
sizes and gate (MOEX-STOP-01 … -06, MOEX-ROUTE-01 … -04, MOEX-SIZE-01, MOEX-RISK-01 … -10).
"""

import pytest

from tests.oracle.campaign import Result, Slice, batch_for, run
from tests.oracle.reasons import often

LIVES, EVENTS = {"mes": 400, "moex": 300}, 200


@pytest.fixture(scope="module", params=["mes", "moex"])
def lived(request: pytest.FixtureRequest) -> Result:
    rules: str = request.param
    return run(Slice(rules, 1, LIVES[rules], EVENTS), batch_for(rules, EVENTS))


@pytest.mark.slow
def test_kernel_and_oracle_never_differ_mes_acc_x7(lived: Result) -> None:
    assert not lived.faults, "\n\n".join(lived.faults)
    assert lived.sequences == LIVES[lived.slice.rules] and lived.events >= lived.sequences * EVENTS


@pytest.mark.slow
def test_every_refusal_is_reached_and_every_hold_goes_up_and_comes_down_mes_risk_20_moex_risk_08(lived: Result) -> None:
    """MES-RISK-13, MOEX-RISK-05: what no life reaches no life tests; what is rare the long run must reach."""
    assert not often(lived.slice.rules) - set(lived.reached)


@pytest.mark.slow
def test_accounts_live_through_several_sessions_mes_risk_22(lived: Result) -> None:
    """One in ten; each opens with what the one before left, by the oracle and by the product alike (MES-RISK-01)."""
    assert lived.reached["heirs"] >= lived.sequences // 10
