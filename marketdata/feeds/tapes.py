"""Recorded files as blocks of EVENTs in order of time: what `feeds.replay` cuts its batches from.

A block depends on the file and its options alone, never on who reads it or how fast.  Memory is bounded: a few thousand
records, their events and the order book.  It knows no position and no session clock.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from marketdata.core import tape as core
from marketdata.core.bars import CARRY_NS
from marketdata.core.depth import grow_levels, grow_orders, new_book
from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import BAR, DEPTH, EVENT, FLAG_CARRIED, new_depths, new_events
from marketdata.core.units import NANOS
from marketdata.feeds.dbn import BAR_SECONDS, BBO, DbnReader
from marketdata.feeds.options import ReplayOptions
from marketdata.feeds.port import FeedError
from marketdata.feeds.sources import dbn_ids
from marketdata.feeds.tabular import BarReader, Bars

RECORD_ROWS = 1 << 14
BLOCK_EVENTS = 1 << 12
FAR_FUTURE_NS = np.iinfo(np.int64).max


class Block(NamedTuple):
    """Events in order of ts_venue_ns, with their depths."""

    events: np.ndarray  # (n,) EVENT
    depths: np.ndarray  # (m,) DEPTH
    depth_of: np.ndarray  # (n,) int32, index in `depths` or −1


def empty_block() -> Block:
    """No event."""
    return Block(np.zeros(0, EVENT), np.zeros(0, DEPTH), np.zeros(0, np.int32))


def join_blocks(parts: list[Block]) -> Block:
    """One after another; a single one as it is, not copied."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return empty_block()
    depth_of, base = [], 0
    for part in parts:
        depth_of.append(np.where(part.depth_of >= 0, part.depth_of + base, -1).astype(np.int32))
        base += part.depths.size
    return Block(
        np.concatenate([part.events for part in parts]),
        np.concatenate([part.depths for part in parts]),
        np.concatenate(depth_of),
    )


class Tape(Protocol):
    """One pass over a recording."""

    def blocks(self) -> Iterator[Block]:
        """All of it, in order; no block is empty.  Raises FeedError at the record that cannot be used."""
        ...

    def counts(self) -> dict[str, int]:
        """What was left out or mended so far, by name."""
        ...

    def close(self) -> None:
        """Release files."""
        ...


class RecordTape:
    """`mbo`, `mbp-10`, `trades` and `bbo-1s` of a DBN file: trades, 1-second bars from them, and the book after each
    event; of `bbo-1s` the best prices alone: a last trade that is told once a second is no tape of trades."""

    def __init__(self, path: Path, schema: str, symbols: list[str], options: ReplayOptions) -> None:
        self._reader = DbnReader(path, schema)
        self._first = self._reader.read(RECORD_ROWS)
        ids: dict[int, int] = {}
        for place, symbol in enumerate(symbols):
            mine = dbn_ids(self._reader, symbol, place, options, self._first)
            if len(mine) > 1 and self._reader.schema == "mbo":
                raise FeedError(
                    f"{path} rolls {symbol} over the ids {mine}: choose one with the option instrument_id=..."
                )
            ids.update(dict.fromkeys(mine, place))
        self._tape = core.new_tape(ids, [INSTRUMENTS[symbol].tick_nanos for symbol in symbols])
        self._book = new_book(len(symbols))
        self._symbols = symbols

    def blocks(self) -> Iterator[Block]:
        """See Tape.blocks."""
        records = self._first
        while records.size:
            k = 0
            while k < records.size:
                k, block = self._pass(records, k)
                if block.events.size:
                    yield block
            records = self._reader.read(RECORD_ROWS)
        events = new_events(len(self._symbols))
        count = core.last_bars(self._tape, events)
        if count:
            yield _without_depth(events[:count])

    def _pass(self, records: np.ndarray, k: int) -> tuple[int, Block]:
        """Records from `k` on until an output array is full.  Returns the next record and the block."""
        events, depths = new_events(BLOCK_EVENTS), new_depths(BLOCK_EVENTS)
        depth_of = np.full(BLOCK_EVENTS, -1, np.int32)
        if self._reader.schema == "mbo":
            out = core.mbo_events(self._tape, self._book, records, k, events, depths, depth_of)
        else:
            out = core.print_events(self._tape, k, events, depths, depth_of, *_columns(records))
        k, count, depth_count, why = out
        if why == core.GROW_ORDERS:
            self._book = grow_orders(self._book)
        elif why == core.GROW_LEVELS:
            self._book = grow_levels(self._book)
        elif why == core.OFF_GRID:
            self._refuse_price(records, k)
        return k, Block(events[:count], depths[:depth_count], depth_of[:count])

    def _refuse_price(self, records: np.ndarray, k: int) -> None:
        row = self._reader.rows - records.size + k + 1
        raise FeedError(
            f"{self._reader.path}: record {row} of {', '.join(self._symbols)} has a price off the tick grid"
            f" (its own price is {int(records['price'][k]) / NANOS:g}): is it the right instrument?"
        )

    def counts(self) -> dict[str, int]:
        """See Tape.counts."""
        scalars = self._tape.scalars
        return {
            "records": self._reader.rows,
            "other_instruments": int(scalars[core.FOREIGN]),
            "time_went_back": int(scalars[core.LATE]),
            "no_price": int(scalars[core.UNPRICED]),
            "unknown_orders": int(self._book.counts[1]),
            "repeated_orders": int(self._book.counts[2]),
        }

    def close(self) -> None:
        """See Tape.close."""
        self._reader.close()


