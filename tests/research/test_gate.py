"""The go-live gates (MES-GATE, MOEX-GATE): every row at its bound, everything that is missing, stale or another's."""

import math

import numpy as np
import pytest

from tests.research.kit import DAY_NS, DOLLAR, HOUR_NS, int64, some_days
from trading.research.figures import FAILED, NO_DATA, NOT_APPLICABLE, PASSED, REQUIRED, WARNING, Verdict, holds
from trading.research.gate import MES_CHECKS, NAMED, RESULT, Candidate, Check, Evidence, decide
from trading.research.gate_moex import PaperRecord, charged, moex_gate, surcharge
from trading.research.records import Curve, Days, ResearchError

NOW_NS = 1_800_000_000 * 1_000_000_000
ME = Candidate("config", "network", "code")
STEP = {">": 1e-6, ">=": 0.0, "<": -1e-6, "<=": 0.0}  # from a bound to a value that just passes


def passing(check: Check) -> Evidence:
    return Evidence(check.bound + STEP[check.relation], max(check.n_min, 5), "run 7", NOW_NS - DAY_NS, *ME)


def all_passing() -> dict[str, Evidence]:
    return {check.name: passing(check) for check in MES_CHECKS}


def row(rows: tuple[Verdict, ...], name: str) -> Verdict:
    return next(row for row in rows if row.name == name)


def test_a_gate_with_all_evidence_passes_and_has_the_documents_rows_mes_gate_01() -> None:
    decision = decide(MES_CHECKS, all_passing(), ME, NOW_NS)
    assert decision.passed and not decision.missing
    assert all(row.state == PASSED for row in decision.rows)
    assert sum(check.weight == REQUIRED for check in MES_CHECKS) == 28
    assert [check.name for check in MES_CHECKS if check.weight == WARNING] == [
        "win_rate_surplus", "worst_fold_sharpe", "fold_sharpe_deviation",
    ]  # fmt: skip


@pytest.mark.parametrize("check", MES_CHECKS, ids=lambda check: check.name)
def test_each_row_alone_stops_the_gate_unless_it_warns(check: Check) -> None:
    """At the wrong side of its bound, absent, null, not finite, stale, from the future, another's, without a run."""
    good = passing(check)
    wrong_side = {">": check.bound, ">=": check.bound - 1e-6, "<": check.bound, "<=": check.bound + 1e-6}
    faults: dict[str, Evidence | None] = {
        "wrong side": good._replace(value=wrong_side[check.relation]),
        "absent": None,
        "null": good._replace(value=None, why="it was not measured"),
        "not a number": good._replace(value=math.nan),
        "infinite": good._replace(value=math.inf if check.relation[0] == ">" else -math.inf),
        "stale": good._replace(measured_ns=NOW_NS - 30 * DAY_NS - 1),
        "from the future": good._replace(measured_ns=NOW_NS + 1),
        "no run": good._replace(run=""),
        "another configuration's": good._replace(config_hash="x"),
        "another network's": good._replace(network_hash="x"),
    }
    for name in NAMED[check.scope]:
        faults[f"no {name}"] = good._replace(**{name: ""})  # type: ignore[arg-type]
    if check.scope != RESULT:
        faults["another build's"] = good._replace(code_hash="x")
    if check.n_min > 0:
        faults["small sample"] = good._replace(n=check.n_min - 1)
    for fault, evidence in faults.items():
        given = all_passing() | ({check.name: evidence} if evidence else {})
        if evidence is None:
            del given[check.name]
        decision = decide(MES_CHECKS, given, ME, NOW_NS)
        found = row(decision.rows, check.name)
        assert found.state == (FAILED if fault == "wrong side" else NO_DATA), fault
        assert decision.passed == (check.weight == WARNING), fault
        assert found.sentence and "{" not in found.sentence


def test_evidence_of_exactly_thirty_days_counts() -> None:
    given = {name: found._replace(measured_ns=NOW_NS - 30 * DAY_NS) for name, found in all_passing().items()}
    assert decide(MES_CHECKS, given, ME, NOW_NS).passed


