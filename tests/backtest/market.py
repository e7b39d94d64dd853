"""Random bars for the oracle: short stretches of trading around the moments at which something happens.

Sessions are this file's own table, by New York's wall clock: regular days, a half day, a week in which the clocks
change.  The same seed gives the same bars, rules and decisions.
"""

import random
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tests.backtest.parts import Bar, Day, Rules, S

NEW_YORK = ZoneInfo("America/New_York")
WEEKS: tuple[tuple[tuple[str, ...], dict[str, str]], ...] = (
    # (dates of a stretch of sessions, the early closes among them)
    (("2024-07-01", "2024-07-02", "2024-07-03"), {"2024-07-03": "13:15"}),
    (("2024-11-27", "2024-11-28", "2024-11-29"), {"2024-11-28": "13:00", "2024-11-29": "13:15"}),
    (("2024-03-07", "2024-03-08", "2024-03-11", "2024-03-12"), {}),
    (("2024-10-31", "2024-11-01", "2024-11-04"), {}),
    (("2025-01-08", "2025-01-09", "2025-01-10"), {"2025-01-09": "09:30"}),
    (("2026-03-03", "2026-03-04", "2026-03-05", "2026-03-06"), {}),
)
STANDARD, TOPSTEP, ALL_HOURS = "standard", "topstep", "all_hours"
OFFSETS = {STANDARD: (60, 45, 35, 30), TOPSTEP: (30, 15, 5, 2)}
PHASES = ("REDUCED", "CLOSE_ONLY", "AGGRESSIVE_EXIT", "MUST_BE_FLAT")
CONFIDENCES = (500_000, 560_000, 620_000, 720_000, 780_000, 850_000, 950_000)
OFTEN = (0.05, 0.15, 0.4)  # shares of bars with a decision


def at(day: str, clock: str) -> int:
    """New York's wall clock → ns UTC."""
    return int(datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=NEW_YORK).timestamp()) * S


def day_of(text: str, close: str, schedule: str) -> Day:
    """One session with its phases (MES-EOD, MES-CAL-01)."""
    before = (datetime.fromisoformat(text) - timedelta(days=1)).date().isoformat()
    opens, closes = at(before, "18:00"), at(text, close)
    number = int(text.replace("-", ""))
    if schedule == ALL_HOURS:
        return Day(number, opens, closes, [("NORMAL", opens)])
    regular = close == "17:00"
    cutoff = at(text, "16:10") if regular else closes - 50 * 60 * S
    anchor = closes if schedule == STANDARD else cutoff
    starts = [anchor - minutes * 60 * S for minutes in OFFSETS[schedule]]
    normal = at(text, "09:35")
    if starts[0] <= normal:
        return Day(number, opens, closes, [])
    phases = [("NORMAL", normal), *zip(PHASES, starts, strict=True), ("AFTER_HOURS", closes)]
    return Day(number, opens, closes, phases)


def days_of(week: int, schedule: str) -> list[Day]:
    """The sessions of one stretch of the table."""
    dates, early = WEEKS[week]
    return [day_of(text, early.get(text, "17:00"), schedule) for text in dates]


def rules_of(rng: random.Random) -> Rules:
    """What a run is asked to do."""
    return Rules(
        capital=rng.choice((1000, 1000, 1200, 1700, 2500, 5000)),
        slip=rng.choice((0, 1, 1, 2)),
        touch=rng.random() < 0.3,
        stop=rng.choice((4, 6, 8, 8, 12, 16)),
        atr=rng.random() < 0.3,
        target=rng.choice((0, 0, 4, 10)),
        trail=rng.choice((0, 0, 4)),
        hold=rng.choice((0, 0, 7, 30, 600)),
        signal_anchor=rng.random() < 0.3,
        ttl=rng.choice((2, 5, 5, 400)),
        cool_entry=rng.choice((0, 5)),
        cool_exit=rng.choice((0, 5, 30)),
        streak_soft=rng.choice((3, 3, 100)),
        streak_hard=rng.choice((5, 100)) if rng.random() < 0.9 else 101,
        reverse=rng.random() < 0.8,
        day_loss=rng.choice((30, 50, 50, 200)),
        day_drawdown=rng.choice((25, 75, 75, 300)),
        drawdown=rng.choice((60, 200, 200, 800)),
        kill=rng.choice((80, 300, 300, 900)),
        keep_one=rng.random() < 0.8,
    )


