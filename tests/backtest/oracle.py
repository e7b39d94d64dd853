"""The rules of a backtest once more, slowly, in plain Python: MES-BT, -COST, -HOLD, -SIZE, -STOP, -REV, -EOD, -BREAK.

Written from the rules alone: nothing of the product is imported, no number is shared, money is micros in Python's own
integers, the calendar is the test's own table.  Where the kernel checks limits at a fill, so does this: at the mark of
the last close.  Compared with the compiled loop trade by trade and point by point by `test_oracle` and the command
`python -m tests.backtest`.
"""

from tests.backtest.parts import (
    CARRY,
    FEE,
    FLATTENS,
    MINUTE,
    REASONS,
    TABLE,
    TICK,
    Bar,
    Day,
    Grid,
    Pending,
    Position,
    Rules,
    S,
    sized,
)


class Oracle:
    """One run.  `trades` and `points` are what came of it."""

    def __init__(self, rules: Rules, days: list[Day]) -> None:
        self.rules, self.days = rules, days
        self.balance = self.peak = self.reference = self.day_peak = rules.capital * 1_000_000
        self.day_net = self.streak = 0
        self.holds: dict[str, int] = {}  # code → until, 0 without a time
        self.phase = "AFTER_HOURS"
        self.moments = sorted(
            [(start, 0, phase) for day in days for phase, start in day.phases]
            + [(day.opens, -1, "ROLL") for day in days]
        )
        self.session = 0
        self.now = self.trading_day = 0
        self.position: Position | None = None
        self.pending: Pending | None = None
        self.reversal: tuple[int, int, int, int] | None = None  # side, confidence, decided, slip
        self.chain = 0
        self.reversed_ns: int | None = None
        self.entry_ns: int | None = None
        self.exit_ns: int | None = None
        self.grid = Grid()
        self.mark = 0
        self.before: Bar | None = None
        self.row_ns = 0
        self.on_grid = False
        self.trades: list[dict[str, object]] = []
        self.points: list[tuple[int, int, int]] = []
        self.closes: list[int] = []

    # --- the five steps -----------------------------------------------------------------------------------------
    def bar(self, b: Bar) -> None:
        """MES-BT-02 for one printed bar."""
        self._until(b.start)
        self._segment(b)
        self.now = b.start
        self._at_open(b)
        bracket = self.position is not None and not self.position.closing
        self._clock(b.start + S)  # the event at the bar's end looks at the clock first
        self.now = b.start + S
        if bracket:
            self._bracket(b)
        if self.position is not None:
            self._held(b)
        self._close_of(b)
        self._decide(b)
        self.before = b

    def end(self) -> None:
        """The data ends (MES-BT-19)."""
        if self.before is not None and self.on_grid:
            end = self.before.start + S
            reason = "session_end" if self.days[self.session].closes <= end else "end_of_data"
            self._end_session(end, reason)

    def _until(self, start: int) -> None:
        """Step 1: what is due up to this bar's start, in order of time."""
        while True:
            due: list[tuple[int, int]] = [(self.days[self.session].closes, 2)]
            if self.moments:
                due.append((self.moments[0][0], 0))
            due += [(until, 0) for until in self.holds.values() if until]
            p = self.position
            if p is not None and self.rules.hold and not p.closing:
                due.append((p.entry_ns + self.rules.hold * S, 1))
            at, what = min(due)
            if at > start:
                break
            self._carried(at)
            self.now = max(self.now, at)
            if what == 2:
                self._end_session(at, "session_end")
                continue
            if what == 0:
                self._clock(at)
            self._demands()
        self._carried(start)

    def _carried(self, until: int) -> None:
        """Points of rows without a print (MES-BT-24)."""
        if not self.on_grid or self.before is None:
            return
        last = min(until, self.before.start + CARRY + S, self.days[self.session].closes)
        while self.row_ns + S <= last:
            self.row_ns += S
            self._point(self.row_ns)

    def _segment(self, b: Bar) -> None:
        """A gap or another contract ends the segment (MES-DATA-21, MES-BT-17)."""
        if self.before is None:
            return
        rolled = b.contract != self.before.contract
        if rolled:
            self.now = b.start
            if self._forced("contract_roll", b.start):
                self._point(b.start)
        if rolled or b.start - (self.before.start + S) >= CARRY:
            self.pending = None
            self.grid = Grid()
            self._set("VOLATILITY", False)
            self._set("VOLUME", False)

    def _at_open(self, b: Bar) -> None:
        """Step 2: exits, a reversal's new approval, entries."""
        if self.position is not None and self.position.closing:
            p = self.position
            slip = self._slip(b.start) if p.leaving_slip is None else p.leaving_slip
            self._closed(b.o - p.side * slip, b.start, p.closing, slip, None)
            self._reverse(b)
        waiting = self.pending
        if waiting is not None and self.position is None:
            self.pending = None
            if b.start > waiting.decided_ns + self.rules.ttl * S:
                return
            self._opened(waiting, b, waiting.slip)

    def _bracket(self, b: Bar) -> None:
        """Step 3: the stop first (MES-BT-12, -13, -14)."""
        p = self.position
        assert p is not None
        worst, best = (b.low, b.h) if p.side > 0 else (b.h, b.low)
        through = 0 if self.rules.touch else 1
        if (worst - p.stop) * p.side <= 0:
            slip = self._slip(b.start)
            price = (min(p.stop, b.o) if p.side > 0 else max(p.stop, b.o)) - p.side * slip
            p.bars += 1
            p.mae = max(p.mae, (p.entry - price) * p.side)
            self._closed(price, b.start + S, "trailing_stop" if p.trailed else "stop", slip, b)
        elif (best - p.target) * p.side >= through:
            p.bars += 1
            p.mfe = max(p.mfe, (p.target - p.entry) * p.side)
            p.mae = max(p.mae, (p.entry - worst) * p.side)
            self._closed(p.target, b.start + S, "target", 0, b)

    def _held(self, b: Bar) -> None:
        p = self.position
        assert p is not None
        p.bars += 1
        up, down = b.h - p.entry, p.entry - b.low
        p.mfe = max(p.mfe, up if p.side > 0 else down)
        p.mae = max(p.mae, down if p.side > 0 else up)

    def _close_of(self, b: Bar) -> None:
        """Step 4: grid, trailing stop, mark, limits, time exit, point."""
        if self.before is not None and self.grid.last is not None:
            second = self.before.start + S
            while second < b.start:
                self.grid.row(second, self.grid.last, self.grid.last, self.grid.last, 0)
                second += S
        self.grid.row(b.start, b.h, b.low, b.c, b.volume)
        self._set("VOLATILITY", self.grid.volatile)
        self._set("VOLUME", self.grid.quiet)
        self.mark = b.c
        p = self.position
        if p is not None:
            if self.rules.trail and not p.closing and (b.c - p.entry) * p.side >= self.rules.trail:
                best = b.c - p.side * self.rules.trail
                best = max(best, p.entry) if p.side > 0 else min(best, p.entry)
                if (best - p.stop) * p.side > 0:
                    p.stop, p.trailed = best, True
            self._check()
        self._demands()
        self.row_ns, self.on_grid = b.start + S, True
        self._point(self.row_ns)

    def _decide(self, b: Bar) -> None:
        """Step 5."""
        if b.side == 0:
            return
        p = self.position
        if p is None:
            if self._allowed(b.confidence, False):
                self.pending = self._planned(b.side, b.confidence)
        elif p.side * b.side < 0 and not p.closing:
            if self.rules.reverse and b.confidence > 750_000:
                waited = self.reversed_ns is None or self.now - self.reversed_ns >= 30 * S
                if waited and self.chain < 2:
                    self.reversal = (b.side, b.confidence, self.now, self._slip())
                    self._leave("reversal")
                else:
                    self._leave("signal")
            elif b.confidence >= 550_000:
                self._leave("signal")

    # --- position and money ---------------------------------------------------------------------------------------
    def _opened(self, e: Pending, b: Bar, slip: int) -> None:
        price, at = b.o + e.side * slip, b.start
        anchor = e.close if self.rules.signal_anchor else price
        self.position = Position(
            e.side, e.qty, price, at, max(1, anchor - e.side * e.stop), anchor + e.side * e.target, e.stop,
            e.confidence, self.trading_day, slipped=slip,
        )  # fmt: skip
        self.position.placed = (self.position.stop, self.position.target)
        self.entry_ns = at
        self._pay(0, FEE * e.qty)
        self._limits()

    def _closed(self, price: int, at: int, reason: str, slipped: int, inside: Bar | None) -> None:
        """Book the exit.  `slipped`: ticks of it; `inside`: the bar in which a bracket filled."""
        p = self.position
        assert p is not None
        if inside is None:
            p.mfe = max(p.mfe, (price - p.entry) * p.side)
            p.mae = max(p.mae, (p.entry - price) * p.side)
        gross = (price - p.entry) * p.side * TICK * p.qty
        fees = 2 * FEE * p.qty
        self._pay(gross, FEE * p.qty)
        self.exit_ns = at
        net = gross - fees
        if net > 0:
            self.streak = 0
        elif net < 0:
            self.streak += 1
        if p.closing == "reversal":
            self.reversed_ns = at
        else:
            self.chain, self.reversal = 0, None
        self.trades.append(p.trade(price, at, reason, gross, fees, slipped))
        self.position = None
        self._limits()
        minutes = 30 if self.streak >= self.rules.streak_hard else 15 if self.streak >= self.rules.streak_soft else 0
        if net < 0 and minutes:
            self.holds["LOSS_STREAK"] = max(self.holds.get("LOSS_STREAK", 0), at + minutes * MINUTE)

    def _pay(self, gross: int, fee: int) -> None:
        self.balance += gross - fee
        self.day_net += gross - fee
        self.peak = max(self.peak, self.balance)

    def _forced(self, reason: str, at: int) -> bool:
        """At the last printed close, slipped (MES-BT-16, -17, -19)."""
        p = self.position
        if p is None or self.before is None:
            return False
        slip = self._slip(at)
        self._closed(self.before.c - p.side * slip, at, reason, slip, None)
        if self.reversal is not None:
            self._reverse(self.before)
            self.pending = None
        return True

    def _reverse(self, b: Bar) -> None:
        """The new approval of a reversal, once its exit is filled (MES-REV-02); granted, it fills at the same open."""
        asked, self.reversal = self.reversal, None
        if asked is None:
            return
        side, confidence, decided, slip = asked
        if self.now - decided > 2 * S or not self._allowed(confidence, True):
            self.chain = 0
            return
        self.chain += 1
        entry = self._planned(side, confidence)
        assert entry is not None
        if b is not self.before:
            self._opened(entry, b, slip)

    def _end_session(self, at: int, reason: str) -> None:
        self.now = max(self.now, at)
        if self._forced(reason, at):
            self._point(at)
        self.pending = None
        self.closes.append(self.equity())
        self.session += 1
        self.on_grid = False

    def equity(self) -> int:
        """Balance and open profit at the last mark."""
        p = self.position
        return self.balance if p is None else self.balance + (self.mark - p.entry) * p.side * TICK * p.qty

    def _point(self, at: int) -> None:
        self.points.append((at, self.equity(), 0 if self.position is None else self.position.side * self.position.qty))

    # --- rules --------------------------------------------------------------------------------------------------
    def _leave(self, reason: str) -> None:
        """A market exit at the next open; the first cause names it, and only its own keeps a reversal."""
        if reason not in ("signal", "reversal"):
            self.reversal = None
        if self.position is not None and not self.position.closing:
            self.position.closing = reason
            self.position.leaving_slip = self._slip() if reason in ("signal", "reversal") else None

    def _slip(self, at: int | None = None) -> int:
        """Ticks of a market or stop fill at a moment, or of what is decided now (MES-COST-06)."""
        until = self.before.start + CARRY + S if self.before else 0
        return self.grid.slip_at(at, until) if self.rules.conditional else self.rules.slip

    def _set(self, code: str, on: bool) -> None:
        if on:
            self.holds.setdefault(code, 0)
        else:
            self.holds.pop(code, None)

    def _demands(self) -> None:
        """What time and standing holds ask for: a time exit, then no entry that waits, nothing that stays open."""
        p = self.position
        if p is not None and self.rules.hold and self.now - p.entry_ns >= self.rules.hold * S:
            self._leave("time")
        if any(code in self.holds for code in TABLE):
            self.pending = None
        flatten = [code for code in TABLE if code in FLATTENS and code in self.holds]
        if flatten and self.position is not None:
            self._leave(REASONS.get(flatten[0], "risk_limit"))

    def _clock(self, until: int) -> None:
        """Phases, rolls and ends of holds up to a moment (MES-EOD, MES-RISK-14)."""
        for code in [code for code, end in self.holds.items() if end and end <= until]:
            del self.holds[code]
        while self.moments and self.moments[0][0] <= until:
            _, _, phase = self.moments.pop(0)
            if phase == "ROLL":
                self._roll(until)
            else:
                self.phase = phase
        self._set("AFTER_HOURS", self.phase == "AFTER_HOURS")
        self._set("CLOSE_ONLY", self.phase == "CLOSE_ONLY")
        self._set("EOD", self.phase in ("AGGRESSIVE_EXIT", "MUST_BE_FLAT"))
        self._set("EOD_REDUCED", self.phase == "REDUCED")
        if self.phase == "MUST_BE_FLAT" and self.position is not None:
            self.holds["NOT_FLAT_AT_CUTOFF"] = 0

    def _roll(self, until: int) -> None:
        day = [day for day in self.days if day.opens <= until][-1]
        if day.number == self.trading_day:
            return
        self.trading_day = day.number
        self.day_net = self.streak = 0
        self.day_peak = self.equity()
        for code in ("DAILY_LOSS", "DAILY_DRAWDOWN"):
            self.holds.pop(code, None)

    def _breached(self) -> list[str]:
        r, equity = self.rules, self.equity()
        dollars = 1_000_000
        found = {
            "EQUITY_KILL": self.reference - equity >= r.kill * dollars,
            "ACCOUNT_DRAWDOWN": self.peak - self.balance >= r.drawdown * dollars,
            "DAILY_LOSS": -self.day_net >= r.day_loss * dollars,
            "DAILY_DRAWDOWN": self.day_peak - equity >= r.day_drawdown * dollars,
        }
        return [code for code, true in found.items() if true]

    def _limits(self) -> None:
        """Every limit after a fill (MES-RISK-21), and what follows."""
        self._check()
        self._demands()

    def _check(self) -> None:
        self.day_peak = max(self.day_peak, self.equity())
        for code in self._breached():
            self.holds.setdefault(code, 0)
        self._set("MIN_BALANCE", self.balance < 700 * 1_000_000)

    def _allowed(self, confidence: int, reversing: bool) -> bool:
        """MES-RISK-20 but for the size."""
        r = self.rules
        if self.phase not in ("NORMAL", "REDUCED") or any(code in self.holds for code in TABLE) or self._breached():
            return False
        if confidence < 600_000 or self.pending is not None:
            return False
        if self.entry_ns is not None and self.now - self.entry_ns < r.cool_entry * S:
            return False
        if not reversing and self.exit_ns is not None and self.now - self.exit_ns < r.cool_exit * S:
            return False
        return self._planned(1, confidence) is not None

    def _planned(self, side: int, confidence: int) -> Pending | None:
        """The entry that the rules make of a decision now; None when no size is left."""
        scaled = any(code in self.holds for code in ("VOLATILITY", "VOLUME", "EOD_REDUCED"))
        left = max(0, self.rules.day_loss * 1_000_000 - max(0, -self.day_net))
        found = sized(self.rules, self.balance, left, self.grid.atr(), self.phase == "REDUCED", scaled, confidence)
        return None if found is None else Pending(side, *found, self.now, self.mark, confidence, self._slip())
