"""What the loops see, as conditions: told once, told again, never forgotten; and when a stage is slow (MOEX-MON-04)."""

import numpy as np
import pytest

from marketdata.core.records import ACCOUNT_SCOPE, NO_TIME
from risk.core.holds import BIT
from risk.core.records import MES, MOEX
from trading.core.records import CONDITION
from trading.core.watch.told import STAGES
from trading.run.spec import WATCH
from trading.run.streams import StreamAway, StreamFull
from trading.run.telling.conditions import AGAIN_DOWN_NS, AGAIN_UP_NS, Conditions
from trading.run.telling.network import NetworkWatch
from trading.run.telling.stages import BREACHES, GOOD, QUIET_NS, Stages

S, MS = 1_000_000_000, 1_000_000
T0 = 1_772_600_000 * S


def rows(events: np.ndarray) -> list[tuple[str, int, int, int]]:
    """(code, instrument, value, stage) of CONDITIONs."""
    assert (events["kind"] == CONDITION).all()
    names = {bit: code for code, bit in BIT.items()}
    return [(names[int(e["code"])], int(e["instrument"]), int(e["value"]), int(e["ref"])) for e in events]


def due(conditions: Conditions, boot: int) -> list[tuple[str, int, int, int]]:
    """What would be sent at this boot clock, taken as sent."""
    events = conditions.due(T0, boot)
    conditions.note(events, boot)
    return rows(events)


def test_a_change_is_told_at_once_and_all_of_it_again_moex_risk_05() -> None:
    conditions = Conditions(MOEX)
    conditions.set("INTEGRITY", True, 3)
    conditions.set("UNHEALTHY", False, instrument=2)
    assert due(conditions, 1) == [("INTEGRITY", ACCOUNT_SCOPE, 1, 0), ("UNHEALTHY", 2, 0, 0)]
    assert due(conditions, AGAIN_UP_NS) == [], "a moment too early"
    assert due(conditions, 1 + AGAIN_UP_NS) == [("INTEGRITY", ACCOUNT_SCOPE, 1, 0)]
    conditions.set("INTEGRITY", False)
    assert due(conditions, 2 + AGAIN_UP_NS) == [("INTEGRITY", ACCOUNT_SCOPE, 0, 0)]
    assert due(conditions, 1 + AGAIN_DOWN_NS) == [("UNHEALTHY", 2, 0, 0)]


def test_what_begins_anew_is_told_at_once_again() -> None:
    conditions = Conditions(MOEX)
    conditions.set("INTEGRITY", True)
    assert conditions.stands("INTEGRITY") and not conditions.stands("UNHEALTHY", 2)
    assert len(due(conditions, 1)) == 1 and due(conditions, 2) == []
    conditions.again("INTEGRITY")
    assert due(conditions, 2) == [("INTEGRITY", ACCOUNT_SCOPE, 1, 0)]


def test_futures_are_told_of_no_hold_that_they_lack() -> None:
    conditions = Conditions(MES)
    for code in ("INTEGRITY", "LATENCY", "ML_FALLBACK"):
        conditions.set(code, True)
    conditions.set("RESTRICTED", True, instrument=0)
    assert due(conditions, 1) == [("RESTRICTED", 0, 1, 0)]


@pytest.mark.parametrize("fault", [StreamAway("away"), StreamFull("full")])
def test_what_cannot_be_sent_waits(fault: Exception) -> None:
    conditions = Conditions(MOEX)
    took: list[np.ndarray] = []

    def refuse(events: np.ndarray) -> None:
        raise fault

    conditions.set("HEARTBEAT", True, 16 * S)
    assert conditions.tell(T0, refuse) == 0
    assert conditions.tell(NO_TIME, took.append) == 0, "before the session has a clock"
    assert conditions.tell(T0, took.append) == 1 and conditions.tell(T0, took.append) == 0
    assert (int(took[0]["qty"][0]), int(took[0]["ts_ns"][0])) == (16 * S, T0)


def stages() -> tuple[Conditions, Stages]:
    conditions = Conditions(MOEX)
    return conditions, Stages(conditions, WATCH, "inference")


def test_the_third_breach_in_a_row_puts_a_stage_out_moex_acc_312() -> None:
    """Two do not, nor three with a good one between; a sample at its limit is good."""
    conditions, watch = stages()
    for took in (21 * MS, 21 * MS, 20 * MS, 21 * MS, 21 * MS):
        watch.sample("ml", took, T0)
    assert due(conditions, 1) == []
    watch.sample("ml", 21 * MS, T0)
    assert due(conditions, 1) == [("LATENCY", ACCOUNT_SCOPE, 1, STAGES.index("ml"))]
    assert watch.counts == {"breaches": 5, "unknown": 0}


