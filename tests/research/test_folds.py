"""Walk-forward folds (MES-WF, MES-SPLIT-03, MOEX-TRAIN-02): borders, purge and embargo as properties, results."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.research.kit import DAY_NS, DOLLAR, HOUR_NS, int64, some_days
from trading.research.figures import Figure
from trading.research.fold_results import FoldResult, concatenated, summarise
from trading.research.folds import Plan, Sessions, day_folds, fold_rows, month_folds
from trading.research.records import ResearchError


def sessions_of(first: date, last: date, without: tuple[str, ...] = ()) -> Sessions:
    """Every weekday, open from 22:00 UTC of the evening before to 21:00 UTC; months named in `without` left out."""
    days, opens, closes = [], [], []
    day = first
    while day <= last:
        if day.weekday() < 5 and f"{day:%Y-%m}" not in without and f"{day}" not in without:
            midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000_000
            days.append(day.year * 10_000 + day.month * 100 + day.day)
            opens.append(midnight - 2 * HOUR_NS)
            closes.append(midnight + 21 * HOUR_NS)
        day += timedelta(days=1)
    return Sessions(int64(*days), int64(*opens), int64(*closes))


THREE_YEARS = sessions_of(date(2022, 1, 3), date(2024, 12, 31))


def months(sessions: Sessions, first: int, end: int) -> list[int]:
    return sorted({int(number) // 100 for number in sessions.trading_day[first:end]})


def test_three_years_give_26_folds_mes_wf_01() -> None:
    plan = month_folds(THREE_YEARS)
    assert len(plan.folds) == 26 and not any(fold.reason for fold in plan.folds)
    first, last = plan.folds[0], plan.folds[-1]
    assert months(THREE_YEARS, first.train.first, first.train.end) == [202201, 202202, 202203, 202204, 202205, 202206]
    assert months(THREE_YEARS, first.validation.first, first.validation.end) == [202207]
    assert months(THREE_YEARS, first.test.first, first.test.end) == [202208]
    assert months(THREE_YEARS, last.test.first, last.test.end) == [202409]
    assert months(THREE_YEARS, plan.holdout.first, plan.holdout.end) == [202410, 202411, 202412]


def test_expanding_windows_begin_at_the_first_session() -> None:
    plan = month_folds(THREE_YEARS, expanding=True)
    assert {fold.train.first for fold in plan.folds} == {0}
    assert [fold.test for fold in plan.folds] == [fold.test for fold in month_folds(THREE_YEARS).folds]


def test_the_hold_out_is_touched_by_no_fold_mes_wf_03() -> None:
    for holdout in (1, 3, 6):
        plan = month_folds(THREE_YEARS, holdout=holdout)
        assert max(fold.test.close_ns for fold in plan.folds) < plan.holdout.open_ns
        assert plan.holdout.end == len(THREE_YEARS.trading_day)
    with pytest.raises(ResearchError, match="hold-out"):
        month_folds(THREE_YEARS, holdout=0)


def test_the_first_sessions_of_validation_and_test_are_left_out_mes_split_03() -> None:
    for fold in month_folds(THREE_YEARS, embargo_sessions=2).folds:
        for part in (fold.validation, fold.test):
            assert part.embargoed == 2
            opened = np.searchsorted(THREE_YEARS.open_ns, part.open_ns)
            assert part.first == opened + 2
        assert fold.train.embargoed == 0


def test_no_embargo_is_refused() -> None:
    with pytest.raises(ResearchError, match="embargo of at least one session"):
        month_folds(THREE_YEARS, embargo_sessions=0)


def test_too_little_data_is_refused_with_the_numbers() -> None:
    with pytest.raises(ResearchError, match=r"9 months without the hold-out give 2 folds .* at least 3"):
        month_folds(sessions_of(date(2024, 1, 1), date(2024, 12, 31)))
    with pytest.raises(ResearchError, match="no session days"):
        month_folds(Sessions(int64(), int64(), int64()))


def test_a_hole_in_the_data_is_reported_with_its_folds_and_none_disappears_mes_wf_04() -> None:
    holed = sessions_of(date(2022, 1, 3), date(2024, 12, 31), without=("2023-05",))
    plan = month_folds(holed)
    assert len(plan.folds) == 26
    told = {fold.number: fold.reason for fold in plan.folds if fold.reason}
    # as test month 2023-05 is fold 10, as validation fold 11, as training folds 12 to 17
    assert sorted(told) == list(range(10, 18))
    assert "no session for test between 2023-05-01 and 2023-05-31" in told[10]
    assert "no session for validation" in told[11] and told[12] == "the data have no session in 2023-05"
    for fold in plan.folds:
        if not fold.reason:
            assert fold.train.sessions > 0 and fold.validation.sessions > 0 and fold.test.sessions > 0


def test_an_embargo_that_eats_a_part_is_a_reason() -> None:
    thin = sessions_of(date(2022, 1, 3), date(2024, 12, 31), tuple(f"2023-05-{day:02}" for day in range(2, 32)))
    told = [fold.reason for fold in month_folds(thin).folds if fold.reason]
    assert told and all("the embargo leaves no session" in reason for reason in told)


def test_half_a_year_of_shares_gives_five_folds_moex_train_02() -> None:
    sessions = sessions_of(date(2024, 1, 1), date(2024, 6, 28))  # 180 calendar days
    plan = day_folds(sessions)
    assert len(plan.folds) == 5
    assert plan.folds[-1].test.end == len(sessions.trading_day)
    for fold in plan.folds:
        span = date_of(sessions, fold.test.first) - date_of(sessions, fold.train.first)
        assert timedelta(days=126) <= span <= timedelta(days=134)


def date_of(sessions: Sessions, at: int) -> date:
    number = int(sessions.trading_day[at])
    return date(number // 10_000, number // 100 % 100, number % 100)


@st.composite
def planned(draw: st.DrawFn) -> tuple[Sessions, Plan, int]:
    """Plans of any shape over two years with some days missing, and a label's horizon that may span days."""
    gone = draw(st.sets(st.integers(0, 700), max_size=120))
    start = date(2023, 1, 2)
    without = tuple(f"{start + timedelta(days=i)}" for i in gone)
    sessions = sessions_of(start, date(2024, 12, 31), without)
    plan = month_folds(
        sessions,
        train=draw(st.integers(1, 6)),
        validation=draw(st.integers(1, 2)),
        test=draw(st.integers(1, 2)),
        step=draw(st.integers(1, 3)),
        holdout=draw(st.integers(1, 3)),
        expanding=draw(st.booleans()),
        embargo_sessions=draw(st.integers(1, 4)),
    )
    return sessions, plan, draw(st.sampled_from([30, 3_600, 3 * 86_400])) * 1_000_000_000


