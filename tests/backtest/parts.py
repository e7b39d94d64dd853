"""What the slow oracle of backtests is made of: the rules of a run, bars, positions, one segment's grid.

Plain Python, nothing of the product: see `oracle`.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

S = 1_000_000_000
MINUTE = 60 * S
CARRY = 300 * S
TICK = 1_250_000
FEE = 420_000
MARGIN = 50_000_000
TABLE = (  # strongest first: what flattens, and what only stops entries
    "EQUITY_KILL", "ACCOUNT_DRAWDOWN", "NOT_FLAT_AT_CUTOFF", "MIN_BALANCE", "DAILY_LOSS", "DAILY_DRAWDOWN", "EOD",
    "CLOSE_ONLY", "LOSS_STREAK", "AFTER_HOURS",
)  # fmt: skip
FLATTENS = ("EQUITY_KILL", "ACCOUNT_DRAWDOWN", "NOT_FLAT_AT_CUTOFF", "DAILY_LOSS", "DAILY_DRAWDOWN", "EOD")
REASONS = {"EOD": "eod_flatten", "DAILY_LOSS": "circuit_breaker", "ACCOUNT_DRAWDOWN": "circuit_breaker"}
TIERS = ((700, 0, 0), (1000, 1, 20_000), (1500, 2, 20_000), (2000, 3, 20_000), (3000, 4, 20_000))


@dataclass
class Rules:
    """What a run is asked to do.  Money in dollars, times in seconds."""

    capital: int = 1000
    slip: int = 1
    conditional: bool = False  # slippage, instead of `slip`
    touch: bool = False
    stop: int = 8
    atr: bool = False
    target: int = 0
    ratio: int = 2
    trail: int = 0
    hold: int = 0
    signal_anchor: bool = False
    ttl: int = 5
    cool_entry: int = 5
    cool_exit: int = 30
    streak_soft: int = 3
    streak_hard: int = 5
    reverse: bool = True
    day_loss: int = 50
    day_drawdown: int = 75
    drawdown: int = 200
    kill: int = 300
    keep_one: bool = True


@dataclass
class Day:
    """One session: its number YYYYMMDD, open and close, and [(phase, start), …] to its last; times in ns."""

    number: int
    opens: int
    closes: int
    phases: list[tuple[str, int]]


@dataclass
class Bar:
    """One printed bar with the decision made at its end."""

    start: int
    o: int
    h: int
    low: int
    c: int
    volume: int
    contract: int = 0
    side: int = 0
    confidence: int = 1_000_000


@dataclass
class Position:
    """What is held."""

    side: int
    qty: int
    entry: int
    entry_ns: int
    stop: int
    target: int
    first_stop: int
    confidence: int
    day: int
    placed: tuple[int, int] = (0, 0)  # stop and target at the entry
    bars: int = 0
    mfe: int = 0
    mae: int = 0
    trailed: bool = False
    closing: str = ""  # why it is to be closed at the next open
    slipped: int = 0  # ticks, at the entry
    leaving_slip: int | None = None  # what the decision to close it found

    def trade(self, price: int, at: int, reason: str, gross: int, fees: int, slipped: int) -> dict[str, object]:
        """The round trip that ends here."""
        return {
            "day": self.day, "entry_ns": self.entry_ns, "exit_ns": at, "side": self.side, "entry": self.entry,
            "exit": price, "qty": self.qty, "gross": gross, "fees": fees,
            "slip": (self.slipped + slipped) * TICK * self.qty,
            "net": gross - fees, "reason": reason, "confidence": self.confidence, "bars": self.bars, "mfe": self.mfe,
            "mae": self.mae, "risk": self.qty * self.first_stop * TICK, "stop": self.placed[0],
            "target": self.placed[1],
        }  # fmt: skip


@dataclass
class Pending:
    """An entry that waits for its print.  Stop and target are distances."""

    side: int
    qty: int
    stop: int
    target: int
    decided_ns: int
    close: int
    confidence: int
    slip: int = 0


@dataclass
class Grid:
    """One segment's rows (MES-BREAK-02, ATR)."""

    ranges: list[int] = field(default_factory=list)
    last: int | None = None
    minute: int | None = None
    end: int = 0  # of the last row
    full: bool = False
    volume: int = 0
    atrs: list[int] = field(default_factory=list)
    volumes: list[int] = field(default_factory=list)
    volatile: bool = False
    quiet: bool = False
    ratio: Fraction = Fraction(1)  # ATR over normal at the last evaluation (MES-COST-06)

    def row(self, start: int, high: int, low: int, close: int, volume: int) -> None:
        """One row of a second, printed or carried."""
        if self.minute is None:
            self.full = start % MINUTE == 0
        elif start // MINUTE != self.minute:
            self._minute_ended()
            self.full, self.volume = True, 0
        self.minute = start // MINUTE
        reach = high - low if self.last is None else max(high - low, abs(high - self.last), abs(low - self.last))
        self.ranges.append(reach)
        self.volume += volume
        self.last = close
        self.end = start + S

    def _minute_ended(self) -> None:
        self.volatile = self.quiet = False
        if not self.full:
            return
        if (atr := self.atr()) is not None:
            normal = self.atrs[-20:]
            self.volatile = len(normal) >= 5 and atr >= 14 and atr * len(normal) > 3 * sum(normal)
            usual = sum(normal)
            self.ratio = Fraction(atr * len(normal), usual) if len(normal) >= 5 and usual > 0 else Fraction(1)
            self.atrs.append(atr)
        normal = self.volumes[-20:]
        self.quiet = len(normal) >= 5 and 10 * self.volume * len(normal) < sum(normal)
        self.volumes.append(self.volume)

    def slip(self) -> int:
        """Conditional slippage by the last evaluation, spread one tick (MES-COST-06)."""
        found = [Fraction(1)]
        if self.quiet:
            found.append(Fraction(2))
        if self.ratio > 3:
            found.append(Fraction(2))
        if self.ratio > 5:
            found.append(Fraction(4))
        return ceil(max(found) + ((self.ratio - 1) / 2 if self.ratio > 3 else 0))

    def slip_at(self, at: int | None, until: int) -> int:
        """The same at a moment without a row yet: seconds up to it are carried, none that ends after `until`; a minute
        counts once the rows reach its end.  None: as it stands."""
        if at is None or self.last is None:
            return self.slip()
        grid = deepcopy(self)
        while grid.end + S <= min(at, until):
            grid.row(grid.end, self.last, self.last, self.last, 0)
        if grid.end % MINUTE == 0:
            grid._minute_ended()
        return grid.slip()

    def atr(self) -> int | None:
        """Σ14 TR in ticks."""
        return sum(self.ranges[-14:]) if len(self.ranges) >= 14 else None


