"""Acceptance of the futures' risk sections by name: MES-ACC-10.0.2, -10A, -X8, -X10.

Observable behaviour of real parts: the kernel with the paper venue's own account, and `manage.py backtest` on files.
"""

import json
import random
import re
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import call_command

from marketdata.calendars import SCHEDULES, cme_sessions, session_phases, windows
from marketdata.core.records import ACCOUNT_SCOPE, BOOK, TRADE
from marketdata.core.sessions import AGGRESSIVE_EXIT, CLOSE_ONLY, NORMAL
from risk.core import codes
from risk.core.holds import BIT
from tests.architecture.source import sources
from tests.backtest import market
from tests.backtest.compare import draw, plan_with, through_loop
from tests.kernel.desk import Desk, S, decision, standing
from tests.kernel.test_limits import USD, lose
from tests.why.venue import SHOWN, Trading
from trading.core import records as r
from trading.core.protect import BY_HOLD
from trading.run.replica import Kernel

NEW_YORK = ZoneInfo("America/New_York")
MONDAY = "2026-03-16"  # behind the window of a `Desk`, a week after the clocks changed
USUAL = {"move_ticks_max": 10_000, "cooldown_entry_ns": 0, "cooldown_exit_ns": 0}


# --- MES-ACC-10.0.2: a fake clock through a whole day ---
class Day:
    """A kernel and the paper venue's account through one trading day of schedule `topstep`, on a clock of our own."""

    def __init__(self, folder: Path) -> None:
        self.trading = Trading(folder, 3, recon_age_ns_max=2**60)
        self.desk = self.trading.desk
        first_ns = market.at("2026-03-15", "18:00:00")
        for phase, start, end, day in windows("topstep", "cme", first_ns, 2):
            self.desk.event(r.WINDOW_SET, instrument=ACCOUNT_SCOPE, code=phase, value=start, until_ns=end, ref=day)
        assert self.desk.account.window_count > 8

    def moment(self, clock: str, day: str = MONDAY, score: bool = False) -> None:
        """A second of market and clock at New York's wall clock."""
        self.desk.now_ns = market.at(day, clock)
        for k in range(6):
            price = {"bid_tick": 20_000, "ask_tick": 20_001, "bid_qty": SHOWN, "ask_qty": SHOWN}
            if k % 2:
                self.trading.market(TRADE, price_tick=20_000, qty=1)
            else:
                self.trading.market(BOOK, **price)
            if k == 1 and score:
                self.trading.send(self.desk.score(1, wait_ns=1))
        self.trading.send(self.desk.event(r.TIMER))

    def journal(self, kind: int) -> np.ndarray:
        """What the kernel said of this kind, in order."""
        frames = Kernel().apply(np.concatenate(self.desk.given))
        return frames[frames["kind"] == kind]

    def sent(self, role: int) -> list[str]:
        """New York's clock of every order of this role."""
        rows = self.journal(r.SUBMIT)
        times = rows["ts_ns"][rows["role"] == role].tolist()
        return [f"{datetime.fromtimestamp(at // S, NEW_YORK):%H:%M:%S}" for at in times]


def test_the_flatten_runs_by_itself_at_its_phase_mes_acc_10_0_2(tmp_path: Path) -> None:
    """In at 15:30; held through REDUCED and CLOSE_ONLY; out at 16:05:00 by the venue's own fills; flat before 16:08."""
    day = Day(tmp_path)
    desk = day.desk
    for hour in range(10, 15):
        day.moment(f"{hour}:00:00")
    day.moment("15:30:00", score=True)
    assert desk.position().qty == 1 and desk.live(r.STOP_LOSS), "in, and protected"
    for clock in ("15:41:00", "15:54:59", "15:56:00", "16:04:58"):
        day.moment(clock, score=True)
        assert desk.position().qty == 1, clock
    assert desk.account.phase == CLOSE_ONLY and "CLOSE_ONLY" in standing(desk)
    day.moment("16:05:00")
    assert desk.account.phase == AGGRESSIVE_EXIT
    day.moment("16:05:02")
    assert desk.position().qty == 0 and not desk.live()
    assert day.sent(r.EXIT) == ["16:05:00"], "once, with the first event of its phase"
    (closed,) = day.journal(r.TRADE_CLOSED)
    assert closed["code"] == BY_HOLD
    for clock in ("16:08:00", "16:09:59", "17:30:00"):
        day.moment(clock, score=True)
    assert desk.account.holds >> BIT["NOT_FLAT_AT_CUTOFF"] & 1 == 0, "it was flat at the cut-off"
    assert day.sent(r.ENTRY) == ["15:30:00"], "no entry from 15:55 on"
    day.moment("09:40:00", day="2026-03-17", score=True)
    assert desk.account.phase == NORMAL and desk.account.trading_day == 20260317
    assert desk.position().qty == 1, "the next day trades"


