"""Drawdown over every equity point (MES-METRIC-04, -05): by hand, and against a walk in plain Python with fractions."""

from fractions import Fraction

import numpy as np
import pytest

from tests.research.kit import DOLLAR, HOUR_NS, START_NS, closes, int64, some_days
from trading.research import equity
from trading.research.equity import drawdown
from trading.research.records import Curve, Days, ResearchError


def run_of(points: list[int], sessions: int = 3) -> tuple[Days, Curve]:
    """Hourly points in dollars; the last one is the close of the last session, closes before it lie a day apart."""
    days = some_days([0] * (sessions - 1) + [points[-1] * DOLLAR])
    last = int(days.close_ns[-1])
    times = [last - (len(points) - 1 - i) * HOUR_NS for i in range(len(points))]
    assert times[0] >= START_NS
    return days, Curve(int64(*times), int64(*[point * DOLLAR for point in points]))


def test_the_deepest_share_and_the_deepest_money_may_be_two_falls_mes_metric_04() -> None:
    """1000 → 800 is 20 % and $200; 2000 → 1700 is 15 % and $300."""
    days, curve = run_of([1_000, 1_000, 800, 2_000, 1_700, 1_900])
    found = drawdown(days, curve)
    assert found.share.value == 0.2 and found.micros == 300 * DOLLAR
    assert (found.share_peak_ns, found.share_trough_ns) == (int(curve.ts_ns[1]), int(curve.ts_ns[2]))
    assert (found.micros_peak_ns, found.micros_trough_ns) == (int(curve.ts_ns[3]), int(curve.ts_ns[4]))
    assert found.recovered and found.duration_s.value == 2 * 3_600
    assert found.average.value == pytest.approx((0.2 + 0.15 + 0.05) / 6)


def test_a_fall_that_is_never_made_good_is_counted_to_the_end() -> None:
    days, curve = run_of([1_100, 1_000, 1_050])
    found = drawdown(days, curve)
    assert not found.recovered and found.duration_s.value == 2 * 3_600
    assert found.duration_sessions == 0  # inside one session


def test_the_peak_starts_at_the_starting_capital() -> None:
    days, curve = run_of([900, 950])
    found = drawdown(days, curve)
    assert found.share.value == 0.1 and found.share_peak_ns == days.start_ns and not found.recovered
    assert found.duration_sessions == 2


def test_session_closes_between_peak_and_recovery_are_counted() -> None:
    days = some_days([value * DOLLAR for value in (1_010, 1_000, 1_015, 1_015, 1_030)])
    found = drawdown(days, closes(days))
    assert found.recovered and found.duration_sessions == 2 and found.duration_s.value == 172_800
    assert found.share.value == 10 / 1010 and found.average.value == pytest.approx(10 / 1010 / 5)


def test_nothing_fell_is_undefined_not_zero_mes_metric_05() -> None:
    days, curve = run_of([1_000, 1_001, 1_001, 1_002])
    found = drawdown(days, curve)
    assert found.share.value is None and found.average.value is None and found.micros == 0
    assert found.share.why == equity.NONE_FALLEN and found.recovered


def test_points_that_are_not_this_runs_are_refused() -> None:
    days, curve = run_of([1_000, 1_001])
    with pytest.raises(ResearchError, match="there are no equity points"):
        drawdown(days, Curve(int64(), int64()))
    with pytest.raises(ResearchError, match="differ"):
        drawdown(days, Curve(curve.ts_ns, curve.equity_micros + 1))
    with pytest.raises(ResearchError, match="outside the period"):
        drawdown(days, Curve(curve.ts_ns + HOUR_NS, curve.equity_micros))


@pytest.mark.parametrize("piece", [1, 3, 1_000_000])
def test_random_walks_equal_a_plain_walk_in_pieces_of_any_size(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equity, "PIECE", piece)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        points = (1_000 + rng.integers(-40, 41, int(rng.integers(1, 60))).cumsum()).tolist()
        days, curve = run_of(points)
        found = drawdown(days, curve)
        share, micros, average = plain_walk(days.start_micros, curve.equity_micros.tolist())
        if share == 0:
            assert found.share.value is None
            continue
        assert found.share.value == float(share) and found.micros == micros
        assert found.average.value == pytest.approx(float(average), rel=1e-12)


def plain_walk(start: int, points: list[int]) -> tuple[Fraction, int, Fraction]:
    peak, deepest, most, total = start, Fraction(0), 0, Fraction(0)
    for point in points:
        peak = max(peak, point)
        share = Fraction(peak - point, peak)
        deepest, most, total = max(deepest, share), max(most, peak - point), total + share
    return deepest, most, total / len(points)
