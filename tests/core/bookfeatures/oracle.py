"""The 88 book features once more: slow, in plain Python and money, straight from the tables of MOEX-FEAT and MOEX-DATA.

It shares no code with the product: prices are floats of money, every window is taken anew from the whole history.
"""

import itertools
import math
from typing import NamedTuple

S = 10**9
Levels = tuple[tuple[int, int], ...]  # (tick, lots), best first


class Book(NamedTuple):
    ts: int
    venue: int
    bids: Levels
    asks: Levels


class Trade(NamedTuple):
    ts: int
    tick: int
    lots: int
    side: int


class Candle(NamedTuple):
    start: int
    high: int
    low: int
    close: int


class Market(NamedTuple):
    ts: int
    known: bool
    volatility: float
    liquidity: float
    market_index: float


class Reset(NamedTuple):
    """What happened meanwhile is unknown."""


Event = Book | Trade | Candle | Market | Reset


class Seen(NamedTuple):
    """A book of the history ring: at which moment, its sides in money, its mid (0: there is none)."""

    ts: int
    bids: list[tuple[float, int]]
    asks: list[tuple[float, int]]
    mid: float


def div(x: float, y: float) -> float:
    return x / y if abs(y) > 1e-12 else 0.0


def clip(x: float, low: float, high: float) -> float:
    return low if x < low else high if x > high else x


def lots(side: list[tuple[float, int]], n: int) -> int:
    return sum(size for _, size in side[:n])


def imbalance(book: Seen, n: int) -> float:
    bids, asks = lots(book.bids, n), lots(book.asks, n)
    return div(bids - asks, bids + asks)


def part(now: list[tuple[float, int]], before: list[tuple[float, int]], i: int, better: int) -> int:
    """One side of e_i; `better` = +1 where a higher price is better."""
    new = now[i] if i < len(now) else None
    old = before[i] if i < len(before) else None
    if new is None:
        return 0 if old is None else -old[1]
    if old is None or better * (new[0] - old[0]) > 0:
        return new[1]
    return new[1] - old[1] if new[0] == old[0] else -old[1]


def queue_delta(now: list[tuple[float, int]], before: list[tuple[float, int]], better: int) -> float:
    if not now:
        return 0.0 if not before else -1.0
    if not before or better * (now[0][0] - before[0][0]) > 0:
        return 1.0
    if now[0][0] == before[0][0]:
        return div(now[0][1] - before[0][1], now[0][1] + before[0][1])
    return -1.0


