"""Patterns in the session's own orders that a venue would ask about, looked for in its journal (T-08).

Like layering: entries on one side taken back unfilled while an order of the other side fills.  Like a wash: a buy and
a sell at one price within a second.  Like marking the close: a large share of the last minutes' volume.  A pattern is a
question to a person, no verdict.  Made on demand; pure.
"""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from marketdata.core.units import NANOS
from trading.run.conduct.orders import MINUTE_NS, Book, Fill, Life
from trading.run.journal.reader import CHUNK_FRAMES, JournalReader

LAYERS_MIN, LAYERS_NS, LIFE_NS_MAX = 3, 60 * NANOS, 5 * NANOS
WASH_NS = NANOS
CLOSE_MINUTES, CLOSE_SHARE_PCT = 5, 10
LAYERING, WASH, CLOSE = "layering-like", "wash-like", "marking-the-close-like"


class Pattern(NamedTuple):
    """One finding.  `orders`: numbers of the orders in it."""

    kind: str
    day: int
    instrument: int
    ts_ns: int
    orders: tuple[int, ...]
    text: str


class Report(NamedTuple):
    """What a session did, by trading day: orders, messages, fills, orders with a fill; and the patterns in it."""

    days: dict[int, dict[str, int]]
    patterns: list[Pattern]


def conduct_of(folder: Path) -> Report:
    """The report of the journal in `folder`.  Raises JournalBroken."""
    reader, book, seq = JournalReader(folder), Book(), 0
    while len(frames := reader.read(seq, CHUNK_FRAMES)) > 0:
        book.take(frames["event"])
        seq += len(frames)
    return report_of(book)


def report_of(book: Book) -> Report:
    """The same of what was followed."""
    names = ("orders", "messages", "traded", "fills")
    days: dict[int, dict[str, int]] = defaultdict(lambda: dict.fromkeys(names, 0))
    for life in book.orders.values():
        day = days[book.day(life.made_ns)]
        day["orders"] += 1
        day["messages"] += life.messages
        day["traded"] += int(life.filled > 0)
    for fill in book.fills:
        days[book.day(fill.ts_ns)]["fills"] += 1
    found = [*_layering(book), *_wash(book), *_close(book)]
    return Report(dict(sorted(days.items())), sorted(found, key=lambda pattern: pattern.ts_ns))


def _layering(book: Book) -> list[Pattern]:
    """Each fill with so many short-lived, unfilled entries of the other side around it; an order counts once."""
    taken_back: dict[tuple[int, int], list[Life]] = defaultdict(list)
    for life in book.orders.values():
        if life.is_entry and life.filled == 0 and 0 < life.ended_ns - life.made_ns <= LIFE_NS_MAX:
            taken_back[life.instrument, life.side].append(life)
    found, used = [], set[int]()
    for fill in book.fills:
        near = [
            life.number
            for life in taken_back[fill.instrument, -fill.side]
            if abs(life.ended_ns - fill.ts_ns) <= LAYERS_NS and life.number not in used
        ]
        if len(near) >= LAYERS_MIN:
            used.update(near)
            words = f"{len(near)} entries of the other side were taken back unfilled within {LAYERS_NS // NANOS} s"
            found.append(_pattern(LAYERING, book, fill, (*near, fill.number), words))
    return found


def _wash(book: Book) -> list[Pattern]:
    """A buy and a sell of one instrument at one price within WASH_NS."""
    found, last = [], dict[tuple[int, int, int], Fill]()
    for fill in book.fills:
        other = last.get((fill.instrument, fill.price_tick, -fill.side))
        if other is not None and fill.ts_ns - other.ts_ns <= WASH_NS:
            words = f"bought and sold at {fill.price_tick} ticks within {(fill.ts_ns - other.ts_ns) / 1e6:.0f} ms"
            found.append(_pattern(WASH, book, fill, (other.number, fill.number), words))
        last[fill.instrument, fill.price_tick, fill.side] = fill
    return found


def _close(book: Book) -> list[Pattern]:
    """Entries of one side that are a large share of the last minutes' volume; what leaves has to be flat by then."""
    found = []
    for day, close_ns in book.closes.items():
        begin = close_ns // MINUTE_NS - CLOSE_MINUTES
        own: dict[tuple[int, int], list[Fill]] = defaultdict(list)
        for fill in book.fills:
            if book.orders[fill.number].is_entry and begin <= fill.ts_ns // MINUTE_NS and fill.ts_ns < close_ns:
                own[fill.instrument, fill.side].append(fill)
        for (instrument, _side), fills in own.items():
            lots = sum(fill.qty for fill in fills)
            others = sum(book.volume[instrument, begin + i] for i in range(CLOSE_MINUTES + 1))
            if 100 * lots >= CLOSE_SHARE_PCT * (lots + others):
                numbers = tuple(sorted({fill.number for fill in fills}))
                words = f"{lots} of {lots + others} lots of the last {CLOSE_MINUTES} minutes of {day} were entries"
                found.append(_pattern(CLOSE, book, fills[-1], numbers, words))
    return found


def _pattern(kind: str, book: Book, fill: Fill, orders: tuple[int, ...], words: str) -> Pattern:
    return Pattern(kind, book.day(fill.ts_ns), fill.instrument, fill.ts_ns, orders, words)