@settings(max_examples=40, deadline=None)
@given(planned(), st.sampled_from([0, 300, 5 * 86_400]))
def test_no_earlier_row_reaches_into_a_later_part_or_its_embargo(
    made: tuple[Sessions, Plan, int], embargo_s: int
) -> None:
    """MES-SPLIT-03 as a property: labels of training end before validation opens, of validation before test opens; no
    row lies in an embargo, outside a session, in two parts, or in the hold-out."""
    sessions, plan, horizon_ns = made
    embargo_ns = embargo_s * 1_000_000_000
    hours = [np.arange(a, b, 4 * HOUR_NS) for a, b in zip(sessions.open_ns, sessions.close_ns, strict=True)]
    ts_ns = np.concatenate(hours)
    label_ns = ts_ns + horizon_ns
    for fold in plan.folds:
        if fold.reason:
            continue
        rows = fold_rows(fold, sessions, ts_ns, label_ns, embargo_ns)
        assert (label_ns[rows.train] < fold.validation.open_ns).all()
        assert (label_ns[rows.validation] < fold.test.open_ns).all()
        for part, own in ((fold.validation, rows.validation), (fold.test, rows.test)):
            begins = sessions.open_ns[part.first]
            assert (ts_ns[own] >= max(int(begins), part.open_ns + embargo_ns)).all()
        assert len(np.unique(np.concatenate([rows.train, rows.validation, rows.test]))) == sum(
            len(own) for own in (rows.train, rows.validation, rows.test)
        )
        assert rows.test.size == 0 or ts_ns[rows.test[-1]] < plan.holdout.open_ns
        window = (ts_ns >= fold.train.open_ns) & (ts_ns < fold.test.close_ns)
        assert rows.purged + rows.embargoed + rows.train.size + rows.validation.size + rows.test.size == window.sum()


