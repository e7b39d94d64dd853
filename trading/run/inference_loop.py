"""The inference loop's body: market stream in, features moved by one jitted step, SCORE events out to the inbox.

It never decides and never trades; a score that cannot be made or sent is counted and shown, never invented (MES-ML-15).
Back-fill, and after a takeover everything that the holder before has scored, only warms the features up: the market
stream keeps its newest RETAIN entries for that, and bars come again from the journal, which has all.  The cursor is a
mark written together with the scores.  No torch here.
"""

import time
from collections import Counter, deque
from contextlib import ExitStack

import numpy as np
import structlog

from marketdata.core.records import BAR, FEED, FLAG_BACKFILL, FLAG_INVALID, NO_TIME, new_events
from trading.core.records import SCORE
from trading.learning.artifacts import ArtifactError
from trading.learning.feeding import NO_DEPTHS, Feeding, open_feeding, rehearse
from trading.learning.schemas import STREAM_SCHEMA
from trading.learning.scoring import NEUTRAL_NS, Score, Scorer, ScorerError, open_scorer
from trading.run.bodies.errors import ErrorTeller
from trading.run.bodies.risk_inputs import gather
from trading.run.clock import ClockMissing, SessionClock, boot_ns, load_clock
from trading.run.context import WAIT_S, CannotOpen, LoopContext
from trading.run.feeding.active import ActiveSet
from trading.run.health.watcher import HealthWatch
from trading.run.journal.reader import CHUNK_FRAMES, JournalReader
from trading.run.streams import INBOX, MARKET, ZERO_ID, Entry, Stream, StreamAway, StreamFull, StreamId, Tail, parse_id
from trading.run.telling.reload import MODEL_MARK, ModelWatch, Told, reload_holds
from trading.run.telling.scores import ScoreWatch

MARK = "inference"  # mark beside the inbox: id of the last market entry whose scores were sent
RETAIN = 8_000  # entries kept behind the cursor for the next holder's warm-up
READ_COUNT = 64
SCORE_AGE_NS_MAX = 2_000_000_000  # where the limits name none: an older score would only be refused
SHOW_S = 1.0
COLD_NS = 1_000_000_000  # between two rows that say that nothing can be scored yet
SAMPLES = 4096
FAR_NS = np.iinfo(np.int64).max

log = structlog.get_logger("trading.inference")


def warm_up(scorer: Scorer | None) -> None:
    """Compile (or load) everything that the first event needs, before there is one."""
    schema = STREAM_SCHEMA if scorer is None else scorer.schema
    rehearse(schema)
    if scorer is not None:
        scorer.score(np.zeros(schema.width))


