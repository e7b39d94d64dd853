"""The Desk's list of holds: the account's, strongest first, then those of instruments, each with what it names."""

from marketdata.core.records import ACCOUNT_SCOPE
from risk.core.holds import BIT
from tests.kernel.desk import S
from tests.kernel.shares.test_conditions import tell, two
from trading.core import records as r
from trading.core.watch.told import STAGES
from trading.run.bodies.snapshot import Rows, holds_value


def test_every_standing_hold_is_shown_with_what_it_is_about_moex_risk_05() -> None:
    desk, rows = two(), Rows()
    for stage in ("ml", "broker"):
        tell(desk, "LATENCY", ref=STAGES.index(stage))
    tell(desk, "ENSEMBLE_WEAK")
    out = tell(desk, "RESTRICTED", instrument=1, wait_ns=S)
    for row in out:
        rows.note(row.reshape(1))
    shown = holds_value(desk.kernel, rows, ["SBER", "GAZP"])
    assert [(row["code"], row["scope"], row["what"]) for row in shown] == [
        ("LATENCY", "account", "ml, broker"),
        ("ENSEMBLE_WEAK", "account", ""),
        ("RESTRICTED", 1, "GAZP"),
    ]
    assert shown[2]["since_us"] == desk.now_ns // 1000 and shown[2]["clearing"] == "CONDITION"
    tell(desk, "LATENCY", 0, ref=STAGES.index("ml"))
    tell(desk, "RESTRICTED", 0, instrument=1)
    shown = holds_value(desk.kernel, rows, ["SBER", "GAZP"])
    assert [(row["code"], row["what"]) for row in shown] == [("LATENCY", "broker"), ("ENSEMBLE_WEAK", "")]


def test_a_hold_of_before_the_sinks_loop_began_has_no_time_rather_than_a_wrong_one() -> None:
    desk = two()
    tell(desk, "UNHEALTHY", instrument=0)
    (row,) = holds_value(desk.kernel, Rows(), ["SBER", "GAZP"])
    assert (row["what"], row["since_us"], row["value"]) == ("SBER", None, None)
    desk.event(r.LINK, instrument=ACCOUNT_SCOPE, code=r.LINK_CONTRACT, value=0)
    assert BIT["CONTRACT_ROLL"] not in [BIT[row["code"]] for row in holds_value(desk.kernel, Rows(), ["SBER", "GAZP"])]


def test_who_is_not_active_is_live_datas_matter_and_crowds_out_no_other_hold_moex_risk_08() -> None:
    desk = two()
    tell(desk, "NOT_ACTIVE", instrument=1)
    tell(desk, "UNHEALTHY", instrument=1)
    assert [row["code"] for row in holds_value(desk.kernel, Rows(), ["SBER", "GAZP"])] == ["UNHEALTHY"]