def test_rows_outside_sessions_and_out_of_order_are_not_taken() -> None:
    fold = month_folds(THREE_YEARS).folds[0]
    halt = int64(*(THREE_YEARS.close_ns[:20] + HOUR_NS // 2))
    rows = fold_rows(fold, THREE_YEARS, halt, halt + 30)
    assert rows.train.size == 0 and rows.purged == 0 and rows.embargoed == 0
    with pytest.raises(ResearchError, match="time order"):
        fold_rows(fold, THREE_YEARS, halt[::-1], halt[::-1] + 30)


def result(number: int, test: float | None, validation: float | None = 2.0, **kinds: object) -> FoldResult:
    fields = {"reason": "", "trades": 200, "net_micros": 5 * DOLLAR} | kinds
    fields |= {"validation": Figure(validation, "x"), "test": Figure(test, "no variance")}
    return FoldResult(number, **fields)  # type: ignore[arg-type]


def test_infeasible_and_thin_folds_count_as_not_profitable_mes_wf_04() -> None:
    found = summarise([
        result(1, 1.5), result(2, 1.0, trades=99), result(3, None, reason="the search found nothing"),
        result(4, 1.2, net_micros=-1), result(5, -0.5), result(6, None),
    ])  # fmt: skip
    assert found.profitable.value == 1 / 6 and len(found.folds) == 6
    assert dict(found.notes) == {
        2: "99 trades, 100 are needed", 3: "the search found nothing", 6: "its test has no metric: no variance",
    }  # fmt: skip
    assert found.worst.value == -0.5 and found.mean.value == pytest.approx(0.8)


def test_overfitting_score_and_robustness_mes_wf_05() -> None:
    good = summarise([result(1, 1.6), result(2, 1.5), result(3, 1.7)])
    assert good.score.value == pytest.approx(0.2) and good.robust and good.why_not == ""
    lost = summarise([result(1, 1.2), result(2, 1.3), result(3, 1.4)])
    assert lost.score.value == pytest.approx(0.35) and not lost.robust and "0.35" in lost.why_not
    wild = summarise([result(1, 0.2), result(2, 3.0), result(3, 2.0)])
    assert not wild.robust and "deviation" in wild.why_not
    assert not summarise([result(1, 1.6), result(2, 1.5)]).robust
    assert summarise([result(1, 1.0, validation=-1.0)] * 3).score.value is None
    none = summarise([])
    assert none.profitable.value is None and none.mean.value is None and not none.robust


def test_the_tests_of_all_folds_add_up_mes_wf_02() -> None:
    first, second = some_days([1_010 * DOLLAR, 1_005 * DOLLAR]), some_days([990 * DOLLAR, 1_020 * DOLLAR])
    later = second.__class__(
        second.start_ns + 30 * DAY_NS, second.start_micros, second.trading_day + 100, second.close_ns + 31 * DAY_NS,
        second.equity_micros,
    )  # fmt: skip
    whole = concatenated(1_000 * DOLLAR, [first, later])
    assert (whole.equity_micros // DOLLAR).tolist() == [1_010, 1_005, 995, 1_025]
    with pytest.raises(ResearchError, match="overlap"):
        concatenated(1_000 * DOLLAR, [first, first])
    with pytest.raises(ResearchError):
        concatenated(1_000 * DOLLAR, [])