def _columns(records: np.ndarray) -> tuple[np.ndarray, ...]:
    """The record fields and, for mbp-10 and bbo-1s, the four level columns (n, 10); (0, 10) for trades."""
    if records.dtype == BBO:
        return _sampled(records)
    if "levels" not in (records.dtype.names or ()):
        none, no_size = np.zeros((0, core.VENUE_LEVELS), np.int64), np.zeros((0, core.VENUE_LEVELS), np.uint32)
        return records, none, none, no_size, no_size
    fields = np.empty(records.size, core.PRINTS)
    for name in core.PRINTS.names or ():
        fields[name] = records[name]
    levels = records["levels"]
    return fields, *(np.ascontiguousarray(levels[name]) for name in ("bid_px", "ask_px", "bid_sz", "ask_sz"))


def _sampled(records: np.ndarray) -> tuple[np.ndarray, ...]:
    """Samples of the best prices as mbp-10 of one level; none is a trade, each is a whole state of the book."""
    fields = np.zeros(records.size, core.PRINTS)
    for name in ("instrument_id", "ts_event", "price", "ts_recv", "flags"):
        fields[name] = records[name]
    fields["flags"] |= core.LAST_OF_EVENT
    columns = []
    for name, none in (
        ("bid_px", core.UNDEFINED_PRICE),
        ("ask_px", core.UNDEFINED_PRICE),
        ("bid_sz", 0),
        ("ask_sz", 0),
    ):
        column = np.full((records.size, core.VENUE_LEVELS), none, records["levels"][name].dtype)
        column[:, 0] = records["levels"][name][:, 0]
        columns.append(column)
    return fields, *columns


class BarTape:
    """Bars of one or several files or instruments, merged by their end."""

    def __init__(self, paths: list[Path], schema: str, symbols: list[str], options: ReplayOptions) -> None:
        self._readers = [
            BarReader(path, symbol, options, schema=schema, place=place)
            for place, (path, symbol) in enumerate(zip(paths, symbols, strict=True))
        ]
        self._schema = schema

    def blocks(self) -> Iterator[Block]:
        """See Tape.blocks."""
        parts = [(place, reader, reader.chunks()) for place, reader in enumerate(self._readers)]
        waiting = [np.zeros(0, EVENT) for _ in parts]
        last = [np.zeros(0, EVENT) for _ in parts]
        while parts:
            for part in list(parts):
                place, reader, chunks = part
                while not waiting[place].size:
                    bars = next(chunks, None)
                    if bars is None:
                        parts.remove(part)
                        break
                    self._check_length(reader)
                    waiting[place] = bar_events(bars, place, reader.bar_ns)
                    if reader.bar_ns == NANOS:
                        waiting[place], last[place] = with_carried(waiting[place], last[place])
            live = [waiting[place]["ts_venue_ns"][-1] for place, _, _ in parts]
            until = min(live) if live else FAR_FUTURE_NS
            ready = [events[events["ts_venue_ns"] <= until] for events in waiting]
            waiting = [events[events["ts_venue_ns"] > until] for events in waiting]
            merged = np.concatenate(ready)
            if merged.size:
                yield _without_depth(merged[np.argsort(merged["ts_venue_ns"], kind="stable")])

    def _check_length(self, reader: BarReader) -> None:
        seconds = reader.bar_ns // NANOS
        if self._schema and seconds != BAR_SECONDS[self._schema]:
            raise FeedError(f"{reader.path} holds bars of {seconds} s, not {self._schema}: leave the schema out")

    def counts(self) -> dict[str, int]:
        """See Tape.counts."""
        return {"records": sum(reader.rows for reader in self._readers)}

    def close(self) -> None:
        """See Tape.close."""
        for reader in self._readers:
            reader.close()


def bar_events(bars: Bars, instrument: int, bar_ns: int) -> np.ndarray:
    """Checked bars → BAR events, stamped at their end, the first moment at which they are known."""
    events = new_events(bars.start_ns.size)
    events["kind"] = BAR
    events["instrument"] = instrument
    events["ts_ns"] = events["ts_venue_ns"] = bars.start_ns + bar_ns
    for k, name in enumerate(("open_tick", "high_tick", "low_tick", "close_tick")):
        events[name] = bars.ticks[:, k]
    events["price_tick"] = bars.ticks[:, 3]
    events["volume"] = bars.volume
    events["value"] = bar_ns
    return events


def with_carried(events: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1-second bars on their grid (MES-DATA-20): seconds without a print repeat the last close, flagged, up to the
    carry limit.  `last`: the bar before, (1,) or (0,).  Returns the bars and the new `last`."""
    if not events.size:
        return events, last
    before = np.concatenate((last if last.size else events[:1], events[:-1]))
    missing = (events["ts_venue_ns"] - before["ts_venue_ns"]) // NANOS - 1
    carried = np.clip(missing, 0, CARRY_NS // NANOS)
    counts = carried + 1
    source = np.repeat(np.arange(events.size), counts)
    step = np.arange(source.size) - np.repeat(np.cumsum(counts) - counts, counts)
    is_carried = step < carried[source]
    out = np.where(is_carried, before[source], events[source]).view(EVENT)
    mine = out[is_carried]
    for name in ("open_tick", "high_tick", "low_tick", "price_tick"):
        mine[name] = mine["close_tick"]
    mine["volume"] = 0
    mine["flags"] = FLAG_CARRIED
    mine["ts_venue_ns"] += (step[is_carried] + 1) * NANOS
    mine["ts_ns"] = mine["ts_venue_ns"]
    out[is_carried] = mine
    return out, events[-1:]


def _without_depth(events: np.ndarray) -> Block:
    return Block(events, np.zeros(0, DEPTH), np.full(events.size, -1, np.int32))