def test_a_stage_is_in_again_after_a_quiet_minute_and_ten_good_samples_moex_risk_05() -> None:
    conditions, watch = stages()
    for _ in range(BREACHES):
        watch.sample("features", 13 * MS, T0)
    due(conditions, 1)
    for _ in range(GOOD - 1):
        watch.sample("features", MS, T0 + S)
    watch.look(T0 + QUIET_NS)
    assert due(conditions, 2) == [], "nine good ones are not ten"
    watch.sample("features", MS, T0 + QUIET_NS)
    watch.look(T0 + QUIET_NS - 1)
    assert due(conditions, 2) == [], "59.9 s are not 60"
    watch.look(T0 + QUIET_NS)
    assert due(conditions, 2) == [("LATENCY", ACCOUNT_SCOPE, 0, STAGES.index("features"))]


def test_one_breach_begins_the_minute_and_the_ten_anew() -> None:
    conditions, watch = stages()
    for _ in range(BREACHES):
        watch.sample("risk", 9 * MS, T0)
    due(conditions, 1)
    for _ in range(GOOD):
        watch.sample("risk", MS, T0 + S)
    watch.sample("risk", 9 * MS, T0 + 50 * S)
    watch.look(T0 + 100 * S)
    assert due(conditions, 2) == []
    for _ in range(GOOD):
        watch.sample("risk", MS, T0 + 100 * S)
    watch.look(T0 + 110 * S)
    assert due(conditions, 2) == [("LATENCY", ACCOUNT_SCOPE, 0, STAGES.index("risk"))]


def test_the_broker_needs_no_good_samples_for_none_come_while_nothing_may_enter_moex_risk_05() -> None:
    conditions, watch = stages()
    for _ in range(BREACHES):
        watch.sample("broker", 1501 * MS, T0)
    due(conditions, 1)
    watch.look(T0 + QUIET_NS)
    assert due(conditions, 2) == [("LATENCY", ACCOUNT_SCOPE, 0, STAGES.index("broker"))]


def test_a_loop_that_takes_over_ends_what_the_one_before_raised_once_it_has_earned_it() -> None:
    """It does not know what stands: it neither raises nor ends anything before a minute of its own."""
    conditions, watch = stages()
    watch.begin(T0, "broker", "ml")
    watch.look(T0 + QUIET_NS - 1)
    assert due(conditions, 1) == []
    watch.look(T0 + QUIET_NS)
    assert due(conditions, 1) == [("LATENCY", ACCOUNT_SCOPE, 0, STAGES.index("broker"))]
    for _ in range(GOOD):
        watch.sample("ml", MS, T0 + QUIET_NS)
    watch.look(T0 + QUIET_NS)
    assert due(conditions, 2) == [("LATENCY", ACCOUNT_SCOPE, 0, STAGES.index("ml"))]


def test_unknown_stages_are_counted_and_ignored_moex_mon_04() -> None:
    conditions, watch = stages()
    for _ in range(BREACHES):
        watch.sample("lunch", 10 * S, T0)
    watch.look(T0 + QUIET_NS)
    assert watch.counts["unknown"] == BREACHES and due(conditions, 1) == []


def test_a_network_that_does_not_answer_is_weak_at_once_and_gone_after_ten_seconds_moex_ml_02() -> None:
    """MOEX-ML-02, -03: three outputs in a row that are none put it away; one that is one heals it before."""
    conditions = Conditions(MOEX)
    network = NetworkWatch(conditions, 10 * S)
    network.failed(T0)
    assert due(conditions, 1) == [("ENSEMBLE_WEAK", ACCOUNT_SCOPE, 1, 0)]
    network.answered()
    assert due(conditions, 1) == [("ENSEMBLE_WEAK", ACCOUNT_SCOPE, 0, 0)]
    network.failed(T0 + 20 * S)
    network.look(T0 + 40 * S)
    assert due(conditions, 2) == [("ENSEMBLE_WEAK", ACCOUNT_SCOPE, 1, 0)], "one that is still asked may answer yet"
    network.failed(T0 + 20 * S)
    assert not network.is_away
    network.failed(T0 + 21 * S)
    assert network.is_away
    network.look(T0 + 30 * S - 1)
    assert due(conditions, 2) == []
    network.look(T0 + 30 * S)
    assert due(conditions, 2) == [("ML_FALLBACK", ACCOUNT_SCOPE, 1, 0)]


def test_a_futures_network_is_never_put_away() -> None:
    network = NetworkWatch(Conditions(MES), 10 * S)
    for at in range(20):
        network.failed(T0 + at * S)
    assert not network.is_away
