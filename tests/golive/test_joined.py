"""Sessions joined to one record of the gate (MOEX-GATE-01): chained equity, shared days, what counts once."""

import numpy as np
import pytest

from tests.research.kit import DAY_NS, DOLLAR, HOUR_NS, int64
from trading.golive.joined import Closed, Lived, first_lives, inside, record_of
from trading.research.gate_moex import WINDOW_NS, charged, moex_gate
from trading.run.journal.equity import DayRun

T0 = 1_792_000_000_000_000_000
NOW = T0 + 30 * DAY_NS


def run(number: int, day: int, opened: int, *equity: int, capital: int = 500_000, at: int = 0) -> DayRun:
    """Points an hour apart from `at` hours after the day's start; dollars."""
    start = T0 + number * DAY_NS + at * HOUR_NS
    times = start + HOUR_NS * np.arange(1, len(equity) + 1)
    return DayRun(day, start, capital * DOLLAR, opened * DOLLAR, times, int64(*equity) * DOLLAR)


def trade(number: int, hour: float, gross: int, fee: int = 10) -> Closed:
    end = T0 + number * DAY_NS + int(hour * HOUR_NS)
    return Closed(gross * DOLLAR, fee * DOLLAR, 20_000 * DOLLAR, end - 60_000_000_000, end)


def test_equity_is_chained_by_its_changes_moex_gate_01() -> None:
    """The second session began with other money: its 30 up are the record's 30 up; its C is its own."""
    one = Lived("s1", [run(0, 20261012, 1_000, 1_010, 990)], [trade(0, 1.5, 0)])
    two = Lived("s2", [run(1, 20261013, 400, 430, capital=400)], [trade(1, 0.5, 40)])
    record = record_of([one, two], 7, NOW)
    assert (record.curve.equity_micros // DOLLAR).tolist() == [1_010, 990, 1_020]
    assert (record.days.equity_micros // DOLLAR).tolist() == [990, 1_020]
    assert record.days.start_micros == 1_000 * DOLLAR
    assert (record.capital_micros // DOLLAR).tolist() == [500_000, 400]
    assert record.exit_ns.tolist() == [one.trades[0].closed_ns, two.trades[0].closed_ns]
    assert len(charged(record)[0]) == 2, "the gate takes it"


def test_a_day_of_two_sessions_is_one_day_with_the_first_ones_capital_moex_risk_01() -> None:
    one = Lived("s1", [run(0, 20261012, 1_000, 1_010)], [])
    two = Lived("s2", [run(0, 20261012, 1_010, 1_030, capital=9, at=3)], [])
    record = record_of([one, two], 7, NOW)
    assert record.days.trading_day.tolist() == [20261012]
    assert record.days.equity_micros.tolist() == [1_030 * DOLLAR]
    assert record.capital_micros.tolist() == [500_000 * DOLLAR]
    assert record.days.close_ns[0] == record.curve.ts_ns[-1]


def test_a_market_time_counts_once_for_whoever_lived_it_first() -> None:
    """A second try at the same hours is no second sample, and cannot replace the first, whatever it came to."""
    bad = Lived("s1", [run(5, 20261017, 1_000, 900)], [])
    again = Lived("s2", [run(5, 20261017, 1_000, 2_000)], [])
    earlier = Lived("s3", [run(2, 20261014, 1_000, 1_001)], [])
    kept, left = first_lives([bad, again, earlier])
    assert ([one.key for one in kept], left) == (["s3", "s1"], ["s2"])


def test_only_whole_days_of_the_sixty_count_moex_gate_01() -> None:
    days = [run(0, 20261012, 1_000, 1_010), run(1, 20261013, 1_010, 1_020)]
    one = Lived("s1", days, [trade(0, 0.5, 20), trade(1, 0.5, 20)])
    late = days[0].start_ns + WINDOW_NS + 1
    cut = inside(one, late - WINDOW_NS, late)
    assert cut is not None and [day.day for day in cut.days] == [20261013] and cut.trades == one.trades[1:]
    assert inside(one, late - WINDOW_NS, days[0].start_ns) is None, "nothing from the future counts"
    kept = inside(one, late - 1 - WINDOW_NS, late - 1)
    assert kept is not None and kept.trades == one.trades
    record = record_of([cut], 7, late)
    assert not moex_gate(record, late).passed
    assert record.days.start_micros == 1_010 * DOLLAR


def test_no_session_at_all_fails_every_measured_row_moex_gate_02() -> None:
    rows = {row.name: row for row in moex_gate(record_of([], 5 * DOLLAR, NOW), NOW).rows}
    required = ("profit_factor", "sharpe", "max_drawdown", "win_rate", "trades", "days_with_a_trade")
    assert all(rows[name].blocks for name in required)
    assert not any(row.blocks for name, row in rows.items() if name not in required)
    assert rows["trades"].value == 0.0 and rows["cost_per_trade"].value is None


@pytest.mark.parametrize("seed", [1, 2])
def test_intervals_hold_their_value_and_repeat_moex_gate_02(seed: int) -> None:
    """95 % by blocks of days, 1,000 draws: the same seed gives the same ends, and the value lies between them."""
    rng = np.random.default_rng(3)
    sessions, opened = [], 1_000_000
    for number in range(20):
        gross = [int(x) for x in rng.integers(-40, 60, 10)]
        closes = np.cumsum([opened, *[g - 10 for g in gross]])[1:]
        day = run(number, 20261001 + number, opened, *closes.tolist())
        sessions.append(Lived(f"s{number}", [day], [trade(number, 0.9 + i, g) for i, g in enumerate(gross)]))
        opened = int(closes[-1])
    record = record_of(sessions, 7, NOW)
    rows = {row.name: row for row in moex_gate(record, NOW, seed).rows}
    assert rows == {row.name: row for row in moex_gate(record, NOW, seed).rows}
    for name in ("win_rate", "profit_factor"):
        low, value = rows[f"{name}_interval_low"], rows[name].value
        assert low.value is not None and value is not None and low.value < value < float(low.words["high"])
        assert low.n == 20 and not low.blocks
    assert rows["mean_net_interval_low"].value is not None
    assert rows["cost_per_trade"].value == 10.0