class Oracle:
    """Events in inbox order; `take` answers a book with its features by name, or with the word of its refusal."""

    def __init__(self, tick_nanos: int, sessions: list[tuple[int, int]]) -> None:
        self.tick = tick_nanos / S
        self.sessions = sessions
        self.forget()

    def forget(self) -> None:
        self.now = -(10**20)
        self.venue = -(10**20)
        self.books: list[Seen] = []
        self.trades: list[Trade] = []
        self.candles: list[Candle] = []
        self.market = Market(0, False, 0, 0, 0)

    def take(self, event: Event, wanted: bool = True) -> dict[str, float] | str | None:
        if isinstance(event, Reset):
            self.forget()
        elif isinstance(event, Market):
            numbers = (event.volatility, event.liquidity, event.market_index)
            self.market = event if all(map(math.isfinite, numbers)) else event._replace(known=False)
        elif isinstance(event, Candle):
            if not self.candles or event.start > self.candles[-1].start:
                self.candles.append(event)
        elif isinstance(event, Trade):
            self.now = max(self.now, event.ts)
            self.trades.append(event._replace(ts=self.now))
        else:
            return self.take_book(event, wanted)
        return None

    def take_book(self, event: Book, wanted: bool) -> dict[str, float] | str | None:
        if event.venue < self.venue:
            return "OLD"
        self.venue = event.venue
        self.now = max(self.now, event.ts)
        bids = [(tick * self.tick, size) for tick, size in event.bids]
        asks = [(tick * self.tick, size) for tick, size in event.asks]
        if bids and asks:
            mid = (bids[0][0] + asks[0][0]) / 2
        elif self.books and self.books[-1].mid:
            mid = self.books[-1].mid
        else:
            mid = bids[0][0] if bids else asks[0][0] if asks else 0.0
        self.books.append(Seen(self.now, bids, asks, mid))
        if mid == 0.0:
            return "EMPTY_BOOK"
        return self.features() if wanted else "UNWANTED"

    def before(self) -> Seen | None:
        if len(self.books) > 1 and self.now - self.books[-2].ts <= 60 * S:
            return self.books[-2]
        return None

    def ring(self) -> list[tuple[int, float, int]]:
        """(ts, mid, n_books) of each bucket of 100 ms, oldest first."""
        buckets: dict[int, tuple[int, float, int]] = {}
        for book in reversed(self.books):
            bucket = book.ts // 10**8
            if bucket <= self.now // 10**8 - 640:
                break
            if book.mid:
                ts, mid, count = buckets.get(bucket, (book.ts, book.mid, 0))
                buckets[bucket] = (ts, mid, count + 1)
        return [buckets[bucket] for bucket in sorted(buckets)]

    def features(self) -> dict[str, float]:
        f: dict[str, float] = {}
        self.of_the_book(f)
        self.of_the_change(f)
        self.of_the_ring(f)
        self.of_the_trades(f)
        self.of_the_candles(f)
        t = self.now
        f["session_pos"] = 0.0
        for start, end in self.sessions:
            if start <= t < end:
                f["session_pos"] = clip((t - start) / (end - start), 0, 1)
        known = self.market.known and t - self.market.ts <= 5 * S
        f["market_volatility"] = clip(self.market.volatility, 0, 10) if known else 0.0
        f["market_liquidity"] = clip(self.market.liquidity, 0, 10) if known else 1.0
        f["market_index"] = clip(self.market.market_index, 0, 1) if known else 0.0
        f["market_known"] = float(known)
        return f

    def of_the_book(self, f: dict[str, float]) -> None:
        book = self.books[-1]
        bids, asks, mid = book.bids, book.asks, book.mid
        all_bids, all_asks = lots(bids, 20), lots(asks, 20)
        f["imbalance"] = imbalance(book, 20)
        for n in (1, 5, 10):
            f[f"imbalance_{n}"] = imbalance(book, n)
        both = bool(bids and asks)
        f["two_sided"] = float(both)
        f["mid_price"] = mid
        f["microprice"], f["spread"] = mid, 0.0
        if both:
            (b, size_b), (a, size_a) = bids[0], asks[0]
            f["microprice"] = (a * size_b + b * size_a) / (size_b + size_a)
            f["spread"] = a - b
        f["spread_rel"] = clip(div(f["spread"], mid), -0.1, 0.1)
        f["microprice_rel"] = clip(1e4 * div(f["microprice"] - mid, mid), -500, 500)
        f["bid_total_log"], f["ask_total_log"] = math.log(1 + all_bids), math.log(1 + all_asks)
        away = sum(size * (bids[0][0] - price) / self.tick for price, size in bids)
        f["bid_slope"] = math.log(1 + div(away, all_bids))
        away = sum(size * (price - asks[0][0]) / self.tick for price, size in asks)
        f["ask_slope"] = math.log(1 + div(away, all_asks))
        f["levels_bid"], f["levels_ask"] = len(bids) / 20, len(asks) / 20
        for i in range(20):
            bid = bids[i][1] if i < len(bids) else 0
            ask = asks[i][1] if i < len(asks) else 0
            f[f"lvl_imb_{i + 1:02d}"] = div(bid - ask, bid + ask)
            f[f"lvl_share_{i + 1:02d}"] = div(bid + ask, all_bids + all_asks)

    def of_the_change(self, f: dict[str, float]) -> None:
        names = ("ofi", "book_gradient", "ofi_cks_1", "ofi_cks_5", "ofi_cks_20", "queue_delta_bid", "queue_delta_ask")
        f.update(dict.fromkeys(names, 0.0))
        now, before = self.books[-1], self.before()
        if before is None:
            return
        im, im_p = imbalance(now, 20), imbalance(before, 20)
        f["ofi"] = clip((im - im_p) / (abs(im_p) + 1e-8), -10, 10)
        f["book_gradient"] = clip((im - im_p) / (abs(im) + 1e-8), -10, 10)
        for n in (1, 5, 20):
            flow = sum(part(now.bids, before.bids, i, 1) - part(now.asks, before.asks, i, -1) for i in range(n))
            depth = sum(lots(side, n) for side in (now.bids, now.asks, before.bids, before.asks)) / 2
            f[f"ofi_cks_{n}"] = clip(div(flow, depth), -2, 2)
        f["queue_delta_bid"] = queue_delta(now.bids, before.bids, 1)
        f["queue_delta_ask"] = queue_delta(now.asks, before.asks, -1)

    def of_the_ring(self, f: dict[str, float]) -> None:
        t, ring = self.now, self.ring()
        mid = self.books[-1].mid

        def rv(seconds: int) -> float:
            total = 0.0
            for (_, old, _), (ts, new, _) in itertools.pairwise(ring):
                if ts > t - seconds * S:
                    total += math.log(new / old) ** 2
            return clip(math.sqrt(total / seconds * 252 * 31_200), 0, 10)

        f["volatility"], f["rv_1s"], f["rv_10s"] = rv(60), rv(1), rv(10)
        f["rv_ratio"] = clip(div(f["rv_10s"], f["volatility"]), 0, 10)
        loud = f["volatility"] > 0.15
        f["aggressive_imbalance"] = 1.5 * f["imbalance"] if loud else 0.0
        f["conservative_imbalance"] = 0.0 if loud else 0.7 * f["imbalance"]
        f["book_rate_10s"] = min(100, sum(n for ts, _, n in ring if ts > t - 10 * S) / 10)
        f["history_fill"] = min(1, (t - ring[0][0]) / (60 * S))
        for seconds in (1, 10, 60):
            old = [record for record in ring if record[0] <= t - seconds * S]
            then = old[-1][1] if old else ring[0][1]
            f[f"ret_{seconds}s"] = clip(1e4 * math.log(mid / then), -500, 500)

    def of_the_trades(self, f: dict[str, float]) -> None:
        t, mid = self.now, self.books[-1].mid
        kept = self.trades[-20_000:]
        for seconds in (10, 60):
            inside = [trade for trade in kept if trade.ts > t - seconds * S]
            buys = sum(trade.lots for trade in inside if trade.side == 1)
            sells = sum(trade.lots for trade in inside if trade.side == -1)
            f[f"trade_imbalance_{seconds}s"] = div(buys - sells, buys + sells)
            total = sum(trade.lots for trade in inside)
            if seconds == 10:
                f["trade_rate_10s"] = min(100, len(inside) / 10)
                f["trade_volume_10s"] = math.log(1 + total)
            else:
                f["vwap_gap_60s"] = 0.0
                if inside:
                    vwap = sum(trade.tick * self.tick * trade.lots for trade in inside) / total
                    f["vwap_gap_60s"] = clip(1e4 * div(mid - vwap, mid), -500, 500)

    def of_the_candles(self, f: dict[str, float]) -> None:
        mid, candles = self.books[-1].mid, self.candles
        atr = self.atr_of_books()
        f["atr_proxy"] = 1.0
        if len(candles) >= 5:
            f["atr_proxy"] = 0.0
            ranges = []
            for i in range(len(candles) - 5, len(candles)):
                high, low = candles[i].high, candles[i].low
                if i > 0 and candles[i].start - candles[i - 1].start <= 300 * S:
                    high, low = max(high, candles[i - 1].close), min(low, candles[i - 1].close)
                ranges.append((high - low) * self.tick)
            atr = sum(ranges) / 5
        f["atr5_rel"] = clip(div(atr, mid), 0, 0.5)
        highs = [candle.high * self.tick for candle in candles[-20:]]
        lows = [candle.low * self.tick for candle in candles[-20:]]
        f["range_20m_rel"] = clip((max([*highs, mid]) - min([*lows, mid])) / mid, 0, 1)
        f["candle_ret_5m"] = 0.0
        if len(candles) >= 2:
            first = candles[max(len(candles) - 6, 0)]
            f["candle_ret_5m"] = clip(1e4 * math.log(candles[-1].close / first.close), -1000, 1000)

    def atr_of_books(self) -> float:
        """The proxy: the last five pairs of the 30 books of the history ring that count."""
        ring = self.books[-30:]
        found: list[float] = []
        for old, new in reversed(list(itertools.pairwise(ring))):
            if old.bids and old.asks and new.bids and new.asks and new.ts - old.ts <= 60 * S:
                found.append(max(new.asks[0][0], old.mid) - min(new.bids[0][0], old.mid))
        found = found[:5]
        return sum(found) / len(found) if found else 0.0
