"""How far apart a page's frames are."""

import pytest

from desk.dashboard.consumers import WAY_S, period_s


@pytest.mark.parametrize("hz", [1, 4, 5])
def test_a_slow_page_sees_nothing_older_than_its_period(hz: int) -> None:
    assert period_s(hz) + WAY_S == pytest.approx(1 / hz)


def test_a_fast_page_gets_what_it_asks_for() -> None:
    assert period_s(20) == 0.05
