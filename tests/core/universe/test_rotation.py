"""States, seeding, the decision, its brakes, the operator's replace and the gate, rule by rule."""

import numpy as np
import pytest

from marketdata.core.universe import step
from marketdata.core.universe.records import (
    ACTIVATED,
    ACTIVE,
    DEMOTED,
    MONITORED,
    NOBODY,
    OUTSIDE,
    SUBSCRIBED,
    SUBSCRIBING,
    SWAP_VOID,
    UNHEALTHY_CLEARED,
    UNHEALTHY_SET,
    new_members,
    new_news,
    new_universe,
)
from tests.core.universe.kit import SECOND, Pool


def seeded(held: list[int], restored: list[int], monitored: list[int], hedge: int = NOBODY, count: int = 40) -> list:
    universe, members = new_universe(), new_members([1] * count)
    first, then, rest = (np.array(part, np.int64) for part in (held, restored, monitored))
    pool = step.seed(universe, members, first, then, rest, hedge, new_news())
    assert pool == (members["state"] != OUTSIDE).sum() <= 30
    return np.flatnonzero(members["state"] == SUBSCRIBING).tolist()


def test_seeding_takes_positions_then_the_restored_then_the_first_listed_moex_data_04() -> None:
    listed = list(range(30))
    assert seeded([], [], listed) == list(range(15))
    assert seeded([29, 29, 3], [], listed) == [*range(14), 29]
    assert seeded([29], [20, 21, 20], listed) == [20, 21, 29]
    assert seeded([29, 5], [], listed, hedge=29) == [*range(15)]


def test_the_pool_is_cut_to_thirty_and_the_slots_to_fifteen_moex_data_01() -> None:
    assert seeded(list(range(20, 40)), [], list(range(40))) == list(range(20, 35))


def settled(count: int = 4, slots: int = 2) -> Pool:
    """`slots` ACTIVE members that are past their dwell, all known and good, all with a fresh book."""
    pool = Pool(count, slots)
    for which in range(count):
        pool.know(which)
    pool.members["state"][:slots] = ACTIVE
    pool.members["entered_ns"][:slots] = pool.now - 1_000 * SECOND
    return pool


def fresh(pool: Pool, *names: int) -> None:
    """Their newest book lasts for what the test does next."""
    for which in names:
        pool.book(which)
        pool.members["valid_ns"][which] = pool.members["book_ns"][which] = pool.now + 600 * SECOND


def test_subscribing_waits_for_the_confirmation_and_a_fresh_book_moex_data_05() -> None:
    pool = Pool(1)
    pool.members["state"], pool.members["confirmed"] = SUBSCRIBING, 0
    pool.book(0)
    assert pool.second() == []
    pool.members["confirmed"] = 1
    assert pool.second() == [[ACTIVATED, 0, NOBODY]]
    assert pool.state(0) == ACTIVE


def test_after_ten_seconds_of_trading_a_waiting_one_is_monitored_again_without_cool_down() -> None:
    pool = Pool(1)
    pool.members["state"], pool.members["trading"] = SUBSCRIBING, 0
    for _ in range(50):
        assert pool.second() == []  # seeds started before the open wait
    pool.members["trading"] = 1
    for _ in range(9):
        assert pool.second() == []
    assert pool.second() == [[SWAP_VOID, 0, NOBODY]]
    assert pool.state(0) == MONITORED and pool.members["left_ns"][0] < 0


def test_a_vacant_slot_takes_the_candidate_with_the_highest_ratio_moex_data_08() -> None:
    pool = settled()
    pool.members["state"][1] = MONITORED
    pool.members["left_ns"][1] = pool.now  # in its cool-down
    pool.know(2, r=1.1)
    pool.know(3, r=1.2)
    assert pool.decide() == [[SUBSCRIBED, 3, NOBODY]]