class InferenceLoop:
    """Body of the loop `inference`; see trading.run.context.Body."""

    def __init__(self) -> None:
        self._stack = ExitStack()  # what close() lets go
        self.counts: Counter[str] = Counter()
        self.latency_ns: deque[int] = deque(maxlen=SAMPLES)  # features and score of each scored event

    def open(self, context: LoopContext) -> None:
        """Raises CannotOpen for a scorer that cannot run, StreamAway without Redis, JournalBroken."""
        spec = context.spec
        self._context = context
        self._symbols = [item.symbol for item in spec.instruments]
        self._age_max = spec.limits.get("score_age_ns_max", SCORE_AGE_NS_MAX)
        client = context.connect()
        self._stack.callback(client.close)
        self._market, self._inbox = Stream(client, spec.key, MARKET), Stream(client, spec.key, INBOX)
        self._errors = ErrorTeller(self._inbox, context.loop)
        self._model = ModelWatch(spec, self._inbox.mark(MODEL_MARK), self._told_model, self._append)
        self._watch = ScoreWatch(spec, self._model.tell)
        try:
            self._scorer = open_scorer(spec.scorer.name, spec.scorer.artifact, spec.scorer.options)
            warm_up(self._scorer)
            schema = STREAM_SCHEMA if self._scorer is None else self._scorer.schema
            self._feeding: Feeding = open_feeding(schema, self._symbols)
        except (ScorerError, ArtifactError) as error:
            self._model.cannot_open()
            raise CannotOpen(f"no scores, so no entries: {error}") from error
        self._health = HealthWatch(spec, self._scorer, context.folder, self._append, self._model.unwell)
        self._stack.callback(self._health.close)
        self._active = ActiveSet(len(spec.instruments), spec.universe is not None)
        self._sent: list[tuple[int, int] | None] = [None] * len(spec.instruments)  # side and time of the last score
        self._clock: SessionClock | None = None
        self._wait_ns: deque[int] = deque(maxlen=SAMPLES)  # from the sender's append to ours, per entry
        self._kept: deque[StreamId] = deque()
        self._at = ZERO_ID
        self._position = 0
        self._full = self._reopen = False
        self._cold_ns = NO_TIME
        self._shown = 0.0
        self._tail = Tail(client, self._market)
        self._stack.callback(self._tail.close)
        mark = self._inbox.mark(MARK)
        self._done = ZERO_ID if mark is None else parse_id(mark)
        self._market.open(self._done)
        if self._scorer is not None:
            self._model.opened(self._scorer.name)
        if self._feeding.keeps_history:
            self._read_history()

    def step(self) -> int:
        """One bounded batch of market entries; returns how many events it handled.  Raises StreamAway, Fenced."""
        handled = 0
        try:
            if self._reopen and self._market.open(self._at):
                log.warning("market_stream_gone", kept="features go on from what is held")
            self._reopen = False
            for entry in self._tail.read(self._at, WAIT_S, READ_COUNT):
                self._entry(entry)
                handled += len(entry.events)
            self._trim()
        except StreamAway:
            self._reopen = True  # it may come back empty
            raise
        self._errors.tell(NO_TIME if self._clock is None else self._clock.now())
        self._watch.step(self._clock)
        if self._watch.network.answers:
            self._model.answered()
        self._health.step(self._clock)
        self._show()
        return handled

    def close(self) -> None:
        """Let Redis go.  Features are not kept: the next holder makes them anew from the retained entries."""
        self._stack.close()

    def _told_model(self) -> Told:
        """What the session's journal says of its network.

        The cursor's mark spares the reading only where no hold of the past waits: after a Redis that came back empty
        the running holder writes that mark again, and not what was told (MOEX-ML-10).
        """
        told = Told()
        if self._inbox.mark(MARK) is not None and not reload_holds(self._context.spec):
            return told
        reader, seq = JournalReader(self._context.folder), 0
        while len(frames := reader.read(seq, CHUNK_FRAMES)) > 0:
            seq += len(frames)
            told = told.after(frames["event"])
        return told

    def _read_history(self) -> None:
        """The session's bars so far, from its journal, up to the first market entry not yet scored (MES-FEAT-06)."""
        waiting = self._market.read(self._done, 0, 1)
        until_ns = int(waiting[0].events["ts_ns"][0]) if waiting else FAR_NS
        reader, seq = JournalReader(self._context.folder), 0
        while len(frames := reader.read(seq, CHUNK_FRAMES)) > 0:
            seq += len(frames)
            events = frames["event"]
            events = events[((events["kind"] == BAR) | (events["kind"] == FEED)) & (events["ts_ns"] < until_ns)]
            for _ in self._feeding.moments(events, NO_DEPTHS, np.full(len(events), -1, np.int32)):
                self.counts["history"] += 1
            self._context.beat({"state": "reading the journal", "history": self.counts["history"]})
        self._feeding.missed()  # what lies between the journal and the stream, the next bar tells

    def _entry(self, entry: Entry) -> None:
        """Move the features by one entry, send its scores, advance the cursor."""
        repeated = 0 < entry.position <= self._position
        if repeated:
            self.counts["repeated_entries"] += 1  # a feed that took over sent its last batch again
        else:
            self._notice_gap(entry)
            self._wait_ns.append(boot_ns() - entry.boot_ns)
            scores = self._scores(entry)
            if len(scores) > 0:
                self._send(scores, entry.id)
        self._at = entry.id
        self._kept.append(entry.id)

    def _notice_gap(self, entry: Entry) -> None:
        """A jump in the feed's positions: what lay between is unknown, so no order flow is computed across it."""
        if entry.position <= 0:
            return
        missed = entry.position - len(entry.events) - self._position
        if self._position > 0 and missed > 0:
            self.counts["missed_events"] += missed
            self._feeding.missed()
        self._position = entry.position

    def _scores(self, entry: Entry) -> np.ndarray:
        """SCORE events of one entry; none for entries that the holder before has done."""
        events, found = entry.events, []
        self.counts["events"] += len(events)
        self._active.note(events)
        moments = self._feeding.moments(events, entry.depths, entry.depth_of)
        while True:
            begin = time.perf_counter_ns()
            index = next(moments, None)
            if index is None:
                break
            if not self._active.has(int(events[index]["instrument"])):
                self.counts["inactive"] += 1
            elif entry.id > self._done and self._scorer is not None:
                self._watch.took("features", time.perf_counter_ns() - begin)
                now_ns = self._now(int(events[index]["ts_ns"]))
                score = self._score(events[index], now_ns)
                self.latency_ns.append(time.perf_counter_ns() - begin)
                if score is not None:
                    found.append(self._event(events[index], score, now_ns))
        found += self._cold(entry)
        return gather(found)

    def _cold(self, entry: Entry) -> list[np.ndarray]:
        """While no instrument's features count: a row that is not valid, once a second, so that FEATURES_COLD is seen.

        The first row that counts ends the hold.  Nothing for back-fill and for what the holder before has done.
        """
        events = entry.events
        if self._scorer is None or entry.id <= self._done or self._feeding.warm() > 0:
            return []
        live = (events["kind"] < FEED) & (events["flags"] & FLAG_BACKFILL == 0) & (events["instrument"] >= 0)
        market = np.flatnonzero(live)
        if len(market) == 0:
            return []
        event = events[market[-1]]
        at_ns = int(event["ts_ns"])
        now_ns = self._now(at_ns)
        if now_ns == NO_TIME or now_ns - at_ns > self._age_max or at_ns - self._cold_ns < COLD_NS:
            return []
        self._cold_ns = at_ns
        self.counts["cold"] += 1
        row = self._event(event, Score(0, 0, 0), now_ns)
        row["flags"] = FLAG_INVALID
        return [row]

    def _now(self, event_ns: int) -> int:
        """Session time; on a tape, which follows its events, that of this one.  NO_TIME while no clock is stamped."""
        if self._clock is None:
            try:
                self._clock = load_clock(self._context.folder)
            except ClockMissing:
                return NO_TIME
        if self._clock.tape:
            self._clock.observe(event_ns)
        return self._clock.now()

    def _score(self, event: np.record, now_ns: int) -> Score | None:
        """The score of the vector of this moment, or None with the reason counted."""
        scorer, which = self._scorer, int(event["instrument"])
        assert scorer is not None
        if now_ns == NO_TIME or now_ns - int(event["ts_ns"]) > self._age_max:
            self.counts["stale"] += 1
            return None
        step_ns = self._feeding.step_ns(which)
        if scorer.step_ns not in (0, step_ns):
            if self.counts["wrong_step"] == 0:
                steps = {"network_ns": scorer.step_ns, "tape_ns": step_ns}
                log.error("no_scores", symbol=self._symbols[which], reason="grid steps differ", **steps)
            self.counts["wrong_step"] += 1
            return None
        if self._watch.network.is_away:
            self.counts["away"] += 1
            return None
        begin = time.perf_counter_ns()
        try:
            score = scorer.score(self._feeding.vector)
        except ScorerError:
            if self.counts["errors"] == 0:
                log.exception("no_score", symbol=self._symbols[which])
            self.counts["errors"] += 1
            self._errors.note()
            self._watch.network.failed(now_ns)
            return None
        self._watch.took("ml", time.perf_counter_ns() - begin)
        self._watch.network.answered()
        self._health.scored(which, int(event["ts_venue_ns"]), self._feeding.mid2(which), self._feeding.vector)
        last, at_ns = self._sent[which], int(event["ts_venue_ns"])
        if score.side == 0 and last is not None and last[0] == 0 and at_ns - last[1] < NEUTRAL_NS:
            self.counts["neutral"] += 1
            return None
        self._sent[which] = (score.side, at_ns)
        return score

    def _event(self, event: np.record, score: Score, now_ns: int) -> np.ndarray:
        row = new_events(1)
        row["kind"], row["instrument"], row["side"] = SCORE, event["instrument"], score.side
        row["score_ppm"], row["confidence_ppm"] = score.score_ppm, score.confidence_ppm
        row["ts_ns"], row["ts_venue_ns"] = now_ns, event["ts_venue_ns"]
        return row

    def _send(self, scores: np.ndarray, cursor: StreamId) -> None:
        """Append to the inbox with the cursor.  A full inbox drops them, counted and shown: a score does not keep."""
        mark = (MARK, f"{cursor[0]}-{cursor[1]}".encode())
        try:
            self._append(scores, mark)
        except StreamFull as error:
            if not self._full:
                log.warning("scores_dropped", error=str(error))
            self._full = True
            self.counts["dropped_full"] += len(scores)
            return
        self._full = False
        self.counts["scores"] += int((scores["flags"] == 0).sum())
        self.counts["signals"] += int((scores["side"] != 0).sum())

    def _append(self, events: np.ndarray, mark: tuple[str, bytes] | None = None) -> None:
        self._inbox.append(events, fence=self._context.fence, loop=self._context.loop, mark=mark)

    def _trim(self) -> None:
        """Give back what neither we nor a successor's warm-up needs."""
        if len(self._kept) <= RETAIN + READ_COUNT:
            return
        while len(self._kept) > RETAIN:
            through = self._kept.popleft()
        self._market.trim(through)

    def _show(self) -> None:
        """Tell the runner, figures at most once a second."""
        now = time.monotonic()
        if now - self._shown < SHOW_S:
            return
        self._shown = now
        numbers: dict[str, object] = {"scorer": "none" if self._scorer is None else self._scorer.name}
        numbers |= {**self.counts, **self._feeding.counts, **self._watch.shown(), **self._health.counts}
        numbers |= {"inbox_full": int(self._full), "warm": self._feeding.warm(), "active": self._active.count()}
        for name, samples in (("score_us", self.latency_ns), ("wait_us", self._wait_ns)):
            if len(samples) > 0:
                p50, p99 = np.percentile(np.array(samples), (50, 99)) / 1000
                numbers |= {f"{name}_p50": round(float(p50), 1), f"{name}_p99": round(float(p99), 1)}
        self._context.beat(numbers)
