"""Random lives through kernel and oracle (a bounded number; `make stress` lives longer): no difference, no broken rule.

Compared after every event: decisions with their first refusing rule, sizes, orders sent, holds that went up and came
down, the label, every figure of the ledger, what is held and where its bracket stands.  Most lives die in between, and
go on from a snapshot and the journal behind it (MES-ACC-X7).
"""

from collections import Counter

import pytest

from risk.core import gate
from tests.oracle.campaign import Result, run
from tests.oracle.compare import Batch
from tests.oracle.rules.holds import TABLE

LIVES, EVENTS = 600, 200
# asked only while an entry works, which rule ENTRY_WORKING refuses first; the gate's own table shows it
UNREACHABLE = {"DUPLICATE"}
UNREACHABLE_HOLDS = {"DUPLICATE_STORM"}


@pytest.fixture(scope="module")
def lived() -> Result:
    return run(1, LIVES, EVENTS, Batch(EVENTS + 512))


@pytest.mark.slow
def test_kernel_and_oracle_never_differ_mes_acc_x7(lived: Result) -> None:
    assert not lived.faults, "\n\n".join(lived.faults)
    assert lived.sequences == LIVES and lived.events >= LIVES * EVENTS


@pytest.mark.slow
def test_every_refusal_is_reached(lived: Result) -> None:
    reached = {name.removeprefix("decision ") for name in lived.reached if name.startswith("decision ")}
    assert reached == set(gate.CODE_NAMES.values()) - {"REFUSED"} - UNREACHABLE


@pytest.mark.slow
def test_every_hold_goes_up_and_comes_down(lived: Result) -> None:
    up = Counter({name[7:]: count for name, count in lived.reached.items() if name.startswith("raised ")})
    down = {name[8:] for name in lived.reached if name.startswith("cleared ")}
    assert set(up) == set(TABLE) - UNREACHABLE_HOLDS
    assert down == set(up) - {"SESSION_STOPPED"}, "a stopped session stays stopped"