# --- MES-ACC-10A ---
def test_every_entry_has_its_approval_mes_acc_10a(tmp_path: Path) -> None:
    """Order log against decision log: each entry was decided in the same step, for that quantity."""
    entries = 0
    for seed in range(3):
        traded = Trading(tmp_path, seed).run(400)
        frames = Kernel().apply(np.concatenate(traded.desk.given))
        for at in np.flatnonzero((frames["kind"] == r.SUBMIT) & (frames["role"] == r.ENTRY)):
            order = frames[at]
            cause = int(np.flatnonzero(frames["kind"][:at] < r.FIRST_OUTPUT_KIND)[-1])
            step = frames[cause : at + 1]
            decided = step[(step["kind"] == r.DECISION) & (step["order_number"] == order["order_number"])]
            assert [(int(d["code"]), int(d["qty"])) for d in decided] == [(codes.APPROVED, int(order["qty"]))]
            entries += 1
        approved = (frames["kind"] == r.DECISION) & (frames["code"] == codes.APPROVED)
        assert int(approved.sum()) == int(((frames["kind"] == r.SUBMIT) & (frames["role"] == r.ENTRY)).sum())
    assert entries >= 5


def test_the_daily_loss_is_asked_inside_the_loop_mes_acc_10a() -> None:
    """The very next decision after the booked loss is refused: no timer, no other loop has to come first."""
    desk = Desk(USUAL | {"loss_day_micros_max": 50 * USD, "drawdown_day_micros_max": 10_000 * USD})
    desk.enter()
    out = desk.fill(int(desk.live(r.STOP_LOSS)[0].number), 20_001 - 40)
    assert any(o.kind == r.HOLD_RAISED and o.code == BIT["DAILY_LOSS"] for o in out), "with the fill itself"
    assert decision(desk.score(wait_ns=1)) == codes.HOLD_BASE + BIT["DAILY_LOSS"]


def test_manual_review_blocks_until_a_person_resumes_mes_acc_10a() -> None:
    desk = Desk(USUAL | {"drawdown_micros_max": 40 * USD, "loss_day_micros_max": 900 * USD})
    lose(desk, 40)
    for command in (r.RESET_HALT, r.START, r.PRESENCE):
        desk.command(command)
        assert decision(desk.score()) == codes.HOLD_BASE + BIT["ACCOUNT_DRAWDOWN"]
    desk.command(r.RESUME)
    desk.quote(20_000, 20_001)
    assert decision(desk.score()) == codes.APPROVED


@pytest.mark.parametrize(("slip", "code"), [(0, codes.APPROVED), (1, codes.RISK_PER_TRADE)])
def test_what_an_entry_may_cost_includes_slippage_mes_acc_10a(slip: int, code: int) -> None:
    """Eight ticks and two commissions are $10.84; a tick of slippage makes it $12.09, against a limit of 12 dollars."""
    desk = Desk(USUAL | {"loss_trade_micros_max": 12 * USD, "slip_ticks_assumed": slip})
    assert decision(desk.score()) == code


def test_there_is_one_signature_of_a_size_mes_acc_10a() -> None:
    """One function a rulebook gives the size, and one place asks it: backtest, paper and replay alike."""
    callers = {s.name for s in sources() if s.floor != "tests" and re.search(r"\b(mes|moex)_size\(", s.text)}
    assert callers == {"risk/core/sizing.py", "trading/core/entry/plan.py"}


