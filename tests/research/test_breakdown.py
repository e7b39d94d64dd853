"""Trades by hour, weekday and exit reason: local hours over changes of clocks, sums that add up, small groups."""

from datetime import UTC, datetime

import numpy as np
import pytest

from marketdata.zones import ZoneError
from tests.research.kit import booked, int64
from trading.research import breakdown
from trading.research.metrics import trade_figures
from trading.research.records import Days, Trades


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def some_run() -> tuple[Trades, Days]:
    rng = np.random.default_rng(1)
    nets = [[int(x) * 1_000 for x in rng.integers(-900, 1_000, int(size))] for size in rng.integers(0, 5, 60)]
    return booked(nets)


def test_hours_are_those_on_the_wall_of_the_zone() -> None:
    times = int64(at("2024-03-08 14:30"), at("2024-03-11 14:30"), at("2024-06-03 00:15"))
    assert breakdown.wall_hours(times, "America/New_York").tolist() == [9, 10, 20]  # clocks changed on 2024-03-10
    assert breakdown.wall_hours(times, "Europe/Moscow").tolist() == [17, 17, 3]
    assert breakdown.wall_hours(times, "Asia/Kolkata").tolist() == [20, 20, 5]  # half an hour apart from full hours
    with pytest.raises(ZoneError):
        breakdown.wall_hours(times, "Moscow")


def test_a_group_by_hand() -> None:
    trades, days = booked([[3_000_000], [], [-1_000_000, 2_000_000]])
    trades = Trades(
        trades.gross_micros, trades.commission_micros, trades.slippage_micros, trades.entry_ns, trades.exit_ns,
        trades.bars_held, ["target", "stop", "target"], trades.risk_micros,
    )  # fmt: skip
    stop, target = breakdown.by_exit_reason(trades, days)
    assert (stop.key, stop.trades, stop.net_micros, stop.wins, stop.days) == ("stop", 1, -1_000_000, 0, 1)
    assert (target.key, target.trades, target.net_micros, target.wins, target.days) == ("target", 2, 5_000_000, 2, 2)
    assert target.mean_net_micros.value == 2_500_000 and target.win_rate.value == 1.0
    assert stop.low_micros is None and "1 days" in stop.why
    monday, wednesday = breakdown.by_weekday(trades, days)
    assert (monday.key, monday.net_micros) == ("Monday", 3_000_000)
    assert (wednesday.key, wednesday.net_micros) == ("Wednesday", 1_000_000)


def test_a_trade_over_the_hour_belongs_to_that_of_its_entry() -> None:
    trades, days = booked([[3_000_000], [1_000_000]])  # a minute each, out at 21:00 UTC
    (group,) = breakdown.by_hour(trades, days, "UTC")
    assert (group.key, group.trades) == ("20", 2)
    assert breakdown.by_hour_and_weekday(trades, days, "UTC")[0, 20].tolist() == [3_000_000, 1]


def test_groups_add_up_to_the_whole() -> None:
    trades, days = some_run()
    whole = trade_figures(trades)
    for groups in (
        breakdown.by_hour(trades, days, "America/New_York"),
        breakdown.by_weekday(trades, days),
        breakdown.by_exit_reason(trades, days),
    ):
        assert sum(group.trades for group in groups) == whole.trades
        assert sum(group.net_micros for group in groups) == whole.net_micros
        assert sum(group.wins for group in groups) == whole.wins
    cells = breakdown.by_hour_and_weekday(trades, days, "America/New_York")
    assert int(cells[:, :, 0].sum()) == whole.net_micros and int(cells[:, :, 1].sum()) == whole.trades
    by_day = {group.key: group.net_micros for group in breakdown.by_weekday(trades, days)}
    assert [by_day.get(name, 0) for name in breakdown.WEEKDAYS] == cells[:, :, 0].sum(axis=1).tolist()


def test_large_groups_have_an_interval_around_their_mean_and_are_seeded() -> None:
    trades, days = some_run()
    (group,) = breakdown.by_exit_reason(trades, days)
    assert group.low_micros is not None and group.high_micros is not None
    assert group.low_micros < (group.mean_net_micros.value or 0) < group.high_micros
    assert breakdown.by_exit_reason(trades, days) == [group]


def test_no_trades_no_groups() -> None:
    trades, days = booked([[], []])
    assert breakdown.by_hour(trades, days, "UTC") == [] and breakdown.by_weekday(trades, days) == []
