"""Sanity strategies on the desk's own backtest (MES-SANE-01 … -03, -05): kernel, rules and venue, profile `sanity`.

Seconds of one session, a decision every forty, out after thirty by time, no target and a stop beyond everything: what
such a trade earns is the difference of two opens, and is worked out here from the bars alone.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from marketdata.core.instruments import INSTRUMENTS
from tests.backtest.market import ALL_HOURS, at
from trading.configs import SHIPPED, resolve
from trading.core.history.records import Columns
from trading.run.backtest.engine import Backtest, Result, reason_of
from trading.run.backtest.plan import Calendar, Plan, plan_of
from trading.run.backtest.summary import warnings

S = 1_000_000_000
TICK, FEES = 1_250_000, 840_000  # micros: a tick of one contract, both sides' commission
EVERY, HELD = 40, 30
TRADES = 1_200
OPEN_NS = at("2026-03-02", "18:00:00")


class Walk(NamedTuple):
    """Bars, and what each decision is decided by: the opens at which it enters and leaves."""

    columns: Columns
    enter: np.ndarray
    leave: np.ndarray

    @property
    def moves(self) -> np.ndarray:
        """(TRADES,) int64 ticks from entry to exit of a buyer."""
        return self.columns.ticks[self.leave, 0] - self.columns.ticks[self.enter, 0]

    def deciding(self, side: np.ndarray) -> Columns:
        """The bars with these decisions, each on the bar before its entry."""
        sides = np.zeros(len(self.columns.start_ns), np.int8)
        sides[self.enter - 1] = side
        return self.columns._replace(side=sides)


def walk(seed: int, count: int = TRADES) -> Walk:
    """A fair walk of whole ticks without a gap."""
    rng = np.random.default_rng(seed)
    n = EVERY * (count + 1)
    close = 24_000 + np.cumsum(rng.integers(-2, 3, n))
    start = np.concatenate([[24_000], close[:-1]]) + rng.integers(-1, 2, n)
    ticks = np.stack([start, np.maximum(start, close) + 1, np.minimum(start, close) - 1, close], axis=1)
    enter = 1 + EVERY * np.arange(1, count + 1) - EVERY // 2
    return Walk(_columns(ticks), enter, enter + HELD)


def _columns(ticks: np.ndarray) -> Columns:
    n = len(ticks)
    return Columns(
        OPEN_NS + np.arange(n, dtype=np.int64) * S,
        np.ascontiguousarray(ticks, np.int64),
        np.full(n, 50, np.int64),
        np.zeros(n, np.int64),
        np.zeros(n, np.int8),
        np.full(n, 1_000_000, np.int32),
    )


def plan(slip: int) -> Plan:
    """Profile `sanity`: one contract, thirty seconds, no target, no limit that binds; by night, too."""
    base = plan_of(resolve("sanity"), INSTRUMENTS["MES"], equity_sample="minute")
    assert base.slip_ticks == 0 and base.limits["hold_ns_max"] == HELD * S
    return replace(base, schedule=ALL_HOURS, slip_ticks=slip)


def traded(columns: Columns, slip: int = 0) -> Result:
    run = Backtest(plan(slip), Calendar.between(OPEN_NS, OPEN_NS + S), S, int(columns.start_ns[0]))
    run.feed(columns)
    return run.end()


def by_time(result: Result, count: int) -> np.ndarray:
    """The trades, all of which left by time."""
    assert len(result.trades) == count, result.decisions
    assert {reason_of(trade, result.rules) for trade in result.trades} == {"time"}
    return result.trades


def test_random_directions_earn_nothing_before_costs_on_the_desk_s_backtest_mes_sane_01() -> None:
    made = walk(11)
    side = np.random.default_rng(12).choice(np.array([-1, 1]), TRADES)
    rows = by_time(traded(made.deciding(side)), TRADES)
    gross = rows["gross_micros"].astype(float)
    assert abs(gross.mean()) <= 3 * gross.std(ddof=1) / np.sqrt(TRADES)
    assert np.array_equal(rows["gross_micros"], side * made.moves * TICK), "to the micro, trade by trade"
    assert np.array_equal(rows["net_micros"], rows["gross_micros"] - FEES)
    slipped = by_time(traded(made.deciding(side), slip=1), TRADES)
    assert np.array_equal(rows["gross_micros"] - slipped["gross_micros"], np.full(TRADES, 2 * TICK))


def test_foresight_earns_the_sum_of_all_moves_and_its_mirror_the_negative_mes_sane_02_03() -> None:
    made = walk(13)
    moves = made.moves
    oracle = by_time(traded(made.deciding(np.sign(moves))), int((moves != 0).sum()))
    assert int(oracle["gross_micros"].sum()) == int(np.abs(moves).sum()) * TICK
    mirror = by_time(traded(made.deciding(-np.sign(moves))), len(oracle))
    assert np.array_equal(mirror["gross_micros"], -oracle["gross_micros"])
    held = oracle["side"] * (oracle["exit_tick"] - oracle["entry_tick"])
    assert int(held.sum()) * TICK == int(oracle["gross_micros"].sum())


def test_a_known_rule_on_a_fixture_earns_what_the_hand_says_mes_sane_05() -> None:
    """Three opens are moved by hand: bought at 24000 and sold at 24007, sold at 24010 and bought at 24013, bought at
    24020 and sold at 24020.  Gross 7 − 3 + 0 = 4 ticks = $5.00; fees 3 × $0.84 = $2.52; net $2.48."""
    prices = np.full(160, 24_000, np.int64)
    prices[31:60], prices[60:91], prices[91:] = 24_007, 24_010, 24_013
    prices[110:] = 24_020
    ticks = np.stack([prices] * 4, axis=1)
    columns = _columns(ticks)
    side = np.zeros(160, np.int8)
    side[0], side[60], side[119] = 1, -1, 1  # entries at the opens of bars 1, 61 and 120, exits thirty bars later
    result = traded(columns._replace(side=side))
    rows = by_time(result, 3)
    assert rows["entry_tick"].tolist() == [24_000, 24_010, 24_020]
    assert rows["exit_tick"].tolist() == [24_007, 24_013, 24_020]
    assert int(rows["gross_micros"].sum()) == 5_000_000
    assert int(rows["net_micros"].sum()) == 2_480_000 == result.balance_micros - result.plan.capital_micros
    assert any("profile sanity" in line for line in warnings(result, 0, {})), "the report says so"
    dearer = by_time(traded(columns._replace(side=side), slip=1), 3)
    assert int(dearer["net_micros"].sum()) == 2_480_000 - 6 * TICK, "costs lower the result"


def test_no_session_starts_under_the_profile_of_the_sanity_runs_mes_sane_05() -> None:
    assert resolve("sanity").modes == ["backtest"] and "sanity" not in SHIPPED
