"""A day of prices with the trades of a result over them: from each entry to its exit, pieces of an SVG.  Reading only.

Prices are those of the stored data set, in at most 360 slices a day; trades stand at their exact second and price.  A
result whose data are gone keeps its trades and has no picture.  Called by the page of a result.
"""

import contextlib
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import polars as pl

from desk.backtests.models import BacktestRun
from desk.data.looks import HEIGHT, WIDTH, chart, height_of
from marketdata.core.instruments import instrument
from marketdata.core.units import micros_from_text, tick_decimals, ticks_from_text
from marketdata.feeds.port import FeedError
from marketdata.selectors import data_set_path
from marketdata.store import coverage

MARKS_MAX = 400  # trades of a day that are drawn: more would be a stain; all of them are counted
DAY_S = 86_400
STAMP = "%Y-%m-%dT%H:%M:%SZ"


class Mark(NamedTuple):
    """One trade from (x1, y1) to (x2, y2): `tone` by its net, `words` to read."""

    number: str
    x1: str
    y1: str
    x2: str
    y2: str
    tone: str
    words: str


def days_of(trades: pl.DataFrame) -> list[date]:
    """UTC days on which a trade was entered, in order."""
    return sorted({date.fromisoformat(text[:10]) for text in trades["entry_time"].to_list()})


def chosen_day(reach: tuple[str, str], usual: str, asked: str) -> date:
    """The day that is asked for, if trades reach so far, else the usual one; `reach`: first entry and last exit.  ISO
    text, all of them."""
    first, last = (date.fromisoformat(text[:10]) for text in reach)
    with contextlib.suppress(ValueError):
        wanted = date.fromisoformat(asked)
        if first <= wanted <= last:
            return wanted
    return date.fromisoformat(usual[:10])


def day_picture(run: BacktestRun, trades: pl.DataFrame, day: date) -> dict[str, Any]:
    """`chart` of the day, `marks`, `count` of the trades that were open on it; or `fault`, why there is no picture."""
    item = instrument(run.symbol)
    begun, ended = (pl.col(name).str.slice(0, 10) for name in ("entry_time", "exit_time"))
    rows = trades.filter((begun <= f"{day}") & (ended >= f"{day}"))
    drawn = rows.head(MARKS_MAX).to_dicts()
    prices = [[ticks_from_text(row[name], item.tick_nanos) * item.tick_nanos for name in ENDS] for row in drawn]
    try:
        if run.data_set is None:
            return {"fault": "its data set was deleted"}
        if run.books:
            return {"fault": "a tape of books has no bars to draw; the fills are in its files"}
        bars = coverage.day_bars(data_set_path(run.data_set), day)
    except (FeedError, OSError) as error:
        return {"fault": str(error)}
    decimals = tick_decimals(item.tick_nanos)
    seen = chart(bars, run.data_set.bar_ns, decimals, [price for pair in prices for price in pair])
    marks = [_mark(row, pair, day, seen["scale"]) for row, pair in zip(drawn, prices, strict=True)] if bars.rows else []
    return {"chart": seen, "marks": marks, "count": len(rows), "height": HEIGHT}


ENDS = ("entry_price", "exit_price")


def _mark(row: dict[str, Any], prices: list[int], day: date, scale: tuple[int, int]) -> Mark:
    net = micros_from_text(row["net_pnl"])
    what = f"{'BUY' if row['direction'] == '1' else 'SELL'} {row['contracts']}"
    x1, x2 = (_x(row[name], day) for name in ("entry_time", "exit_time"))
    if x2 - x1 < 2:  # a line of no length is not drawn
        x1, x2 = x1 - 1, x2 + 1
    return Mark(
        number=row["trade_id"],
        x1=f"{x1:.1f}",
        y1=height_of(prices[0], scale),
        x2=f"{x2:.1f}",
        y2=height_of(prices[1], scale),
        tone="up" if net > 0 else "down" if net < 0 else "flat",
        words=f"{row['trade_id']}: {what}, {row['entry_price']} to {row['exit_price']}, {row['net_pnl']}",
    )


def _x(stamp: str, day: date) -> float:
    """A time of trades.csv in the picture of a UTC day; one of another day stands at the edge."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    passed = datetime.strptime(stamp, STAMP).replace(tzinfo=UTC) - begin
    return WIDTH * min(max(passed / timedelta(seconds=DAY_S), 0.0), 1.0)
