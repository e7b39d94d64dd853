"""Equity of a recorded session at fills, minutes and day ends (MOEX-GATE-01), from the journal alone."""

from pathlib import Path

import numpy as np
import pytest

from marketdata.core.records import new_events
from tests.kernel.desk import Desk, S
from tests.kernel.test_limits import USD, WIDE, trade_to
from tests.run.test_daily import TICK, journal, two_days
from trading.core import records as r
from trading.run.journal.daily import daily_summaries
from trading.run.journal.equity import Equity, cuts, equity_days
from trading.run.journal.reader import JournalReader
from trading.run.journal.recovery import ReplayDiffers
from trading.run.journal.segment import JournalBroken


def of(folder: Path) -> Equity:
    return equity_days(folder, JournalReader(folder).last_seq())


def test_days_begin_and_end_where_the_summary_says_moex_gate_01(tmp_path: Path) -> None:
    """Each day moves by its net: the $100 that were taken out are none of it, and C is the equity at the roll."""
    desk = two_days()
    folder = journal(desk, tmp_path)
    found = of(folder)
    first, second = found.days
    summaries = daily_summaries(folder)
    capital = int(desk.kernel.params.limits[0].capital_micros)
    assert [day.day for day in found.days] == [20260304, 20260305]
    moved = [int(day.equity_micros[-1]) - day.open_micros for day in found.days]
    assert moved == [summary.net_micros for summary in summaries]
    assert (first.open_micros, first.capital_micros) == (capital, capital)
    assert second.open_micros == first.equity_micros[-1]
    assert second.capital_micros == second.open_micros - 100 * USD, "C knows what was taken out"
    assert int(first.ts_ns[-1]) < second.start_ns and bool((np.diff(first.ts_ns) >= 0).all())
    assert len(found.head) == 64
    assert len(first.ts_ns) >= 10, "each of ten fills is a point"


def test_an_open_position_counts_at_each_minute_moex_gate_01(tmp_path: Path) -> None:
    """Nothing is filled between the two minutes; the fall in between them is seen at the first one's end."""
    desk = Desk(WIDE)
    desk.quote(20_000, 20_001, wait_ns=S)
    desk.enter()
    trade_to(desk, 19_941)  # 60 ticks below the entry
    desk.event(r.TIMER, wait_ns=60 * S)
    trade_to(desk, 20_001)
    (day,) = of(journal(desk, tmp_path)).days
    fee = 420_000
    assert day.equity_micros.tolist()[-2:] == [day.open_micros - 60 * TICK - fee, day.open_micros - fee]


def test_a_journal_must_be_its_replay_and_long_enough(tmp_path: Path) -> None:
    folder = journal(two_days(), tmp_path / "a")
    last = JournalReader(folder).last_seq()
    with pytest.raises(JournalBroken, match="are needed"):
        equity_days(folder, last + 1)
    half = equity_days(folder, last // 2)
    assert half.head != of(folder).head and half.days[0].day == 20260304
    with pytest.raises(ReplayDiffers, match="differs from its journal"):
        of(journal(two_days(), tmp_path / "b", spoil=1))


def test_a_session_that_saw_no_market_has_no_day(tmp_path: Path) -> None:
    desk = Desk(ready=False)
    desk.configure()
    assert of(journal(desk, tmp_path)).days == []


def test_where_events_are_cut() -> None:
    """Before a new minute, behind a fill with its outputs, around a booking, never within a minute of quotes."""
    kinds = [0, 0, r.FILL, r.ORDER_STATE, 0, r.TRANSFER, r.HOLD_RAISED, 0, 0]
    seconds = [1, 2, 3, 3, 4, 5, 5, 6, 61]
    events = new_events(len(kinds))
    events["kind"], events["ts_ns"] = kinds, np.array(seconds) * S
    assert cuts(events, minute=0) == [4, 5, 7, 8]
    assert cuts(events, minute=-1) == [0, 4, 5, 7, 8]
    assert cuts(events[:0], minute=0) == []
