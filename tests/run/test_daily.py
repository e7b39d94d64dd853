"""The summary of a trading day (MES-BREAK-04): exact, by the kernel's own day, from the journal alone."""

from pathlib import Path

import numpy as np
import pytest

from marketdata.core.records import ACCOUNT_SCOPE
from risk.core.records import MES
from tests.kernel.desk import Desk, S
from tests.kernel.test_limits import USD, WIDE, lose, next_day
from tests.kernel.test_past import heir, left, state, unreadable
from trading.core import records as r
from trading.run.journal.closing import past_of
from trading.run.journal.daily import NO_HISTORY, SHARPE_DAYS, Day, daily_summaries, history_of
from trading.run.journal.recovery import ReplayDiffers
from trading.run.journal.writer import JournalWriter
from trading.run.replica import Kernel

FEE = 840_000  # of a round trip
TICK = 1_250_000


def journal(desk: Desk, folder: Path, spoil: int = -1) -> Path:
    """What this desk lived, as a journal; `spoil`: index of the trade whose result is changed by one micro."""
    frames = Kernel().apply(np.concatenate(desk.given)).copy()
    if spoil >= 0:
        frames["value"][np.flatnonzero(frames["kind"] == r.TRADE_CLOSED)[spoil]] += 1
    writer = JournalWriter(folder, 1, 1, "code")
    writer.append(frames, np.zeros((len(frames), 2), np.int64), np.zeros(len(frames), np.int64), durable=False)
    writer.close()
    return folder


def morning(desk: Desk, day: int) -> None:
    """The next trading day, reconciled."""
    next_day(desk, day)
    desk.reconcile()


def two_days() -> Desk:
    desk = Desk(WIDE | {"streak_soft": 3})
    lose(desk, 4)
    lose(desk, -12)
    desk.event(r.TRANSFER, instrument=ACCOUNT_SCOPE, value=-100 * USD)
    for _ in range(3):
        lose(desk, 8)
    desk.quote(20_000, 20_001)
    desk.score()  # refused: the streak holds
    morning(desk, 20260305)
    lose(desk, -2)
    return desk


def test_each_day_by_hand_mes_break_04(tmp_path: Path) -> None:
    desk = two_days()
    first, second = daily_summaries(journal(desk, tmp_path))
    assert (first.day, first.trades, first.wins, first.losses, first.zeros) == (20260304, 5, 1, 4, 0)
    assert first.gross_micros == (-4 + 12 - 3 * 8) * TICK
    assert first.fee_micros == 5 * FEE
    assert first.net_micros == first.gross_micros - first.fee_micros
    assert first.transfer_micros == -100 * USD
    assert first.largest_win_micros == 12 * TICK - FEE
    assert first.largest_loss_micros == -8 * TICK - FEE
    assert first.mean_loss_micros == (-(4 + 3 * 8) * TICK - 4 * FEE) / 4
    assert first.win_rate_20 == 1 / 5
    assert first.sharpe_daily is None, "fewer than 20 days"
    assert first.holds[-1].code == "LOSS_STREAK" and first.holds[-1].cleared_ns is None, "it stood at the day's end"
    assert {held.code for held in first.holds[:-1] if held.cleared_ns is None} == set(), "those of the start are over"
    assert first.refusals == {"LOSS_STREAK": 1}
    assert (second.day, second.trades, second.win_rate_20) == (20260305, 1, 2 / 6)
    assert second.net_micros == 2 * TICK - FEE
    assert second.largest_loss_micros is None and second.mean_loss_micros is None
    carried = second.holds[0]
    assert (carried.code, carried.raised_ns) == ("LOSS_STREAK", first.holds[-1].raised_ns)
    assert carried.cleared_ns is not None
    balance = int(desk.account.balance_micros)
    capital = int(desk.kernel.params.limits[0].capital_micros)
    assert balance == capital - 100 * USD + first.net_micros + second.net_micros, "it reconciles to the micro"


def test_the_drawdown_counts_open_money_and_no_transfer_mes_break_04(tmp_path: Path) -> None:
    desk = Desk(WIDE)
    lose(desk, -12)  # the day's peak, but for the fees of the next trade
    desk.event(r.TRANSFER, instrument=ACCOUNT_SCOPE, value=-300 * USD)
    desk.quote(20_000, 20_001, wait_ns=S)
    desk.enter()
    desk.quote(19_993, 19_994)  # 14 half ticks below the entry's 20 001, and more to buy than to sell
    (day,) = daily_summaries(journal(desk, tmp_path))
    peak = 12 * TICK - FEE
    equity = int(desk.account.equity_micros) + 300 * USD - int(desk.kernel.params.limits[0].capital_micros)
    assert day.max_drawdown_micros >= peak - equity > 0
    assert day.max_drawdown_micros < 20 * TICK, "the transfer is none of it"
    assert day.trades == 1, "the open one is not counted"


