"""The feed loop's body: plays one tape on the session's clock to the venue, the inbox and the scorer's stream.

It stamps the session's clock at the first start, sends the back-fill first, then what is due.  A full inbox stops the
tape; a Redis that is away does not (the market goes on): what then cannot be kept is counted and told as a gap.  It
decides nothing and knows no order.  Called by the runner.
"""

from collections.abc import Callable
from contextlib import ExitStack
from time import perf_counter_ns
from typing import Any

import msgspec
import numpy as np

from marketdata.core.records import BOOK, FEED, FEED_BEAT, FEED_END, FEED_GAP, FEED_UP, NO_TIME
from marketdata.core.units import NANOS
from marketdata.feeds.port import Batch, Feed
from marketdata.feeds.registry import open_feed
from marketdata.store.rolls import open_rolls
from marketdata.volatility import open_index
from trading.core.records import LINK, LINK_CONTRACT
from trading.run.clock import ClockMissing, SessionClock, boot_ns, clock_is_stale, load_clock, save_clock
from trading.run.context import WAIT_S, LoopContext
from trading.run.feeding.engine import open_engine
from trading.run.feeding.index import IndexTeller
from trading.run.feeding.outlet import Entry, Outlet, notice
from trading.run.feeding.recorder import Recorder
from trading.run.feeding.venue import MarketSink, VenueSide
from trading.run.feeding.wishes import RESYNC, Wishes
from trading.run.journal.recovery import account_event
from trading.run.streams import INBOX, MARKET, Board, Stream, StreamAway, StreamFull
from trading.run.telling.books import BookWatch

BATCH = 256
BEAT_NS = NANOS // 4  # of session time without an event, after which a beat is sent
BEAT_REAL_S = 0.02  # but never more often than this
LATEST_NS = NANOS // 20  # how often the newest depth goes to the board
LOOK_NS = NANOS // 4
RETRY_S = 0.05
CONTRACT_NS = 60 * NANOS  # how often what is known of a contract is said again (boot clock)
FAR_NS = np.iinfo(np.int64).max