# --- MES-ACC-X8 ---
def test_no_position_outside_its_session_or_past_the_cut_off_mes_acc_x8() -> None:
    """Random runs: what was entered in a session's entry phases ended in that session, and no point lies outside."""
    trades = 0
    for seed in range(40):
        rules, schedule, _, bars = draw(seed, 300)
        _, result = through_loop(plan_with(rules, schedule), bars)
        first, last = (datetime.fromtimestamp(bars[k].start // S, NEW_YORK).date() for k in (0, -1))
        sessions = cme_sessions(first, last.replace(year=last.year + 1) if last < first else last)
        found = {session.trading_day: session for session in sessions}
        for trade in result.trades:
            session = found[int(trade["trading_day"])]
            assert session.open_ns <= trade["entry_ns"] <= trade["exit_ns"] <= session.close_ns, (seed, trade)
            if schedule in SCHEDULES:
                phases = {phase: start for phase, start, _ in session_phases(SCHEDULES[schedule], session)}
                assert phases[NORMAL] <= trade["entry_ns"] < phases[CLOSE_ONLY], (seed, trade)
            trades += 1
        for at in result.points["ts_ns"].tolist():
            assert any(session.open_ns < at <= session.close_ns for session in sessions), (seed, at)
    assert trades > 100


# --- MES-ACC-X10 ---
def written(path: Path, bars: list[Any]) -> Path:
    """Bars with decisions as a file; prices in ns of a point, one contract."""
    ticks = {
        name: [getattr(b, field) for b in bars] for name, field in zip("ohlc", ("o", "h", "low", "c"), strict=True)
    }
    names = {"open": "o", "high": "h", "low": "l", "close": "c"}
    columns: dict[str, Any] = {"timestamp": np.array([b.start for b in bars], np.int64)}
    columns |= {name: np.array(ticks[key], np.int64) * 250_000_000 for name, key in names.items()}
    columns |= {"volume": np.array([b.volume for b in bars], np.uint64), "symbol": ["MESH4"] * len(bars)}
    columns |= {"signal": [b.side for b in bars], "confidence": [b.confidence / 1_000_000 for b in bars]}
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.django_db
@pytest.mark.parametrize("week", range(len(market.WEEKS)), ids=[dates[0] for dates, _ in market.WEEKS])
def test_odd_weeks_pass_end_to_end_mes_acc_x10(tmp_path: Path, week: int) -> None:
    """Clocks that change, half days, a day of mourning, silent and empty seconds: from a file to three results."""
    days = market.days_of(week, market.TOPSTEP)
    bars = market.bars_of(random.Random(week), days, 1_500)
    assert any(b.volume == 0 for b in bars), "seconds without a trade"
    path, told = written(tmp_path / "week.parquet", bars), StringIO()
    call_command("backtest", config="mes-topstep", data=str(path), out=tmp_path / "out", json=True, stdout=told)
    values = json.loads(told.getvalue())
    assert values["period"]["bars"] == len(bars)
    assert values["period"]["sessions"] == len(
        {d.number for d in days if any(d.opens <= b.start < d.closes for b in bars)}
    )
    rows = [line.split(",") for line in (tmp_path / "out" / "trades.csv").read_text().splitlines()]
    head, trades = rows[0], rows[1:]
    assert len(trades) == values["trades"]["count"] > 0
    for row in trades:
        entry = datetime.fromisoformat(row[head.index("entry_time")]).astimezone(NEW_YORK)
        leave = datetime.fromisoformat(row[head.index("exit_time")]).astimezone(NEW_YORK)
        day = next(d for d in days if d.number == int(entry.strftime("%Y%m%d")))
        starts = dict(day.phases)
        assert starts["NORMAL"] <= int(entry.timestamp()) * S < starts["CLOSE_ONLY"], row
        assert leave.date() == entry.date() and leave.timestamp() * S <= day.closes, row