def test_twenty_days_have_a_sharpe_mes_break_04(tmp_path: Path) -> None:
    desk = Desk(WIDE)
    start = int(desk.account.balance_micros)
    nets = []
    for i in range(20):
        ticks = -3 if i % 2 else 2
        lose(desk, ticks)
        nets.append(-ticks * TICK - FEE)
        if i < 19:
            morning(desk, 20260401 + i)
    days = daily_summaries(journal(desk, tmp_path))
    assert [day.net_micros for day in days] == nets
    returns = []
    for net in nets:
        returns.append(net / start)
        start += net
    mean = sum(returns) / 20
    deviation = (sum((x - mean) ** 2 for x in returns) / 19) ** 0.5
    assert days[-1].sharpe_daily == pytest.approx(mean / deviation * 252**0.5, rel=1e-12)
    assert all(day.sharpe_daily is None for day in days[:-1])


def test_a_journal_that_is_not_its_replay_is_refused(tmp_path: Path) -> None:
    folder = journal(two_days(), tmp_path, spoil=1)
    with pytest.raises(ReplayDiffers, match="differs from its journal at seq"):
        daily_summaries(folder)


def test_a_desk_without_a_day_has_no_summary(tmp_path: Path) -> None:
    desk = Desk(ready=False)
    desk.event(r.TIMER)
    found: list[Day] = daily_summaries(journal(desk, tmp_path))
    assert found == []


def test_a_heirs_first_day_is_its_own_mes_break_04(tmp_path: Path) -> None:
    """The day that the past told was lived by another session: no row of it, and nothing of it in the figures."""
    before = Desk(WIDE)
    lose(before, 8)
    past = past_of(left(before), MES, before.now_ns)
    desk = heir(past, WIDE, before.now_ns + 20 * 3600 * S, 20260305)
    lose(desk, 2)
    (day,) = daily_summaries(journal(desk, tmp_path))
    assert (day.day, day.trades, day.net_micros) == (20260305, 1, -2 * TICK - FEE)
    assert day.max_drawdown_micros == 2 * TICK + FEE, "from the balance it opened with"


def test_a_stated_balance_is_no_result_mes_break_04(tmp_path: Path) -> None:
    desk = unreadable(WIDE)
    state(desk)
    desk.command(r.RESET_HALT)
    desk.command(r.RESUME)
    lose(desk, 2)
    (day,) = daily_summaries(journal(desk, tmp_path))
    assert (day.net_micros, day.transfer_micros) == (-2 * TICK - FEE, 900 * USD - WIDE["capital_micros"])


def test_the_last_twenty_reach_into_the_sessions_before_mes_break_04(tmp_path: Path) -> None:
    """One journal, or the same days cut into sessions, a day in the middle included: the same figures."""
    days = [(20260301 + i, 100 * (i % 3) - 90, 10_000 - i) for i in range(23)]
    whole = NO_HISTORY
    for day in days:
        whole = whole.after(*day).traded(day[1])
    assert len(whole.days) == SHARPE_DAYS and whole.days[-1] == days[-1] and whole.is_enough
    for cut in range(1, len(days)):
        first = second = NO_HISTORY
        for day in days[:cut]:
            first = first.after(*day).traded(day[1])
        for day in days[cut:]:
            second = second.after(*day).traded(day[1])
        assert first.joined(second) == whole
    number, net, start = days[-1]
    halves = NO_HISTORY.after(number, net - 7, start).joined(NO_HISTORY.after(number, 7, start + net - 7))
    assert halves.days == (days[-1],), "the second half of a day belongs to its first"
    desk = two_days()
    folder = journal(desk, tmp_path)
    own = history_of(folder)
    assert [day for day, _, _ in own.days] == [20260304, 20260305] and len(own.nets) == 6
    before = NO_HISTORY._replace(nets=(1,) * 20, days=tuple(days[:3]))
    alone, after = daily_summaries(folder), daily_summaries(folder, before)
    assert [day.net_micros for day in alone] == [day.net_micros for day in after]
    assert (alone[1].win_rate_20, after[1].win_rate_20) == (2 / 6, 16 / 20)
    assert after[1].sharpe_daily is None, "five days are not twenty"
    before = NO_HISTORY._replace(days=tuple(days[:18]))
    assert daily_summaries(folder, before)[1].sharpe_daily is not None