@pytest.mark.parametrize("bad", [{"spread": 0.00051}, {"r": 0.69}, {"vol": 0.05}])
def test_a_candidate_meets_all_three_criteria(bad: dict[str, float]) -> None:
    pool = settled(2, 2)
    pool.members["state"][1] = MONITORED
    pool.know(1, **bad)
    assert pool.decide() == []
    pool.know(1)
    assert pool.decide() == [[SUBSCRIBED, 1, NOBODY]]


@pytest.mark.parametrize("bad", [{"spread": 0.0011}, {"r": 0.5}, {"vol": 0.049}])
def test_a_triggered_one_changes_places_in_one_step(bad: dict[str, float]) -> None:
    pool = settled()
    pool.know(0, **bad)
    assert pool.decide() == [[SUBSCRIBED, 2, 0], [UNHEALTHY_SET, 0, NOBODY]]
    assert (pool.state(0), pool.state(2)) == (ACTIVE, SUBSCRIBING)
    fresh(pool, 2)
    assert pool.second() == [[DEMOTED, 0, 2], [UNHEALTHY_CLEARED, 0, NOBODY], [ACTIVATED, 2, NOBODY]]
    assert (pool.state(0), pool.state(2)) == (MONITORED, ACTIVE)
    assert pool.universe["rotations"][0] == 1


def test_unknown_metrics_trigger_nothing() -> None:
    pool = settled()
    pool.know(0, spread=0.5, r=0.1, vol=0.0)
    pool.members["samples"][0] = 0  # so that `decide` of the kit does not refresh it
    pool.members["sampled_ns"][0] = pool.members["vol_sampled_ns"][0] = pool.now - 60 * SECOND
    assert pool.decide() == []


def test_at_most_three_leave_in_the_order_of_the_widest_spread() -> None:
    pool = settled(12, 5)
    for which, spread in enumerate((0.002, 0.006, 0.003, 0.005, 0.004)):
        pool.know(which, spread=spread)
    assert [row for row in pool.decide() if row[0] == SUBSCRIBED] == [
        [SUBSCRIBED, 5, 1],
        [SUBSCRIBED, 6, 3],
        [SUBSCRIBED, 7, 4],
    ]
    assert pool.members["unhealthy"][:5].tolist() == [1, 1, 1, 1, 1]