def test_a_failed_test_is_not_spoken_of_as_if_it_had_passed() -> None:
    given = all_passing()
    given["breakers"] = given["breakers"]._replace(value=0)
    rows = decide(MES_CHECKS, given, ME, NOW_NS).rows
    assert row(rows, "breakers").sentence == "The tests of the circuit breakers pass on this build: no."
    assert row(rows, "eod_flatten").sentence.endswith("pass on this build: yes.")


def test_evidence_of_a_build_need_not_name_a_network_nor_a_result_the_build() -> None:
    given = all_passing()
    given["code_coverage"] = given["code_coverage"]._replace(config_hash="", network_hash="")
    given["sharpe"] = given["sharpe"]._replace(code_hash="an older one")
    assert decide(MES_CHECKS, given, ME, NOW_NS).passed


def test_a_value_of_zero_is_judged_like_any_other() -> None:
    given = all_passing()
    given["pbo"] = given["pbo"]._replace(value=0.0)
    given["sharpe"] = given["sharpe"]._replace(value=0.0)
    rows = decide(MES_CHECKS, given, ME, NOW_NS).rows
    assert row(rows, "pbo").state == PASSED and row(rows, "sharpe").state == FAILED


def test_an_empty_gate_and_an_empty_list_do_not_pass() -> None:
    assert not decide((), {}, ME, NOW_NS).passed
    assert not decide(MES_CHECKS, {}, ME, NOW_NS).passed
    warnings = tuple(check for check in MES_CHECKS if check.weight == WARNING)
    assert not decide(warnings, {check.name: passing(check) for check in warnings}, ME, NOW_NS).passed


def test_one_trial_is_the_only_case_in_which_overfitting_does_not_block_mes_guard_03() -> None:
    given = all_passing()
    for name in ("pbo", "plateau"):
        given[name] = given[name]._replace(value=None, n=1)
    decision = decide(MES_CHECKS, given, ME, NOW_NS)
    assert decision.passed and row(decision.rows, "pbo").state == NOT_APPLICABLE
    given["pbo"] = given["pbo"]._replace(n=2)
    assert not decide(MES_CHECKS, given, ME, NOW_NS).passed
    given["pbo"] = given["pbo"]._replace(n=0)
    assert not decide(MES_CHECKS, given, ME, NOW_NS).passed
    given = all_passing()
    given["sharpe"] = given["sharpe"]._replace(value=None, n=1)
    assert not decide(MES_CHECKS, given, ME, NOW_NS).passed


def test_a_candidate_without_a_name_passes_nothing() -> None:
    for name in Candidate._fields:
        nameless = ME._replace(**{name: ""})
        given = {row: found._replace(**{name: ""}) for row, found in all_passing().items()}  # type: ignore[arg-type]
        assert not decide(MES_CHECKS, given, nameless, NOW_NS).passed


def test_a_misspelt_row_is_an_error_not_a_silence() -> None:
    with pytest.raises(ResearchError, match="no row of the gate is called sharp"):
        decide(MES_CHECKS, all_passing() | {"sharp": passing(MES_CHECKS[0])}, ME, NOW_NS)
    with pytest.raises(ResearchError, match="one name"):
        decide(MES_CHECKS[:1] * 2, {}, ME, NOW_NS)


# --- shares ---------------------------------------------------------------------------------------------------------

MINUTE_NS = 60_000_000_000
CAPITAL = 500_000 * DOLLAR
TURNOVER = 20_000 * DOLLAR  # 5 bps of it are $10


