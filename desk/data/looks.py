"""Shapes that the page of a data set draws: months by year, weeks of a month, a day's prices as a line.  Pure.

Called by the data pages alone; colour never stands without a word or a number.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from marketdata.databento.definitions import Definition
from marketdata.feeds.books.reader import plain
from marketdata.store.coverage import DAY_NS, SLICES, Day, DayBars

WIDTH, HEIGHT, EDGE = 720, 180, 6
NANOS = 10**9

Point = tuple[str, str, str, str]  # x, and y of low, high, last


class Cell(NamedTuple):
    """A month or a day: `key` for its address, `name` to read, rows (0: none), gaps (None: not known)."""

    key: str
    name: str
    rows: int
    gaps: int | None

    @property
    def look(self) -> str:
        """The class of its colour."""
        if self.rows == 0:
            return "none"
        return "held" if self.gaps is None else "gap" if self.gaps else "whole"


class Year(NamedTuple):
    """One line of the calendar: twelve months, those without data, too."""

    year: int
    months: list[Cell]


def months_by_year(months: list[dict[str, Any]]) -> list[Year]:
    """Rows of the manifest → whole years, the first to the last."""
    if not months:
        return []
    held = {part["month"]: part for part in months}
    found = []
    for year in range(int(months[0]["month"][:4]), int(months[-1]["month"][:4]) + 1):
        cells = []
        for number in range(1, 13):
            key = f"{year}-{number:02d}"
            part = held.get(key)
            cells.append(Cell(key, f"{number:02d}", part["rows"] if part else 0, part["gaps"] if part else None))
        found.append(Year(year, cells))
    return found


def weeks(days: list[Day]) -> list[list[Cell | None]]:
    """Days of a month by week, Monday first; None where the month has not begun or is over."""
    cells: list[Cell | None] = [None] * days[0].day.weekday()
    cells += [Cell(f"{item.day}", str(item.day.day), item.rows, item.gaps) for item in days]
    cells += [None] * (-len(cells) % 7)
    return [cells[k : k + 7] for k in range(0, len(cells), 7)]


def neighbours(day: date) -> tuple[date, date]:
    """The day before and the day after."""
    return day - timedelta(days=1), day + timedelta(days=1)


def chart(bars: DayBars, bar_ns: int, decimals: int, also: Sequence[int] = ()) -> dict[str, Any]:
    """A day's prices as pieces of an SVG: a line of last prices and a band from low to high, both broken where bars of
    `bar_ns` are missing; the lowest, highest and last price as text.  `also`: prices in 1e-9 points that lie inside
    the picture, too; `scale` tells its lowest and highest, for who draws over it with `height_of`."""
    if not bars.rows:
        return {"rows": 0}
    low, high = int(bars.low.min()), int(bars.high.max())
    scale = (min(low, *also), max(high, *also)) if also else (low, high)

    def y(price: int) -> str:
        return height_of(price, scale)

    points = [
        (f"{WIDTH * (at + 0.5) / SLICES:.1f}", y(lowest), y(highest), y(last))
        for at, lowest, highest, last in zip(*(column.tolist() for column in bars[:4]), strict=True)
    ]
    places = bars.at.tolist()
    apart = 2 + 2 * bar_ns * SLICES // DAY_NS  # slices between two bars that follow each other
    cuts = [0, *(k + 1 for k, (a, b) in enumerate(pairwise(places)) if b - a > apart), len(places)]
    pieces = [_widened(points[begin:end]) for begin, end in pairwise(cuts)]
    return {
        "rows": bars.rows,
        "scale": scale,
        "width": WIDTH,
        "height": HEIGHT,
        "lines": [" ".join(f"{x},{close}" for x, _, _, close in piece) for piece in pieces],
        "bands": [
            " ".join([f"{x},{top}" for x, _, top, _ in piece] + [f"{x},{bottom}" for x, bottom, _, _ in piece[::-1]])
            for piece in pieces
        ],
        "low": price_text(low, decimals),
        "high": price_text(high, decimals),
        "last": price_text(int(bars.close[-1]), decimals),
    }


def height_of(price: int, scale: tuple[int, int]) -> str:
    """Where a price in 1e-9 points stands in a picture from its lowest to its highest."""
    low, high = scale
    return f"{EDGE + (HEIGHT - 2 * EDGE) * (high - price) / ((high - low) or 1):.1f}"


def _widened(piece: list[Point]) -> list[Point]:
    """A single point as a short stroke: a line of one point is not drawn."""
    if len(piece) > 1:
        return piece
    x, low, high, close = piece[0]
    return [(f"{float(x) + shift:.1f}", low, high, close) for shift in (-1, 1)]


def price_text(nanos: int, decimals: int) -> str:
    """1e-9 points → the venue's decimals, exactly; a price has no more of them."""
    whole, rest = divmod(nanos, NANOS)
    return f"{whole}.{rest:09d}"[: len(str(whole)) + 1 + decimals] if decimals else str(whole)


def contract_rows(rows: Sequence[Definition]) -> list[dict[str, Any]]:
    """Contracts as a table shows them: numbers as plain text, times in µs; None and "": not told."""
    return [
        {
            "symbol": item.symbol,
            "id": item.instrument_id,
            "tick": "" if item.tick is None else plain(item.tick),
            "unit": "" if item.unit is None else f"{plain(item.unit)} {item.currency}".strip(),
            "first": None if item.first_ns is None else item.first_ns // 1000,
            "last": None if item.last_ns is None else item.last_ns // 1000,
            "told": item.ts_ns // 1000,
        }
        for item in rows
    ]
