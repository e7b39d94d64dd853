"""Routing of MOEX orders (MOEX-ROUTE): the published table, every order up to 100 lots, the children's prices."""

import pytest

from marketdata.core.records import BUY, NO_TICK, SELL
from risk.core.shares import routing

MS = 1_000_000
TABLE_12_2 = """
-3  ioc  10
0   ioc  10
1   ioc  10 1
2   ioc  10 2
3   ioc  10 3
4   ioc  10 4
5   ioc  10 5
6   vwap 8  5 1
7   vwap 8  6 1
8   vwap 8  6 2
9   vwap 8  7 2
10  vwap 8  8 2
13  vwap 8  10 3
25  vwap 8  20 5
100 vwap 8  80 20
"""


@pytest.mark.parametrize("row", TABLE_12_2.strip().splitlines())
def test_published_routes_moex_route_01(row: str) -> None:
    lots, strategy, tenths, *slices = row.split()
    name, aggressiveness, count, aggressive, passive = routing.route(int(lots), False)
    assert (routing.STRATEGIES[name], aggressiveness) == (strategy, int(tenths))
    assert [part for part in (aggressive, passive) if part] == [int(part) for part in slices]
    assert count == len(slices)


@pytest.mark.parametrize("one_child", [False, True])
def test_every_order_from_0_to_100_lots_moex_acc_105(one_child: bool) -> None:
    for lots in range(101):
        strategy, tenths, count, aggressive, passive = routing.route(lots, one_child)
        assert aggressive + passive == lots and aggressive >= passive >= 0
        assert count == (aggressive > 0) + (passive > 0)
        single = one_child or lots <= 5
        assert (strategy, tenths) == ((routing.IOC, 10) if single else (routing.VWAP, 8))
        if not single:
            # four fifths to the nearest lot, a half rounded up
            assert 2 * abs(10 * aggressive - 8 * lots) <= 10 and passive >= 1


@pytest.mark.parametrize(
    ("side", "best", "expected"),
    [(BUY, 10_002, 10_007), (SELL, 10_002, 9_997), (BUY, 1_999, 1_999), (SELL, 1_999, 1_999), (BUY, 2_000, 2_001)],
)
def test_the_aggressive_limit_is_rounded_inward_moex_route_03(side: int, best: int, expected: int) -> None:
    """Best ask 100.02, tick 0.01 → 100.07 (12.6); under 2000 ticks 5 bps are less than a tick."""
    assert routing.aggressive_tick(side, best, routing.ENTRY_SLIPPAGE_PPM) == expected


def test_the_limit_never_leaves_its_five_basis_points_moex_route_03() -> None:
    for best in range(1, 50_000, 37):
        buy, sell = (routing.aggressive_tick(side, best, 500) for side in (BUY, SELL))
        assert best <= buy and (buy - best) * 10_000 <= 5 * best < (buy - best + 1) * 10_000
        assert best - sell == buy - best


# attempt | side | book | emergency | allowed | type | tick at best 10 000
TABLE_EXITS = """
1 BUY  1 0 any  fill-and-kill 10010
1 SELL 1 0 any  fill-and-kill 9990
2 BUY  1 0 any  fill-and-kill 10030
3 BUY  1 0 any  best-price    none
9 SELL 1 0 any  best-price    none
1 SELL 0 0 any  best-price    none
1 SELL 1 1 any  fill-and-kill 9990
2 SELL 1 1 any  fill-and-kill 9970
3 SELL 1 1 any  market        none
3 SELL 0 1 any  market        none
2 SELL 0 1 any  best-price    none
1 SELL 1 0 best best-price    none
3 SELL 1 1 best best-price    none
3 SELL 1 0 limit fill-and-kill 9970
3 SELL 0 0 limit best-price    none
"""


@pytest.mark.parametrize("row", TABLE_EXITS.strip().splitlines())
def test_the_ladder_of_exits_moex_route_03(row: str) -> None:
    attempt, side, book, emergency, allowed, kind, tick = row.split()
    codes = {"any": routing.ANY_TYPE, "limit": routing.LIMIT_ONLY, "best": routing.BESTPRICE_ONLY}
    sent, at = routing.exit_child(
        int(attempt), BUY if side == "BUY" else SELL, 10_000, book == "1", emergency == "1", codes[allowed]
    )
    assert routing.EXIT_TYPES[sent] == kind.replace("-", " ")
    assert at == (NO_TICK if tick == "none" else int(tick))


@pytest.mark.parametrize(
    ("lots", "volume", "gap_ms"),
    [(10, 0, 5_000), (10, 600, 1_000), (10, 6_000, 200), (10, 100_000, 200), (100, 600, 5_000), (6, 720, 500)],
)
def test_the_passive_child_waits_for_its_share_of_volume_moex_route_04(lots: int, volume: int, gap_ms: int) -> None:
    gap = routing.passive_gap_ns(lots, volume)
    assert gap == gap_ms * MS
    assert routing.passive_window(1_000, gap) == (1_000 + gap, 1_000 + gap + 500 * MS)


def test_the_gap_is_never_shorter_than_the_pace_moex_route_04() -> None:
    assert routing.passive_gap_ns(7, 539) == 779_220_780  # 7 x 60 / 539 s = 0.779220779…
    assert routing.passive_gap_ns(1_000_000, 1_000_000_000) == 200 * MS


def test_the_passive_child_never_pays_more_than_the_first_moex_route_04() -> None:
    assert routing.passive_tick(BUY, 9_990, 10_000) == 9_990
    assert routing.passive_tick(BUY, 10_004, 10_000) == 10_000
    assert routing.passive_tick(SELL, 10_004, 10_000) == 10_004
    assert routing.passive_tick(SELL, 9_990, 10_000) == 10_000
