"""The common work of `make bench`: its plain rules by hand, two trade lists compared, the desk's own beside them.

The peers themselves are not installed here; `make bench-peers` and `make bench` run them.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from django.core.management.base import CommandError

from desk.ops.bench import backtest
from desk.ops.bench.peers import sidebyside
from desk.ops.bench.peers.agreement import agreement
from desk.ops.bench.peers.reference import reference_trips
from desk.ops.bench.peers.work import LOSS_DAY_MICROS, NANOS, PAUSE_NS, DayRules, Work, read, write
from desk.ops.bench.table import FAILED, Row, as_text
from desk.ops.management.commands.bench import _tell

TERMS = np.array([1_250_000, 420_000], np.int64)


def work(rows: list[tuple[int, int, int, int, int, int]]) -> Work:
    """(open, high, low, close, side, flat) a second."""
    table = np.array(rows, np.int64)
    n = len(rows)
    side, flat = table[:, 4].astype(np.int8), table[:, 5].astype(np.int8)
    return Work(np.arange(n) * NANOS, table[:, :4], np.ones(n, np.int64), side, flat, np.ones(n, np.int64), TERMS)


def trips(rows: list[tuple[int, int, int, int, int, int]]) -> list[list[int]]:
    found: list[list[int]] = reference_trips(work(rows), limited=False).tolist()
    return found


def test_an_entry_fills_at_the_next_open_and_its_target_at_its_price_mes_bt_13() -> None:
    rows = [(100, 100, 100, 100, 1, 0), (100, 101, 100, 101, 0, 0), (101, 108, 101, 108, 0, 0)]
    assert trips(rows) == [[1 * NANOS, 2 * NANOS, 1, 101, 107]]


def test_the_stop_comes_before_the_target_and_the_entry_bar_counts_mes_bt_14() -> None:
    rows = [(100, 100, 100, 100, -1, 0), (100, 107, 90, 100, 0, 0)]
    assert trips(rows) == [[1 * NANOS, 1 * NANOS, -1, 99, 108]]


def test_a_stop_that_the_open_has_passed_fills_a_tick_worse_than_the_open_mes_bt_12() -> None:
    rows = [(100, 100, 100, 100, 1, 0), (100, 101, 100, 101, 0, 0), (80, 82, 80, 81, 0, 0)]
    assert trips(rows) == [[1 * NANOS, 2 * NANOS, 1, 101, 79]]


def test_a_decision_against_the_position_ends_it_at_the_next_open_mes_rev_01() -> None:
    rows = [(100, 100, 100, 100, 1, 0), (100, 101, 100, 101, -1, 0), (102, 103, 101, 102, 0, 0)]
    assert trips(rows) == [[1 * NANOS, 2 * NANOS, 1, 101, 101]]


def test_where_nothing_may_be_held_the_position_ends_and_no_entry_fills() -> None:
    held = [(100, 100, 100, 100, 1, 0), (100, 101, 100, 101, 0, 0), (102, 103, 101, 102, 0, 1)]
    assert trips(held) == [[1 * NANOS, 2 * NANOS, 1, 101, 101]]
    assert trips([(100, 100, 100, 100, 1, 0), (100, 101, 100, 101, 0, 1), (100, 101, 100, 101, 0, 0)]) == []


def test_three_losers_pause_entries_and_the_limit_of_the_day_ends_them() -> None:
    flat = work([(100, 100, 100, 100, 0, 0)])
    rules = DayRules(flat, limited=True)
    rules.begin(1)
    for _ in range(3):
        rules.closed(-1, 0)
    assert not rules.may_enter(PAUSE_NS - 1)
    assert rules.may_enter(PAUSE_NS)
    rules.closed(-LOSS_DAY_MICROS // int(TERMS[0]), 0)
    assert not rules.may_enter(PAUSE_NS)
    rules.begin(2)
    assert rules.may_enter(PAUSE_NS)
    assert DayRules(flat, limited=False).may_enter(0)


def test_lists_are_the_same_only_in_all_five_numbers_and_begin_the_same_by_bar_and_side() -> None:
    start_ns = np.arange(10) * NANOS
    ours = np.array([[1, 3, 1, 100, 106], [5, 6, -1, 90, 84]]) * [NANOS, NANOS, 1, 1, 1]
    at_close = ours - [NANOS, 0, 0, 1, 0]  # decided at the bar before, filled at its close
    assert agreement(ours, ours, start_ns).text == "2 trades, all the same"
    assert agreement(ours, at_close, start_ns)[2:] == (0, 2)
    assert agreement(ours, ours * [1, 1, -1, 1, 1], start_ns)[2:] == (0, 0)
    assert agreement(ours, np.zeros((0, 5), np.int64), start_ns).text.startswith("0 trades against 2")


def test_the_work_comes_back_from_its_file(tmp_path: Path) -> None:
    made = work([(100, 103, 99, 101, 1, 0)])
    write(tmp_path / "work.npz", made)
    again = read(tmp_path / "work.npz")
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(made, again, strict=True))


def test_a_ratio_is_met_from_its_goal_upwards_and_a_time_downwards() -> None:
    fast, slow = Row("r", 30.0, "times", 25, least=True), Row("r", 20.0, "times", 25, least=True)
    assert (fast.met, slow.met, Row("t", 20.0, "ns", 25).met, Row("t", 1.0, "ns").met) == (True, False, True, None)
    assert "goal >= 25 MISSED" in as_text([slow], {})


def test_the_desk_trades_the_common_work_as_the_plain_rules_say() -> None:
    """All but the few that a rule of the desk's own refuses: it has more of them than the plain rules."""
    bars = backtest.made_bars(100_000)
    plan = replace(backtest.plans()["busy"], limit_fill="touch")
    made = sidebyside.work_of(bars, plan)
    found = agreement(
        reference_trips(made, limited=False),
        sidebyside.desk_trips(backtest.once(plan, bars), made.start_ns),
        made.start_ns,
    )
    assert found.ours > 100
    assert found.same >= 0.98 * found.ours
    assert abs(found.theirs - found.ours) <= 0.02 * found.ours


def test_a_peer_that_fails_has_a_row_with_the_reason_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its program is really started, in an environment that has nothing; the exit status is told behind the table."""
    broken = tmp_path / "vectorbt"
    (broken / "bin").mkdir(parents=True)
    (broken / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    (broken / "stamp").write_text("vectorbt")
    monkeypatch.setattr(sidebyside, "ENVIRONMENTS", tmp_path)
    bars, plan = backtest.made_bars(5_000), replace(backtest.plans()["busy"], limit_fill="touch")
    source = tmp_path / "work.npz"
    write(source, sidebyside.work_of(bars, plan))
    none = np.zeros((0, 5), np.int64)
    found = [sidebyside._against_peer(peer, "busy", plan, bars, source, none) for peer in sidebyside.PEERS]
    said = [row for row in found if row.note.startswith(FAILED)]
    assert [row.name for row in said] == ["common work, busy, vectorbt, flexible order function over the desk"]
    assert "No module named" in said[0].note and np.isnan(said[0].value) and said[0].met is False
    assert all("stored, not run" in row.note for row in found if row not in said)
    with pytest.raises(CommandError, match="1 rows have no figure: common work, busy, vectorbt"):
        _tell(found)
    _tell([row for row in found if row not in said])