def sized(
    r: Rules, balance: int, left: int, atr: int | None, reduced: bool, scaled: bool, confidence: int
) -> tuple[int, int, int] | None:
    """(contracts, stop, target) of an entry (MES-STOP-01 to -03, MES-SIZE-02); None when no contract is left.

    `left`: daily risk that remains, `atr`: Σ14 TR, `scaled`: a SCALE hold stands.
    """
    stop = r.stop if not r.atr or atr is None else atr * 3 // (2 * 14)
    stop = min(max(stop, 4), 16)
    if reduced:
        stop = max(4, stop * 3 // 4)
    target = r.target if r.target else max(4, stop * r.ratio)
    if balance < TIERS[0][0] * 1_000_000:
        return None
    most, share = next(((m, s) for top, m, s in TIERS[1:] if balance <= top * 1_000_000), (10, 15_000))
    budget, risk = share * balance // 1_000_000, stop * TICK
    base = min(most, budget // risk)
    halves = next(t for least, t in ((900, 4), (800, 3), (700, 2), (600, 1)) if confidence >= least * 1000)
    size = min(most, base * halves // 2)
    size = size // 2 if scaled else size
    if base == 0 or (size == 0 and not r.keep_one):
        return None
    caps = (25_000_000 // risk, budget // risk, left // (risk + 2 * FEE), balance // MARGIN, 10)
    size = min(max(size, 1), *caps)
    return (size, stop, target) if size > 0 else None