class FeedLoop:
    """Body of loop "feed".  `venue` makes the venue's client, not connected."""

    def __init__(self, venue: Callable[[LoopContext, SessionClock], MarketSink]) -> None:
        self._make_venue = venue
        self._stack = ExitStack()  # what close() lets go

    def open(self, context: LoopContext) -> None:
        """Open the tape and the clock.  Raises FeedError when the tape cannot be used."""
        self.context = context
        client = context.connect()
        self._stack.callback(client.close)
        self._feed: Feed = open_feed(context.spec.feed)
        self._stack.callback(self._feed.close)
        key = context.spec.key
        self._inbox = Outlet(Stream(client, key, INBOX), context.fence, makes_it=False)
        self._md: Outlet | None = None
        if context.spec.scorer.name != "none":
            self._md = Outlet(Stream(client, key, MARKET), context.fence, makes_it=True)
        self._board, self._wishes = Board(client, key), Wishes(client, key)
        self._engine = open_engine(
            context.spec, context.folder, context.fence
        )  # compiled before the session's clock runs
        if self._engine is not None:
            self._stack.callback(self._engine.close)
        self._books = BookWatch(context.spec)
        self._recorder = Recorder(context.folder, context.spec, context.fence) if context.spec.feed.record else None
        if self._recorder is not None:
            self._recorder.start()
            self._stack.callback(self._recorder.end)
        fresh = self._open_clock()
        sink = self._make_venue(context, self._clock)
        self._stack.callback(sink.close)
        self._venue = VenueSide(sink)
        self._latest: dict[str, bytes] = {}
        self._latest_ns = self._looked_ns = self._spoke_boot_ns = self._shown_ns = NO_TIME
        self._ended = False
        self._skipped_seen = 0
        watched = context.spec.limits.get("rvi_max", 0) > 0
        index = open_index(context.spec.feed) if watched else None
        self._index = None
        if index is not None:
            self._index = IndexTeller(index, self._inbox, context.spec.limits, fresh=fresh)
        self._rolls = open_rolls(context.spec.feed) if context.spec.feed.path else None
        self._contracts: dict[int, tuple[bool, int]] = {}  # instrument → what was told of its contract, and when
        numbers = ("events", "position", "inbox_waiting", "md_waiting", "md_lost", "full")
        self.counts: dict[str, Any] = dict.fromkeys(numbers, 0)
        if self._rolls is not None and self._rolls.faults:  # named here; entries wait only where nothing else tells
            self.counts["contract_fault"] = "; ".join(self._rolls.faults)
        self._take_over(fresh)

    def step(self) -> int:
        """Flush what waits, then play what is due.  Returns the number of tape events played.  Raises Fenced."""
        self._look()
        self._inbox.flush(self._clock.now())
        if self._md is not None:
            self._md.flush(self._clock.now())
        if self._inbox.full or (self._clock.tape and self._tape_waits()):
            self.context.beat(self.counts | {"state": "a stream or the recording does not take more"})
            self.context.stop.wait(RETRY_S)
            return 0
        batch = self._feed.read(self._until_ns(), BATCH)
        count = len(batch.events)
        if count > 0:
            self._play(batch)
        elif batch.ended and not self._ended:
            self._say(FEED_END)
            self._ended = True
        else:
            self._wait()
        if count == 0 and self._engine is not None and not self._clock.tape:
            now_ns = self._clock.now()
            self._tell_engine(self._engine.until(now_ns), now_ns)
        if not self._ended:
            self._tell_books()
            self._tell_index()
            self._tell_contracts()
        self.context.beat(self.counts)
        return count

    def _tape_waits(self) -> bool:
        """A tape that follows its events goes on when everybody who hears it can take more; a market does not ask."""
        behind = self._recorder is not None and not self._recorder.has_room(BATCH)
        return behind or self._inbox.away or (self._md is not None and self._md.full)

    def close(self) -> None:
        """Let tape, venue and Redis go."""
        self._stack.close()

    # start

    def _open_clock(self) -> bool:
        """Read the session's clock, or stamp it.  Returns True at the very first start."""
        folder, speed = self.context.folder, self.context.spec.feed.speed
        try:
            self._clock = load_clock(folder)
            self._stale_clock = clock_is_stale(folder)
            return False
        except ClockMissing:
            self._clock = SessionClock(self._feed.start_ns, boot_ns(), speed)
            self._stale_clock = False
            save_clock(folder, self._clock)
            return True

    def _take_over(self, fresh: bool) -> None:
        """Back-fill at the first start; else go on where the inbox, or failing that the venue, has arrived."""
        if fresh:
            self._say(FEED_UP)
            backfill = self._feed.backfill()
            for start in range(0, len(backfill.events), BATCH):
                self._publish(cut(backfill, start, start + BATCH, position=-1), self._clock.now())
            if self._recorder is not None:
                self._recorder.take(backfill._replace(position=-1))
            self._begin_engine(backfill)
            self._tell_index()
            self._tell_contracts()
            return
        venue_position = self._venue.connect()
        try:
            mark = self._inbox.stream.mark(f"feed:{INBOX}")
        except StreamAway:
            mark = None
        position = int(mark) if mark is not None else max(venue_position, 0)
        self._feed.seek(position)
        self.counts["position"] = position
        if self._stale_clock:  # the machine was started anew: session time goes on at the next event of the tape
            next_ns = self._feed.next_ns()
            start_ns = self._feed.start_ns if next_ns == NO_TIME else next_ns
            self._clock = SessionClock(start_ns, boot_ns(), self.context.spec.feed.speed)
            save_clock(self.context.folder, self._clock)
        if mark is None and position > 0:
            self._say(FEED_GAP)  # between the venue's position and the inbox something may be missing
        self._say(FEED_UP)
        self._begin_engine(None)
        self._tell_contracts()

    # playing

    def _until_ns(self) -> int:
        """How far the tape may be read now.  A tape that follows its events is read second by second for the engine."""
        if not self._clock.tape:
            return self._clock.now()
        next_ns = FAR_NS if self._engine is None else self._feed.next_ns()
        return FAR_NS if next_ns in (FAR_NS, NO_TIME) else next_ns - next_ns % NANOS + NANOS - 1

    def _play(self, batch: Batch) -> None:
        if self._engine is not None and self._clock.tape:  # the second before it, whatever the cut of the tape
            first_ns = int(batch.events["ts_venue_ns"][0])
            self._tell_engine(self._engine.until(first_ns), first_ns)
        self._clock.observe(int(batch.events["ts_venue_ns"].max()))
        now_ns = self._clock.now()
        events = batch.events.copy()
        events["ts_ns"] = events["ts_venue_ns"] if self._clock.tape else now_ns
        batch = batch._replace(events=events)
        self._venue.give(batch, now_ns, self._tell)
        began = perf_counter_ns()
        self._publish(batch, now_ns)
        if self._recorder is not None:
            self._recorder.take(batch)
        if self._engine is not None:
            self._tell_engine(self._engine.feed(batch, now_ns), now_ns)
        self._books.took(perf_counter_ns() - began, int((events["kind"] == BOOK).sum()), self._clock)
        self.counts["events"] += len(events)
        self.counts["position"] = batch.position

    def _publish(self, batch: Batch, now_ns: int) -> None:
        """To the inbox without depths, to the scorer with them, the newest depth of each instrument to the board."""
        events = batch.events
        if batch.position < 0:
            events = events.copy()
            events["ts_ns"] = now_ns
        self._inbox.offer(Entry(events, None, None, batch.position))
        self._inbox.flush(now_ns)
        if self._md is not None:
            if self._md.full and not self._clock.tape:
                self.counts["md_lost"] += len(events)  # the scorer sees the jump in positions; the market goes on
            else:
                self._md.offer(Entry(events, batch.depths, batch.depth_of, max(batch.position, 0)))
                self._md.flush(now_ns)
        for depth in batch.depths:
            self._latest[f"depth:{depth['instrument']}"] = depth.tobytes()
        self._spoke_boot_ns = boot_ns()

    def _begin_engine(self, backfill: Batch | None) -> None:
        """Its first word is that INTEGRITY stands, whether the inbox takes it now or not."""
        if self._engine is not None:
            now_ns = self._clock.now()
            self._engine.begin(now_ns, backfill)
            self._inbox.offer(notice(self._engine.conditions(now_ns)))
            self._inbox.flush(now_ns)

    def _tell_engine(self, found: list[np.ndarray], now_ns: int) -> None:
        """What the engine says: conditions to the kernel until they went out, metrics to kernel and scorer.

        Metrics that find no way are not kept, for those of the next second are newer; a tape waits for its way.
        """
        assert self._engine is not None
        if self._inbox.skipped_total != self._skipped_seen:
            self._skipped_seen = self._inbox.skipped_total
            self._engine.lost(now_ns)
        if self._inbox.takes_notices or self._clock.tape:
            for events in (self._engine.conditions(now_ns), *found):
                if len(events) > 0:
                    self._inbox.offer(notice(events))
            self._inbox.flush(now_ns)
        if self._md is not None and found and (self._md.takes_notices or self._clock.tape):
            for events in found:
                self._md.offer(notice(events))
            self._md.flush(now_ns)

    def _tell_books(self) -> None:
        """Whether books are taken in time."""
        if self._inbox.takes_notices and len(events := self._books.due(self._clock)) > 0:
            self._tell(events)

    def _tell_index(self) -> None:
        if self._index is not None:
            self._index.tell(self._clock.now())
            self.counts["index_values"] = self._index.told

    def _tell_contracts(self) -> None:
        """Which contracts are past their roll day (MES-DATA-23): each change, and now and then again."""
        if self._rolls is None or not self._inbox.takes_notices:
            return
        now_ns, boot = self._clock.now(), boot_ns()
        for instrument in self._rolls.inactive:
            active = self._rolls.is_active(instrument, now_ns)
            told, at_ns = self._contracts.get(instrument, (None, 0))
            if told == active and boot - at_ns < CONTRACT_NS:
                continue
            event = account_event(LINK, LINK_CONTRACT, now_ns, value=int(active))
            event["instrument"] = instrument
            self._inbox.offer(notice(event))
            self._contracts[instrument] = active, boot
            self._inbox.flush(now_ns)

    def _say(self, code: int) -> None:
        """One FEED event about the feed itself; a sign of life is worth nothing later."""
        if code != FEED_BEAT or self._inbox.takes_notices:
            self._inbox.offer(notice(account_event(FEED, code, self._clock.now())))
        self._inbox.flush(self._clock.now())
        self._spoke_boot_ns = boot_ns()

    def _wait(self) -> None:
        """Until the next event or the next beat is due, at most WAIT_S."""
        next_ns = NO_TIME if self._ended else self._feed.next_ns()
        until_event_s = WAIT_S if next_ns == NO_TIME else self._clock.wait_s(next_ns)
        beat_s = max(BEAT_REAL_S, BEAT_NS / NANOS / max(self._clock.speed, 1.0))
        until_beat_s = beat_s - (boot_ns() - self._spoke_boot_ns) / NANOS
        if until_beat_s <= 0 and not self._ended:
            self._say(FEED_BEAT)
            return
        self.context.stop.wait(min(WAIT_S, max(0.0005, min(until_event_s, until_beat_s))))

    # board

    def _tell(self, events: np.ndarray) -> None:
        """A notice to the inbox."""
        self._inbox.offer(notice(events))
        self._inbox.flush(self._clock.now())

    def _look(self) -> None:
        """Now and then: newest depths and our health to the board.  A Redis that is away is no fault of the market."""
        boot = boot_ns()
        try:
            if self._latest and (self._latest_ns == NO_TIME or boot - self._latest_ns >= LATEST_NS):
                self._latest_ns = boot
                self._board.put(self._latest)
                self._latest = {}
            if self._looked_ns != NO_TIME and boot - self._looked_ns < LOOK_NS:
                return
            self._looked_ns = boot
            self.counts["inbox_waiting"] = self._inbox.events_waiting
            self.counts["md_waiting"] = 0 if self._md is None else self._md.events_waiting
            self.counts["full"] = int(self._inbox.full)
            if self._inbox.full:
                self._board.beat("full", 1000)
            self.counts |= self._books.shown()
            self.counts |= {"venue_up": int(self._venue.up), "venue_skipped": self._venue.skipped}
            self._show(boot)
            self._hear_wish()
            self.counts |= {"inbox_skipped": self._inbox.skipped_total, "ended": int(self._ended)}
        except (StreamAway, StreamFull):
            self._inbox.away = True

    def _hear_wish(self) -> None:
        """What an operator asks of the engine.  After a resync everybody who keeps books begins anew, the ring too."""
        wish = None if self._engine is None else self._wishes.take()
        if wish is None or self._engine is None:
            return
        now_ns = self._clock.now()
        refusal = self._engine.asked(wish, now_ns)
        if wish.kind == RESYNC and not refusal:
            news = np.concatenate([account_event(FEED, code, now_ns) for code in (FEED_GAP, FEED_UP)])
            for outlet in filter(None, (self._inbox, self._md)):
                outlet.offer(notice(news))
                outlet.flush(now_ns)
        self._wishes.answer(wish, refusal)

    def _show(self, boot: int) -> None:
        """Once a second: what engine and recorder show of themselves."""
        if self._shown_ns != NO_TIME and boot - self._shown_ns < NANOS:
            return
        self._shown_ns = boot
        if self._engine is not None:
            self.counts |= self._engine.figures()
            self._latest["engine"] = msgspec.json.encode(self._engine.shown(self._clock.now()))
        if self._recorder is not None:
            rec = self._recorder
            self.counts |= {"recorded_mb": rec.bytes >> 20, "record_waiting": rec.waiting}
            self.counts |= {"record_left_out": rec.left_out, "record_fault": rec.fault}


def cut(batch: Batch, start: int, end: int, position: int) -> Batch:
    """Events [start, end) of a batch with the depths that belong to them."""
    depth_of = batch.depth_of[start:end]
    used = np.unique(depth_of[depth_of >= 0])
    renumbered = np.where(depth_of < 0, -1, np.searchsorted(used, depth_of)).astype(np.int32)
    return Batch(batch.events[start:end], batch.depths[used], renumbered, position, batch.ended)