def test_dwell_and_cool_down_are_exact_moex_data_09() -> None:
    pool = settled(3, 1)
    pool.know(0, spread=0.01)
    decision = (pool.now // (60 * SECOND) + 1) * 60 * SECOND
    pool.members["entered_ns"][0] = decision - 300 * SECOND + 1
    pool.members["left_ns"][1:] = decision - 900 * SECOND + 1
    assert pool.decide() == [[UNHEALTHY_SET, 0, NOBODY]]
    decision += 60 * SECOND
    pool.members["entered_ns"][0] = decision - 300 * SECOND
    assert pool.decide() == [[SUBSCRIBED, 1, 0]]
    other = settled(3, 1)
    other.know(0, spread=0.01)
    other.members["left_ns"][1:] = decision - 60 * SECOND - 900 * SECOND + 1
    assert other.decide() == [[UNHEALTHY_SET, 0, NOBODY]]


def test_one_with_a_position_is_never_rotated_and_cancels_a_waiting_swap() -> None:
    pool = settled()
    pool.know(0, spread=0.01)
    pool.members["pinned"][0] = 1
    assert pool.decide() == [[UNHEALTHY_SET, 0, NOBODY]]
    pool.members["pinned"][0] = 0
    assert pool.decide() == [[SUBSCRIBED, 2, 0]]
    pool.know(0)  # its recovery does not cancel, and ends the hold
    assert pool.second() == [[UNHEALTHY_CLEARED, 0, NOBODY]]
    assert pool.state(2) == SUBSCRIBING
    pool.members["pinned"][0] = 1
    fresh(pool, 2)
    assert pool.second() == [[SWAP_VOID, 2, 0]]
    assert (pool.state(0), pool.state(2)) == (ACTIVE, MONITORED)


def test_an_hour_of_healthy_unlike_instruments_rotates_nothing_moex_acc_205() -> None:
    pool = Pool(30)
    pool.members["state"][:15] = SUBSCRIBING
    for k in range(3_600):
        for which in range(30):
            pool.book(which, 100_000 - 5 - which % 7, 100_000 + 5 + which % 5, 10.0 ** (3 + which % 7))
        if k % 60 == 0:
            for which in range(30):
                pool.candle(which, pool.now, 100_000 + (k // 60 % 2) * (50 + which))
        pool.second()
    assert pool.universe["rotations"][0] == 0
    assert np.flatnonzero(pool.members["state"] == ACTIVE).tolist() == list(range(15))


def test_an_operators_replace_says_why_not_moex_data_11() -> None:
    pool = settled(6, 2)
    pool.members["state"][5] = OUTSIDE
    assert pool.replace(0, 5) == pool.replace(0, 9) == pool.replace(-1, 2) == step.NOT_IN_POOL
    assert pool.replace(0, 0) == step.SAME
    assert pool.replace(2, 3) == step.NOT_ACTIVE
    assert pool.replace(0, 1) == step.IS_ACTIVE
    pool.members["pinned"][0] = 1
    assert pool.replace(0, 2) == step.IS_PINNED
    pool.members["pinned"][0] = 0
    pool.members["entered_ns"][0] = pool.now - 300 * SECOND + 1
    assert pool.replace(0, 2) == step.IN_DWELL
    pool.members["entered_ns"][0] = pool.now - 300 * SECOND
    pool.members["left_ns"][2] = pool.now - 900 * SECOND + 1
    assert pool.replace(0, 2) == step.IN_COOLDOWN
    assert set(step.REPLACE_REFUSALS) == set(range(1, 8))


def test_a_taken_replace_changes_places_when_the_new_one_is_ready() -> None:
    pool = settled()
    fresh(pool, 0, 1)
    assert pool.replace(0, 3) == step.REPLACE_TAKEN
    assert pool.replace(0, 2) == step.REPLACE_TAKEN  # the second wish voids the first
    assert (pool.state(2), pool.state(3)) == (SUBSCRIBING, MONITORED)
    fresh(pool, 2)
    pool.second()
    assert (pool.state(0), pool.state(2)) == (MONITORED, ACTIVE)


def test_the_gate_lists_missing_stale_empty_and_invalid_moex_data_14() -> None:
    pool = Pool(6)
    faults = np.zeros(6, np.int64)
    assert not step.gate(pool.members, pool.now, faults)  # no active instrument trades
    pool.members["state"] = ACTIVE
    for which in range(1, 6):
        pool.book(which)
    pool.members["book_ns"][1] = pool.members["valid_ns"][1] = pool.now - 5 * SECOND - 1
    pool.members["valid_ns"][2:4] = pool.now - 6 * SECOND
    pool.members["book_empty"][2] = 1
    pool.members["valid_ns"][4] = pool.now - 5 * SECOND  # exactly five seconds pass
    assert not step.gate(pool.members, pool.now, faults)
    assert faults.tolist() == [step.MISSING, step.STALE, step.EMPTY, step.INVALID, step.PASSES, step.PASSES]
    pool.members["trading"][:4] = 0
    assert step.gate(pool.members, pool.now, faults)
    pool.members["trading"] = 0
    assert not step.gate(pool.members, pool.now, faults)


def test_sixty_failing_seconds_of_trading_end_it_unless_it_is_pinned_moex_data_14() -> None:
    pool = settled(2, 2)
    pool.members["pinned"][1] = 1
    for _ in range(59):
        pool.second()
    assert (pool.state(0), pool.state(1)) == (ACTIVE, ACTIVE)
    pool.second()
    assert (pool.state(0), pool.state(1)) == (MONITORED, ACTIVE)
