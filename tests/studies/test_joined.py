"""Four points a session are enough for the deepest fall of any joined curve; what was kept of a promise (MES-WF-04)."""

import numpy as np
import pytest

from tests.research.kit import DOLLAR, some_days, some_trades
from trading.research.equity import drawdown
from trading.research.forward.joined import Outside, efficiency, joined, turns_of
from trading.research.records import Curve, Days, ResearchError


def wandering(seed: int, sessions: int, points: int) -> tuple[Days, Curve]:
    """A curve with many points a session, the last of each at its close."""
    rng = np.random.default_rng(seed)
    start = 1_000 * DOLLAR
    equity = start + np.cumsum(rng.integers(-3, 4, sessions * points)) * DOLLAR
    days = some_days(equity[points - 1 :: points].tolist(), start)
    offsets = np.arange(points - 1, -1, -1) * 1_000_000_000
    ts_ns = (days.close_ns[:, None] - offsets[None, :]).ravel()
    return days, Curve(ts_ns, equity.astype(np.int64))


@pytest.mark.parametrize("seed", range(20))
def test_the_kept_points_have_the_deepest_fall_mes_metric_04(seed: int) -> None:
    days, whole = wandering(seed, sessions=6, points=40)
    turns = turns_of(whole.ts_ns, whole.equity_micros, days.close_ns)
    assert turns.shape[1] <= 5 * 6
    exact, kept = drawdown(days, whole), drawdown(days, Curve(turns[0].copy(), turns[1].copy()))
    assert (kept.share, kept.micros) == (exact.share, exact.micros)
    assert (kept.share_trough_ns, kept.micros_trough_ns) == (exact.share_trough_ns, exact.micros_trough_ns)


def test_tests_are_joined_by_what_they_made() -> None:
    days, whole = wandering(3, sessions=8, points=10)
    turns = turns_of(whole.ts_ns, whole.equity_micros, days.close_ns)
    parts = []
    for at in (slice(0, 4), slice(4, 8)):
        start = days.start_micros if at.start == 0 else int(days.equity_micros[at.start - 1])
        shift = days.start_micros - start
        own = Days(
            int(days.close_ns[at][0]) - 10**13, days.start_micros, days.trading_day[at], days.close_ns[at],
            days.equity_micros[at] + shift,
        )  # fmt: skip
        edge = int(days.close_ns[3])
        mine = turns[:, turns[0] <= edge] if at.start == 0 else turns[:, turns[0] > edge]
        closes = some_trades([2 * DOLLAR], [int(own.close_ns[0])])
        parts.append(Outside(closes, own, np.stack([mine[0], mine[1] + shift])))
    trades, found, curve = joined(days.start_micros, parts)
    assert found.equity_micros.tolist() == days.equity_micros.tolist() and len(trades) == 2
    assert curve.equity_micros.tolist() == turns[1].tolist()
    with pytest.raises(ResearchError, match="overlap or are out of order"):
        joined(days.start_micros, parts[::-1])
    with pytest.raises(ResearchError, match="no test to put together"):
        joined(days.start_micros, [])


def test_efficiency_is_what_was_kept_of_the_promise() -> None:
    """$10 a session promised, $6 kept; without a promise there is nothing to keep."""
    assert efficiency([(200 * DOLLAR, 20), (0, 0)], [(24 * DOLLAR, 4)]).value == pytest.approx(0.6)
    assert efficiency([(-1, 20)], [(24 * DOLLAR, 4)]).why.startswith("The chosen parameters made nothing")
    assert efficiency([], []).why == "No fold was run"
