"""The simulated feed: an unlimited tape of a made-up market, the same bytes for the same seed, options and symbols.

The tape is made in small chunks as it is read, so memory does not grow; `seek` runs the market forward without writing
books.  The venue's clock starts inside a session, with back-fill before it: 1-second bars, and full detail for the last
minute.  Each instrument has a random sequence of its own (seed and symbol), so adding one does not change the others.
It reads no clock and no file.  Called through `feeds.registry`.  Market model: `core.simulation`.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import numpy as np

from marketdata.core.instruments import INSTRUMENTS, UnknownInstrument, instrument
from marketdata.core.records import (
    BAR,
    FLAG_BACKFILL,
    STATUS,
    STATUS_OPEN,
    new_depths,
    new_events,
)
from marketdata.core.simulation.market import SECOND_NS, Market, advance, new_market
from marketdata.feeds.port import Batch, FeedError, FeedSpec

CHUNK_EVENTS = 2048
CHUNK_DEPTHS = 1024
SEEK_EVENT_NS = 10_000_000  # a fast-forward by n events runs at least n times this far
AHEAD_S = 60  # most that the market runs ahead of its reader
WARM_UP_S = 60  # before the back-fill: the book forgets how it was filled
BACKFILL_S = 1500
DETAIL_S = 60
SYMBOLS_MAX = 32
# Wednesday 2026-03-04, inside the main session: 10:00 New York, 11:00 Moscow
START_NS = {
    "cme": int(datetime(2026, 3, 4, 15, 0, tzinfo=UTC).timestamp()) * SECOND_NS,
    "moex": int(datetime(2026, 3, 4, 8, 0, tzinfo=UTC).timestamp()) * SECOND_NS,
}
# starting price in ticks, near what these instruments cost, and units per size step
START_TICKS = {
    "MES": 20_000, "ES": 20_000, "MNQ": 70_000, "NQ": 70_000,
    "SBER": 30_000, "GAZP": 16_000, "LKOH": 14_000, "ROSN": 11_000, "GMKN": 7_500, "VTBR": 16_000, "MXI": 54_000,
    "SBERP": 30_000, "TATN": 7_000, "TATNP": 6_600, "NVTK": 6_000, "SNGS": 5_400, "SNGSP": 11_000, "PLZL": 10_000,
    "CHMF": 5_500, "NLMK": 6_000, "MAGN": 6_600, "MTSS": 4_400, "MGNT": 8_400, "AFLT": 6_000, "ALRS": 4_500,
    "PHOR": 6_500, "RUAL": 6_600, "IRAO": 6_400, "HYDR": 4_200, "FEES": 3_500, "PIKK": 4_800, "RTKM": 6_000,
    "AFKS": 13_000, "CBOM": 4_100, "VKCO": 2_700,
}  # fmt: skip
SCALES = {"cme": 1, "moex": 12}
OPTIONS = {
    "start": "time at which the session begins, with its offset, like 2026-03-04T10:00:00-05:00",
    "rate": "how busy the market is; 1 = usual, 0.1 .. 20",
    "rvi": "middle of the volatility index in points, 28 unless given",
    "backfill_s": f"seconds of history before the start, {BACKFILL_S} unless given",
    "backfill_detail_s": f"its last seconds with trades, quotes and books, {DETAIL_S} unless given",
}


def _start_ns(text: str, venue: str) -> int:
    if not text:
        return START_NS[venue]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise FeedError(f"option start={text!r} is not a time like 2026-03-04T10:00:00-05:00") from None
    if moment.tzinfo is None:
        raise FeedError(f"option start={text!r} has no offset: write it with Z or -05:00")
    if moment.microsecond != 0:
        raise FeedError(f"option start={text!r} is no whole second")
    return int(moment.timestamp()) * SECOND_NS


def _rate_permille(text: str) -> int:
    try:
        rate = Decimal(text)
    except InvalidOperation:
        rate = Decimal("NaN")
    if not rate.is_finite() or not Decimal("0.1") <= rate <= 20:
        raise FeedError(f"option rate={text!r} is not a number within 0.1 .. 20")
    return int(rate * 1000)


def _seconds(options: Mapping[str, str], name: str, default: int) -> int:
    text = options.get(name, str(default))
    if not text.isdecimal() or int(text) > 86_400:
        raise FeedError(f"option {name}={text!r} is not a whole number of seconds within 0 .. 86400")
    return int(text)


def seed_words(seed: int, symbol: str) -> np.ndarray:
    """(4,) int64: four words of 32 bits for the random sequence of one instrument."""
    digest = hashlib.sha256(f"{seed}/{symbol}".encode()).digest()
    return np.frombuffer(digest[:16], "<u4").astype(np.int64)


class SimulatedFeed:
    """One tape over several instruments; see `port.Feed`."""

    def __init__(self, spec: FeedSpec) -> None:
        self.symbols = _symbols(spec)
        if unknown := sorted(set(spec.options) - set(OPTIONS)):
            raise FeedError(f"the simulated feed has no option {unknown[0]!r}; it has: {', '.join(OPTIONS)}")
        self.seed = spec.seed
        self.start_ns = _start_ns(spec.options.get("start", ""), INSTRUMENTS[self.symbols[0]].venue)
        self._rate = _rate_permille(spec.options.get("rate", "1"))
        self._backfill_s = _seconds(spec.options, "backfill_s", BACKFILL_S)
        self._detail_s = min(_seconds(spec.options, "backfill_detail_s", DETAIL_S), self._backfill_s)
        self._events = new_events(CHUNK_EVENTS)
        self._blank = self._events.copy()
        self._depths = new_depths(CHUNK_DEPTHS)
        self._depth_of = np.full(CHUNK_EVENTS, -1, np.int32)
        self._used = 0  # events of the chunk arrays that are not blank
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        """The market as it stands at `start_ns`, the back-fill kept aside, the tape at position 0."""
        first_ns = self.start_ns - (self._backfill_s + WARM_UP_S) * SECOND_NS
        self._market = self._new_market(first_ns)
        self._backfill = self._make_backfill()
        self._at_start = _copy(self._market)
        self._rewind()

    def _new_market(self, first_ns: int) -> Market:
        words = np.stack([seed_words(self.seed, symbol) for symbol in self.symbols])
        anchor = np.array([START_TICKS[symbol] for symbol in self.symbols], np.int64)
        scale = np.array([SCALES[INSTRUMENTS[symbol].venue] for symbol in self.symbols], np.int64)
        return new_market(first_ns, words, anchor, scale, self._rate)

    def _make_backfill(self) -> Batch:
        """Everything up to `start_ns`: bars all along, the rest in the last seconds only."""
        bars_ns = self.start_ns - self._backfill_s * SECOND_NS
        detail_ns = self.start_ns - self._detail_s * SECOND_NS
        parts = []
        reached = 0
        while reached == 0:
            events, depths, depth_of, reached = self._advance(self.start_ns, 0)
            ts, kinds = events["ts_ns"], events["kind"]
            keep = (ts > detail_ns) | ((kinds == BAR) & (ts > bars_ns))
            parts.append(_select(events, depths, depth_of, keep))
        batch = _join(parts, 0)
        batch.events["flags"] |= FLAG_BACKFILL
        batch.depths["flags"] |= FLAG_BACKFILL
        return batch

    def _advance(self, until_ns: int, bare: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """One chunk of tape; the arrays are views that the next call overwrites."""
        self._events[: self._used] = self._blank[: self._used]
        self._depth_of[: self._used] = -1
        n, d, reached = advance(self._market, until_ns, self._events, self._depths, self._depth_of, bare)
        self._used = n
        return self._events[:n], self._depths[:d], self._depth_of[:n], reached

    def _rewind(self) -> None:
        self._market = _copy(self._at_start)
        opening = new_events(len(self.symbols))
        opening["kind"] = STATUS
        opening["code"] = STATUS_OPEN
        opening["instrument"] = np.arange(opening.size)
        opening["ts_ns"] = opening["ts_venue_ns"] = self.start_ns
        self._made_ns = self.start_ns  # the market has run up to here
        self._chunk = (opening, new_depths(0), np.full(opening.size, -1, np.int32))
        self._times = opening["ts_ns"].copy()
        self._next = 0  # index in the chunk
        self.position = 0

    def _refill(self, until_ns: int, bare: int = 0) -> None:
        """The next chunk that has an event; the reader wants `until_ns`, its first `bare` events need no depth."""
        ahead = min(max(until_ns - self._made_ns, SECOND_NS), AHEAD_S * SECOND_NS)
        while True:
            events, depths, depth_of, reached = self._advance(self._made_ns + ahead, bare)
            if reached == 1:
                self._made_ns += ahead
            if events.size > 0:
                break
        self._chunk = (events, depths, depth_of)
        self._times = events["ts_ns"].copy()
        self._next = 0

    def _check_open(self) -> None:
        if self._closed:
            raise FeedError("the simulated feed was closed; open it again")

    def backfill(self) -> Batch:
        """Bars of the time before the start, and every event of its last minute.  Flagged FLAG_BACKFILL."""
        self._check_open()
        kept = self._backfill
        return Batch(kept.events.copy(), kept.depths.copy(), kept.depth_of.copy(), 0, False)

    def read(self, until_ns: int, limit: int) -> Batch:
        """The next events up to `until_ns`, inclusive, at most `limit`; a short batch means that no more are due."""
        self._check_open()
        parts: list[Batch] = []
        left = limit
        while left > 0:
            if self._next == self._times.size:
                self._refill(until_ns)
            due = int(np.searchsorted(self._times, until_ns, "right"))
            end = min(due, self._next + left)
            if end <= self._next:
                break
            parts.append(_cut(*self._chunk, self._next, end))
            left -= end - self._next
            self._next = end
        self.position += limit - left
        return _join(parts, self.position)

    def bars(self, until_ns: int) -> Iterator[np.ndarray]:
        """The BARs alone from here to `until_ns`, inclusive, in chunks: several times faster than `read`."""
        self._check_open()
        while True:
            due = int(np.searchsorted(self._times, until_ns, "right"))
            part = self._chunk[0][self._next : due]
            yield part[part["kind"] == BAR]
            self.position += max(0, due - self._next)
            self._next = max(self._next, due)
            if self._next < self._times.size:
                return
            self._refill(until_ns, CHUNK_EVENTS)

    def next_ns(self) -> int:
        """Time of the next event; this tape never ends."""
        self._check_open()
        if self._next == self._times.size:
            self._refill(self._made_ns)
        return int(self._times[self._next])

    def seek(self, position: int) -> None:
        """Stand before the event of this position, as after a takeover.  Backwards starts over."""
        self._check_open()
        if position < 0:
            raise FeedError(f"position {position} is negative")
        if position < self.position:
            self._rewind()
        while True:
            inside = min(position - self.position, self._times.size - self._next)
            self._next += inside
            self.position += inside
            if self.position == position:
                return
            bare = position - self.position
            self._refill(self._made_ns + bare * SEEK_EVENT_NS, bare)

    def close(self) -> None:
        self._closed = True


def _symbols(spec: FeedSpec) -> list[str]:
    symbols = [symbol.upper() for symbol in spec.symbols]
    if not 0 < len(symbols) <= SYMBOLS_MAX or len(set(symbols)) != len(symbols):
        given = ", ".join(symbols) or "none"
        raise FeedError(f"the simulated feed needs 1 to {SYMBOLS_MAX} symbols, each once, not {given}")
    for symbol in symbols:
        try:
            instrument(symbol)
        except UnknownInstrument as error:
            raise FeedError(str(error)) from None
        if symbol not in START_TICKS:
            raise FeedError(f"the simulated feed has no starting price for {symbol}")
    if not 0 <= spec.seed < 2**63:
        raise FeedError(f"seed {spec.seed} is not within 0 .. 2^63 - 1")
    return symbols


def _copy(market: Market) -> Market:
    lob = type(market.lob)(*(array.copy() for array in market.lob))
    return Market(lob, market.rng.copy(), market.scalars.copy(), market.bars.copy())


def _cut(events: np.ndarray, depths: np.ndarray, depth_of: np.ndarray, start: int, end: int) -> Batch:
    """Events start .. end of a chunk with their depths; copies."""
    places = depth_of[start:end]
    known = places[places >= 0]
    if known.size == 0:
        return Batch(events[start:end].copy(), depths[:0].copy(), places.copy(), 0, False)
    first, last = int(known[0]), int(known[-1])
    return Batch(
        events[start:end].copy(),
        depths[first : last + 1].copy(),
        np.where(places >= 0, places - np.int32(first), np.int32(-1)),
        0,
        False,
    )


def _select(events: np.ndarray, depths: np.ndarray, depth_of: np.ndarray, keep: np.ndarray) -> Batch:
    """The kept events of a chunk with their depths; copies."""
    places = depth_of[keep]
    known = places >= 0
    fresh = np.full(places.size, -1, np.int32)
    fresh[known] = np.arange(int(known.sum()), dtype=np.int32)
    return Batch(events[keep], depths[places[known]], fresh, 0, False)


def _join(parts: list[Batch], position: int) -> Batch:
    """Batches one after the other."""
    if not parts:
        return Batch(EMPTY.events, EMPTY.depths, EMPTY.depth_of, position, False)
    if len(parts) == 1:
        return Batch(parts[0].events, parts[0].depths, parts[0].depth_of, position, False)
    places = []
    before = 0
    for part in parts:
        places.append(np.where(part.depth_of >= 0, part.depth_of + np.int32(before), np.int32(-1)))
        before += part.depths.size
    return Batch(
        np.concatenate([part.events for part in parts]),
        np.concatenate([part.depths for part in parts]),
        np.concatenate(places),
        position,
        False,
    )


EMPTY = Batch(new_events(0), new_depths(0), np.full(0, -1, np.int32), 0, False)


def open_simulated(spec: FeedSpec) -> SimulatedFeed:
    """The feed that `spec` describes.  Raises FeedError with one sentence."""
    return SimulatedFeed(spec)
