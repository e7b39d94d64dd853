"""Other orders, other days, dearer trading (MES-GUARD-04, -05): invariants, counted and closed forms, exact money."""

import math
from fractions import Fraction
from itertools import permutations
from statistics import NormalDist

import numpy as np
import pytest

from tests.research.kit import DOLLAR, int64, some_trades
from trading.research.luck import paths
from trading.research.luck.costs import cost_stress, costs_borne, dearer_net
from trading.research.luck.paths import bootstrapped_days, shuffled_trades


def test_the_end_does_not_depend_on_the_order_mes_guard_04() -> None:
    net = np.random.default_rng(1).integers(-9_000_000, 10_000_000, 400)
    found = shuffled_trades(net, 1_000 * DOLLAR)
    end = float(1_000 * DOLLAR + net.sum())
    assert set(found.end_micros) == {end}
    assert found.drawdown_micros.low <= found.drawdown_micros.p05 <= found.drawdown_micros.p50
    assert found.drawdown_micros.p50 <= found.drawdown_micros.p95 <= found.drawdown_micros.high
    assert found == shuffled_trades(net, 1_000 * DOLLAR) != shuffled_trades(net, 1_000 * DOLLAR, seed=2)


def test_five_trades_in_all_their_orders() -> None:
    """120 orders counted out: the mean share of orders that lose $200, and the quantiles of the deepest fall."""
    net = [150, -120, -90, 60, 40]
    falls, losing = [], 0
    for order in permutations(net):
        equity = np.concatenate(([1_000], 1_000 + np.cumsum(order)))
        falls.append((np.maximum.accumulate(equity) - equity).max())
        losing += equity.min() <= 800
    found = shuffled_trades(int64(*[n * DOLLAR for n in net]), 1_000 * DOLLAR, paths=20_000)
    assert found.loss_chance[200 * DOLLAR] == pytest.approx(losing / 120, abs=0.01)
    known = np.array(falls) * DOLLAR
    for share, fall in zip((0.05, 0.5, 0.95), found.drawdown_micros[:3], strict=True):
        assert (known < fall).mean() <= share + 0.01 and (known <= fall).mean() >= share - 0.01


def test_a_loss_of_exactly_the_level_has_reached_it() -> None:
    for loss, chance in ((200 * DOLLAR, 1.0), (200 * DOLLAR - 1, 0.0)):
        assert shuffled_trades(int64(-loss), 1_000 * DOLLAR, paths=10).loss_chance[200 * DOLLAR] == chance


def test_days_drawn_anew_end_as_the_normal_distribution_says() -> None:
    """Independent returns, blocks of one day: ln of the end has D x mean and sqrt(D) x deviation of ln(1 + r)."""
    returns = np.random.default_rng(2).normal(0.001, 0.01, 400)
    found = bootstrapped_days(returns, 1_000 * DOLLAR, paths=4_000, mean_block=1.0)
    logs = np.log1p(returns)
    for share, end in ((0.05, found.end_micros.p05), (0.5, found.end_micros.p50), (0.95, found.end_micros.p95)):
        expected = 400 * logs.mean() + NormalDist().inv_cdf(share) * math.sqrt(400) * logs.std()
        assert math.log(end / (1_000 * DOLLAR)) == pytest.approx(expected, abs=0.03)


def test_ruin_of_a_fair_walk_is_that_of_the_reflection_principle() -> None:
    """P(ever below -a in D days) = 2 Φ(-a / (s sqrt D)), less what daily steps miss: a + 0.58 s (Siegmund 1979)."""
    steps = np.tile([0.001, -0.001], 200)
    found = bootstrapped_days(steps, 1_000_000 * DOLLAR, paths=4_000, mean_block=1.0, levels=[20_000 * DOLLAR])
    expected = 2 * NormalDist().cdf(-(0.02 + 0.0005) / (0.001 * math.sqrt(400)))
    assert found.loss_chance[20_000 * DOLLAR] == pytest.approx(expected, abs=0.04)


def test_paths_in_pieces_of_any_size_have_the_same_law(monkeypatch: pytest.MonkeyPatch) -> None:
    net = np.random.default_rng(3).integers(-9_000_000, 10_000_000, 50)
    whole = shuffled_trades(net, 1_000 * DOLLAR, paths=2_000)
    monkeypatch.setattr(paths, "CELLS_MAX", 50 * 7)
    found = shuffled_trades(net, 1_000 * DOLLAR, paths=2_000)
    assert found.paths == 2_000 and found.drawdown_micros.p50 == pytest.approx(whole.drawdown_micros.p50, rel=0.05)


def test_dearer_trades_to_the_micro_against_the_trader_mes_guard_05() -> None:
    """Costs of $0.840001 and $1.25 a trade: half of them more is 1.0450005, rounded up to 1.045001."""
    trades = some_trades([5_000_000, -2_000_000], [10, 20], commission=840_001)
    dearer = [5_000_000 - 840_001 - 1_045_001, -2_000_000 - 840_001 - 1_045_001]
    assert dearer_net(trades, Fraction(3, 2)).tolist() == dearer
    once, half, twice = cost_stress(trades)
    assert once.net_micros == 3_000_000 - 1_680_002
    assert half.net_micros == 3_000_000 - 1_680_002 - 2_090_002
    assert twice.net_micros == 3_000_000 - 1_680_002 - 4_180_002
    assert (once.wins, half.wins, twice.wins) == (1, 1, 1)
    assert half.profit_factor.value == 3_114_998 / 3_885_002


def test_how_much_the_trades_would_bear() -> None:
    trades = some_trades([5_000_000], [10], commission=840_000, slippage=1_250_000)
    assert costs_borne(trades).value == (5_000_000 + 1_250_000) / 2_090_000
    assert costs_borne(some_trades([], [])).value is None
    assert costs_borne(some_trades([5], [10], commission=0, slippage=0)).value is None
    assert all(row.mean_micros.value is None for row in cost_stress(some_trades([], [])))