def moments_of(days: list[Day]) -> list[int]:
    """Where stretches of bars begin: shortly before something happens."""
    found = []
    for day in days:
        for _, start in day.phases:
            found += [start - 20 * S, start - 3 * S]
        found += [day.opens, day.closes - 25 * S, day.closes - 4 * S]
        found += [day.opens + k * 1800 * S for k in range(28, 44)]
    return [t for t in found if any(day.opens <= t < day.closes for day in days)]


def shocks_of(rng: random.Random, days: list[Day], count: int) -> list[Bar]:
    """About `count` bars of long segments with few prints a minute: minutes that are evaluated, calm, wild or thin, and
    decisions, stops and silences around their ends (MES-COST-06)."""
    found: list[Bar] = []
    price, t, from_second = 24_000, rng.choice(days).opens, rng.randrange(60)
    while len(found) < count:
        wild, thin = rng.choice((1, 1, 1, 2, 3, 4, 6, 9)), rng.random() < 0.15
        seconds = {rng.randrange(60) for _ in range(rng.choice((1, 2, 6)))}
        seconds |= {s for s in (0, 1, 47, 53, 58, 59) if rng.random() < 0.4}
        for second in sorted(s for s in seconds if found or s >= from_second):
            start = t + second * S
            if not any(day.opens <= start < day.closes for day in days):
                continue
            c = price + rng.randrange(-wild, wild + 1)
            h, low = max(price, c) + rng.randrange(wild + 1), min(price, c) - rng.randrange(wild + 1)
            side = rng.choice((-1, 1)) if rng.random() < 0.3 else 0
            volume = rng.choice((0, 1)) if thin else rng.choice((20, 50, 100))
            found.append(Bar(start, price, h, low, c, volume, len(found) // 700, side, rng.choice(CONFIDENCES)))
            price = c
        t = (t // (60 * S) + rng.choice((1,) * 40 + (3, 5, 6, 90))) * 60 * S
        if not any(day.opens <= t < day.closes for day in days):
            t = rng.choice([day.opens for day in days if day.opens > t] or [t])
        if t >= days[-1].closes:
            break
    return found


def bars_of(rng: random.Random, days: list[Day], count: int, often: tuple[float, ...] = OFTEN) -> list[Bar]:
    """About `count` bars, in order, none outside a session; prices walk, jump, and now and then stand still."""
    starts: set[int] = set()
    while len(starts) < count:
        t = rng.choice(moments_of(days)) if rng.random() < 0.8 else rng.choice(days).opens + rng.randrange(50_000) * S
        silence = rng.choice((0.0, 0.1, 0.5))
        for _ in range(rng.choice((20, 60, 200))):
            t += S if rng.random() >= silence else rng.choice((1, 2, 4, 6, 7, 299, 300, 301, 302)) * S
            if any(day.opens <= t < day.closes for day in days):
                starts.add(t)
    for day in days:  # what is open when entries end is still there when everything must go
        for phase, start in day.phases:
            if phase in ("CLOSE_ONLY", "AGGRESSIVE_EXIT") and rng.random() < 0.7:
                starts |= {start + k * S for k in range(-12, 6)}
    price, contract, wild = 24_000, 0, 1
    busy = rng.choice(often)
    found = []
    for start in sorted(starts):
        if rng.random() < 0.03:
            wild = rng.choice((0, 0, 1, 1, 2, 4, 9))  # 0: the price stands, a position lives on
        if rng.random() < 0.002:
            contract, price = contract + 1, price + rng.randrange(-60, 60)
        o = price + rng.choice((-1, 0, 0, 0, 1)) * rng.randrange(wild + 1)
        c = o + rng.randrange(-2 * wild, 2 * wild + 1)
        h = max(o, c) + rng.randrange(wild + 1)
        low = min(o, c) - rng.randrange(wild + 1)
        side = rng.choice((-1, 1)) if rng.random() < busy else 0
        volume = rng.choice((0, 1, 5, 20, 400))
        found.append(Bar(start, o, h, low, c, volume, contract, side, rng.choice(CONFIDENCES)))
        price = c
    return found