def record_of(gross_by_day: list[list[int]], commission: int = 10 * DOLLAR, turnover: int = TURNOVER) -> PaperRecord:
    """A minute of trade every two minutes, gross in dollars; equity points at every exit and close."""
    equity, gross, exits, times, points = [], [], [], [], []
    total = CAPITAL
    days = some_days([0] * len(gross_by_day), CAPITAL)
    for close, day in zip(days.close_ns.tolist(), gross_by_day, strict=True):
        for i, dollars in enumerate(day):
            total += dollars * DOLLAR - commission
            gross.append(dollars * DOLLAR)
            exits.append(close - DAY_NS // 2 + (i + 1) * HOUR_NS // 30)
            times.append(exits[-1])
            points.append(total)
        equity.append(total)
        times.append(close)
        points.append(total)
    days = some_days(equity, CAPITAL)
    n = len(gross)
    return PaperRecord(
        int64(*gross), np.full(n, commission), np.full(n, turnover), int64(*exits) - MINUTE_NS, int64(*exits), days,
        np.full(len(days), CAPITAL), Curve(int64(*times), int64(*points)),
    )  # fmt: skip


def judged(record: PaperRecord) -> dict[str, Verdict]:
    now_ns = int(record.days.close_ns[-1]) + HOUR_NS
    return {row.name: row for row in moex_gate(record, now_ns).rows}


def a_good_month(trades: int = 25, days: int = 20) -> list[list[int]]:
    """Of 25 trades a day 22 win $50 and 3 lose $30, before $10; one day is a little better than the other."""
    day = [50] * 22 + [-30] * 3
    return [[*day[: trades - 1], day[trades - 1] + i % 3] for i in range(days)]


def test_a_good_month_passes_moex_gate_01() -> None:
    record = record_of(a_good_month())
    decision = moex_gate(record, int(record.days.close_ns[-1]) + HOUR_NS)
    assert decision.passed, [row.sentence for row in decision.missing]
    rows = judged(record)
    assert rows["win_rate"].value == 0.88 and rows["trades"].value == 500 and rows["days_with_a_trade"].value == 20
    # winners net 22 x 40; losers 3 x 40 less what the last one of a day is better by
    assert rows["profit_factor"].value == pytest.approx(20 * 22 * 40 / (20 * 120 - 19))
    assert rows["sharpe_interval_low"].value is not None and not rows["sharpe_per_trade"].blocks


def test_499_trades_or_19_days_fail_moex_acc_404() -> None:
    month = a_good_month()
    month[0] = month[0][:-1]
    assert judged(record_of(month))["trades"].state == FAILED
    busy = judged(record_of([day * 2 for day in a_good_month(days=19)]))
    assert busy["days_with_a_trade"].state == FAILED and busy["trades"].passed
    idle = judged(record_of([*[day * 2 for day in a_good_month(days=19)], []]))
    assert idle["days_with_a_trade"].state == FAILED and idle["sharpe"].n == 20


def test_the_bounds_themselves_moex_acc_404() -> None:
    """87 of 100 win and a profit factor of 9/5: both pass; one micro less of profit, or 86 of 100, fail."""
    # 87 wins of net 130 x 9 against 13 losses of 870 x 5: 101790 / 56550 = 9/5
    wins, losses = [1_170 + 10] * 87, [-4_350 + 10] * 13
    rows = judged(record_of([wins + losses, [], [], []]))
    assert rows["win_rate"].value == 0.87 and rows["win_rate"].passed
    assert rows["profit_factor"].value == 1.8 and rows["profit_factor"].passed
    record = record_of([wins + losses, [], [], []], commission=10 * DOLLAR + 1)
    assert judged(record)["profit_factor"].state == FAILED
    rows = judged(record_of([[*wins[1:], -1, *losses]]))
    assert rows["win_rate"].value == 0.86 and rows["win_rate"].state == FAILED


def test_a_drawdown_of_two_percent_passes_and_a_micro_more_fails_moex_acc_404() -> None:
    fall = -10_000 + 10  # 2 % of 500,000 with its commission
    assert judged(record_of([[fall], [20_000]]))["max_drawdown"].value == 0.02
    assert judged(record_of([[fall], [20_000]]))["max_drawdown"].passed
    assert judged(record_of([[fall], [20_000]], commission=10 * DOLLAR + 1))["max_drawdown"].state == FAILED


def test_a_sharpe_of_two_and_a_half_fails_moex_acc_404() -> None:
    """Two returns a, b have the ratio (a + b) / (√2 · |a - b|) · √252: 2.5 at b = -0.6357 a; tried on both sides."""
    found = [judged(record_of([[10_010], [second]]))["sharpe"] for second in (-6_340, -6_350)]
    assert [row.passed for row in found] == [True, False]
    assert found[0].value == pytest.approx(3_650 / 16_350 * math.sqrt(126))
    assert not holds(2.5, ">", 2.5) and holds(math.nextafter(2.5, 3), ">", 2.5)


def test_a_lower_commission_is_made_up_to_five_basis_points_moex_gate_02() -> None:
    free, booked = record_of(a_good_month(), commission=0), record_of(a_good_month())
    assert surcharge(free).tolist() == [10 * DOLLAR] * 500 and not surcharge(booked).any()
    assert (charged(free)[0] == charged(booked)[0]).all()
    assert (charged(free)[1].equity_micros == booked.days.equity_micros).all()
    for name in ("profit_factor", "sharpe", "win_rate", "max_drawdown"):
        assert judged(free)[name].value == judged(booked)[name].value, name
    odd = record_of([[1]], commission=0, turnover=1_999)
    assert surcharge(odd).tolist() == [1]  # 0.9995 micros, rounded up
    dear = record_of(a_good_month(), commission=12 * DOLLAR)
    assert not surcharge(dear).any()


def test_what_a_commission_lacks_is_booked_at_the_entry_itself() -> None:
    """A point at the entry's own time already holds it; one just before does not."""
    record = record_of([[50], [60]], commission=0)
    entry = int(record.entry_ns[1])
    times = int64(entry - 1, entry, *record.curve.ts_ns[-2:].tolist())
    flat = int64(*[CAPITAL + 50 * DOLLAR] * 2, *record.curve.equity_micros[-2:].tolist())
    fields = {name: getattr(record, name) for name in PaperRecord.__slots__} | {"curve": Curve(times, flat)}
    _, days, curve = charged(PaperRecord(**fields))
    assert (curve.equity_micros // DOLLAR).tolist() == [500_040, 500_030, 500_090, 500_090]
    assert (days.equity_micros // DOLLAR).tolist() == [500_040, 500_090]


def test_no_losing_trade_passes_and_no_trade_fails() -> None:
    rows = judged(record_of([[50] * 25] * 20))
    assert rows["profit_factor"].passed and rows["profit_factor"].value is None
    assert rows["sharpe"].state == NO_DATA  # every day the same: std 0 fails
    rows = judged(record_of([[], []]))
    assert {row.name for row in rows.values() if row.passed} == {"max_drawdown"}
    assert not judged(record_of([[10] * 4]))["profit_factor"].passed  # every trade nets exactly 0


def test_a_record_of_another_time_is_refused() -> None:
    record = record_of(a_good_month())
    close = int(record.days.close_ns[-1])
    for now_ns in (close - 1, record.days.start_ns + 60 * DAY_NS + 1):
        with pytest.raises(ResearchError, match="outside the 60 days"):
            moex_gate(record, now_ns)
    assert moex_gate(record, record.days.start_ns + 60 * DAY_NS).passed


def test_a_record_that_cannot_be_charged_is_refused() -> None:
    good = record_of([[50], [60]])
    now_ns = int(good.days.close_ns[-1])
    for change, says in (
        ({"turnover_micros": int64(0, 1)}, "turnover"),
        ({"commission_micros": int64(-1, 1)}, "negative"),
        ({"capital_micros": int64(1)}, "capital"),
        ({"gross_micros": np.array([1.0, 2.0])}, "int64"),
        ({"turnover_micros": int64(2**61, 1)}, "exactly"),
        ({"exit_ns": good.exit_ns[::-1].copy()}, "order"),
    ):
        fields = {name: getattr(good, name) for name in PaperRecord.__slots__} | change
        with pytest.raises(ResearchError, match=says):
            moex_gate(PaperRecord(**fields), now_ns)


def test_days_without_points_have_no_drawdown() -> None:
    good = record_of([[50], [60]])
    fields = {name: getattr(good, name) for name in PaperRecord.__slots__}
    bare = PaperRecord(**(fields | {"curve": Curve(int64(), int64())}))
    assert judged(bare)["max_drawdown"].state == NO_DATA
    assert isinstance(bare.days, Days)
