"""Costs and break-even (MES-COST): the published arithmetic, reproduced from the instrument table alone."""

from fractions import Fraction

import pytest

from marketdata.core.instruments import INSTRUMENTS
from risk.core import costs

# root | commission of a round trip, then cost with one and with two market sides of 1 tick slip; dollars and ticks
TABLE_COST_03 = """
MES 0.84 0.672  2.09  1.672   3.34 2.672
ES  2.12 0.1696 14.62 1.1696 27.12 2.1696
MNQ 0.84 1.68   1.34  2.68    1.84 3.68
NQ  2.12 0.424  7.12  1.424  12.12 2.424
"""


@pytest.mark.parametrize("row", TABLE_COST_03.strip().splitlines())
def test_published_costs_of_a_round_trip_mes_cost_03(row: str) -> None:
    symbol, *published = row.split()
    spec = INSTRUMENTS[symbol]
    for slipped, (dollars, ticks) in enumerate(zip(published[::2], published[1::2], strict=True)):
        micros = costs.round_trip_cost_micros(spec.fee_micros, spec.tick_value_micros, slipped)
        assert Fraction(micros, 1_000_000) == Fraction(dollars)
        assert Fraction(micros, spec.tick_value_micros) == Fraction(ticks)


def test_commission_is_linear_in_contracts_mes_cost_01() -> None:
    for contracts in (1, 2, 10, 1_000_000):
        assert costs.round_trip_micros(420_000, contracts) == contracts * 840_000


def test_the_fee_alert_starts_above_one_cent_a_side_mes_cost_02() -> None:
    assert not costs.fee_differs(430_000, 420_000, 1)
    assert not costs.fee_differs(410_000, 420_000, 1)
    assert costs.fee_differs(430_001, 420_000, 1)
    assert not costs.fee_differs(3 * 430_000, 420_000, 3)
    assert costs.fee_differs(3 * 430_000 + 1, 420_000, 3)


def test_the_edge_ceiling_is_one_dollar_sixty_six_mes_cost_04() -> None:
    assert costs.edge_ceiling_micros(420_000, 1_250_000, 1) == 1_660_000


# stop target | before cost | W and L from fill in ticks | p* from fill, from signal price, in tenths of a percent
TABLE_COST_05 = """
8 8  500  7.328 9.672 569 628
8 12 400 11.328 9.672 461 508
8 16 333 15.328 9.672 387 427
8 24 250 23.328 9.672 293 323
"""


@pytest.mark.parametrize("row", TABLE_COST_05.strip().splitlines())
def test_break_even_rates_mes_cost_05(row: str) -> None:
    stop, target, before, win_ticks, loss_ticks, from_fill, from_signal = row.split()
    tick, fee = 1_250_000, 420_000
    win, loss = costs.outcome_micros(int(stop), int(target), tick, fee, 1, False)
    assert (Fraction(win, tick), Fraction(loss, tick)) == (Fraction(win_ticks), Fraction(loss_ticks))
    assert _tenths(costs.break_even_ppm(win, loss)) == int(from_fill)
    far_win, far_loss = costs.outcome_micros(int(stop), int(target), tick, fee, 1, True)
    assert (win - far_win, far_loss - loss) == (tick, tick), "W one tick less, L one tick more"
    assert _tenths(costs.break_even_ppm(far_win, far_loss)) == int(from_signal)
    assert _tenths(costs.break_even_ppm(*costs.outcome_micros(int(stop), int(target), tick, 0, 0, False))) == int(
        before
    )


def _tenths(ppm: int) -> int:
    """ppm → tenths of a percent, nearest."""
    return (ppm + 500) // 1000


def test_break_even_is_rounded_up_and_a_worthless_target_never_pays_mes_cost_05() -> None:
    for win in range(1, 60, 7):
        for loss in range(0, 60, 7):
            exact = Fraction(loss * 1_000_000, win + loss)
            assert costs.break_even_ppm(win, loss) == exact.__ceil__()
    assert costs.break_even_ppm(0, 5) == costs.break_even_ppm(-3, 5) == 1_000_000


# spread | thin | now, sum, samples: ratio = now x samples / sum | ticks
TABLE_COST_06 = """
1 0 10 100 10 1
2 0 10 100 10 1
3 0 10 100 10 2
1 1 10 100 10 2
1 0 30 100 10 1
3 0 30 100 10 2
1 0 31 100 10 4
1 1 31 100 10 4
1 0 50 100 10 4
1 0 51 100 10 7
1 0 70 100 10 7
1 0 71 100 10 8
1 0 99 0   10 1
1 0 99 100 0  1
"""


@pytest.mark.parametrize("row", TABLE_COST_06.strip().splitlines())
def test_conditional_slippage_is_the_worst_case_rounded_up_mes_cost_06(row: str) -> None:
    """Ratio 3 is normal; 3.1 adds 1.05 to 2 → 4; 5 adds 2 to 2; 5.1 is extreme, 4 + 2.05 → 7; 7 is 4 + 3 exactly."""
    spread, thin, now, total, samples, expected = (int(word) for word in row.split())
    assert costs.slip_ticks(True, 1, spread, bool(thin), now, total, samples) == expected
    assert costs.slip_ticks(False, 3, spread, bool(thin), now, total, samples) == 3


def test_commission_of_shares_is_rounded_up_to_a_micro_moex_paper_01() -> None:
    assert costs.commission_micros(10_002, 9, 100_000, 500) == 4_500_900  # 4.5009 RUB (12.6)
    assert costs.commission_micros(1, 1, 1, 500) == 1
    assert costs.commission_micros(2**31, 1_000_000, 1_000, 500) == 2**31 * 10**9 * 500 // 10**6


def test_expected_cost_is_half_the_spread_and_the_commission_moex_route_02() -> None:
    # 9 lots of 10 at 100.02, spread 1 kopeck: 0.45 RUB and 4.5009 RUB
    assert costs.expected_cost_micros(9, 1, 10_002, 100_000, 500) == 450_000 + 4_500_900
