"""The live data engine beside the feed loop: what it is told, what the ring hears of it, what it remembers.

It is fed after venue, inbox and scorer were, so no book is late for it, and it hands back what is to be sent: METRIC
events of each second, and as conditions that the kernel follows UNHEALTHY and NOT_ACTIVE of an instrument and INTEGRITY
of the whole (MOEX-DATA-05, -09, -14).  Conditions are kept as what stands, and told until they went out.  What is slow
is the aide's.  Called by the feed loop; it opens no connection.
"""

import hashlib
from collections import Counter, deque
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import msgspec
import numpy as np
import structlog

from marketdata.core.records import NO_TIME, new_events
from marketdata.core.universe.records import (
    ACTIVATED,
    ACTIVE,
    DEMOTED,
    MEMBER,
    NOBODY,
    SECOND_NS,
    SUBSCRIBED,
    UNIVERSE,
)
from marketdata.engine.driving import Driver
from marketdata.engine.live import Listed, LiveData, News, rehearse
from marketdata.engine.memory import CLEAR, TRIM, Limits, MemoryGuard
from marketdata.engine.numbers import numbers
from marketdata.engine.subscriptions import Subscriptions
from marketdata.engine.telling import memory, metrics
from marketdata.feeds.port import Batch
from risk.core.records import MES
from trading.run.clock import boot_ns
from trading.run.feeding.aide import Aide
from trading.run.feeding.wishes import REPLACE, RESYNC, Wish
from trading.run.spec import SessionSpec
from trading.run.telling.conditions import Conditions

FILES = "engine-*.bin"  # one a holder, named after its fence: who was fenced never writes over a newer one
KEEP_NS = 30 * SECOND_NS  # of session time between two memories (MOEX-RISK-11, light checkpoint)
SAMPLES = 4096
FIRST_VIEW_S = 10.0  # that a takeover without a memory waits for the journal
METRICS_MAX = 60  # seconds that are told at once: of a longer silence the last ones
SILENT_NS = 15 * SECOND_NS  # three heartbeats of the books
NEWS_NAMES = {SUBSCRIBED: "subscribed", ACTIVATED: "activated", DEMOTED: "demoted"}
INTEGRITY, UNHEALTHY, NOT_ACTIVE = "INTEGRITY", "UNHEALTHY", "NOT_ACTIVE"
NO_ROWS = new_events(0)
log = structlog.get_logger("trading.engine")


class Kept(msgspec.Struct):
    """The engine's memory: `layout` names the records, so that other code does not take them up."""

    layout: str
    symbols: list[str]
    ts_ns: int
    universe: bytes
    members: bytes


LAYOUT = hashlib.sha256(repr((MEMBER.descr, UNIVERSE.descr)).encode()).hexdigest()


def encode(live: LiveData, now_ns: int) -> bytes:
    """The memory as bytes, with a checksum."""
    kept = Kept(LAYOUT, live.symbols, now_ns, live.universe.tobytes(), live.members.tobytes())
    body = msgspec.msgpack.encode(kept)
    return hashlib.sha256(body).digest() + body


def decode(data: bytes, symbols: list[str]) -> Kept | None:
    """The memory of these instruments; None for one that is damaged, of other code or of others."""
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        return None
    kept = msgspec.msgpack.decode(data[32:], type=Kept)
    return kept if (kept.layout, kept.symbols) == (LAYOUT, symbols) else None


def hedge_of(spec: SessionSpec) -> int:
    """The index future that hedges the session's shares, by its place among them; NOBODY: there is none."""
    return next((i for i, item in enumerate(spec.instruments) if item.values.get("hedge", 0) == 1), NOBODY)


class FeedEngine:
    """The engine of one session.  Attributes: live, counts (what the loop shows)."""

    def __init__(self, spec: SessionSpec, folder: Path, fence: int) -> None:
        assert spec.universe is not None
        wanted = spec.universe
        listed = [
            Listed(item.symbol, item.values["tick_nanos"], item.values["tick_value_micros"])
            for item in spec.instruments
        ]
        guard = MemoryGuard(Limits(wanted.rss_soft_bytes, wanted.rss_hard_bytes))
        hedge = hedge_of(spec)
        ttl_ns, cache_max = wanted.ttl_ns, wanted.cache_max
        self.live = LiveData(listed, wanted.active_max, hedge, guard, ttl_ns=ttl_ns, cache_max=cache_max)
        rehearse()
        self._driver = Driver(self.live, self._second)
        self._folder, own = folder, folder / FILES.replace("*", f"{fence:08d}")
        self._aide = Aide(folder, len(listed), own)
        self._subscriptions = Subscriptions(range(len(listed)))
        self._conditions = Conditions(spec.limits.get("rules", MES))
        self._conditions.set(INTEGRITY, True)  # the first to be told
        for which in range(len(listed)):
            self._conditions.set(UNHEALTHY, False, instrument=which)
        self._rotated = [which for which in range(len(listed)) if which != hedge]  # the hedge is never entered
        for which in self._rotated:
            self._conditions.set(NOT_ACTIVE, True, instrument=which)  # until it is seen to be
        self._news, self._again_ns = True, 0  # whether one has changed; when they are looked at anyway (boot clock)
        self._cause_ns = NO_TIME  # since when INTEGRITY stands; NO_TIME: it was passed
        self._made: deque[np.ndarray] = deque(maxlen=METRICS_MAX)  # METRICs that nobody was told yet
        self._kept_ns = NO_TIME
        self._gaps = 0
        self._seeding = True  # until the first reconciliation
        self._acted = dict(guard.acted)
        self._took: deque[int] = deque(maxlen=SAMPLES)  # ns an event of each batch
        self.counts: Counter[str] = Counter()

    def begin(self, now_ns: int, backfill: Batch | None) -> None:
        """Seed the slots, take up what the holder before left, and hold entries until the gate is passed.

        `backfill`: the feed's history at the very first start, None at a takeover.
        """
        everybody, before = range(len(self.live.symbols)), self._take_up()
        active = before or []
        self._aide.start()
        held: list[int] = []
        if before is None and backfill is None:  # MOEX-DATA-04: positions first, and nobody else remembers whose
            held = np.flatnonzero(self._aide.first_view(FIRST_VIEW_S).pinned).tolist()
        pool = self.live.seed(held, active, everybody)
        self._subscriptions.connected(self._subscriptions.wanted)  # a tape has all that it was opened for
        for which in everybody:
            self.live.set_confirmed(which, self._subscriptions.is_confirmed(which))
        for which in everybody:
            if before is None:
                self.live.set_trading(which, True)  # until a STATUS says otherwise, as the kernel takes it
        if backfill is not None:
            self.counts.update(self._driver.bootstrap(backfill))
        self._fails(now_ns)
        log.info("engine_begins", pool=pool, restored=len(active), held=len(held), fresh=backfill is not None)

    def feed(self, batch: Batch, now_ns: int) -> list[np.ndarray]:
        """One batch as the ring has it; what the ring is to hear."""
        began = perf_counter_ns()
        self._look(now_ns)
        self._note(self._driver.feed(batch))
        if len(batch.events) > 0:
            self._took.append((perf_counter_ns() - began) // len(batch.events))
        return self._heard(now_ns)

    def until(self, now_ns: int) -> list[np.ndarray]:
        """Nothing came: the seconds up to now.  What the ring is to hear."""
        self._look(now_ns)
        self._note(self._driver.until(now_ns))
        return self._heard(now_ns)

    def lost(self, now_ns: int) -> None:
        """The ring may lack something of the market: the books must prove themselves anew."""
        self._fails(now_ns)

    def asked(self, wish: Wish, now_ns: int) -> str:
        """Do an operator's wish (MOEX-DATA-11, -15); why not, or empty.  Of a resync the caller tells the ring."""
        self._look(now_ns)
        if wish.kind == REPLACE:
            refusal, done = self.live.replace(wish.current, wish.replacement, now_ns)
            self._note([(now_ns, news) for news in done])
        elif wish.kind == RESYNC:
            self._driver.gap()
            self._gaps, refusal = self._driver.gaps, ""
            self._fails(now_ns)
        else:
            refusal = f"the feed loop knows no wish {wish.kind!r}"
        if not refusal:
            self.counts[f"asked_{wish.kind}"] += 1
        log.info("universe_asked", wish=wish.kind, leaves=wish.current, comes=wish.replacement, refusal=refusal)
        return refusal

    def conditions(self, now_ns: int) -> np.ndarray:
        """CONDITION EVENTs that the ring has not heard, or not for long; they count as heard."""
        boot = boot_ns()
        if not self._news and boot < self._again_ns:
            return NO_ROWS
        self._news, self._again_ns = False, boot + SECOND_NS
        events = self._conditions.due(now_ns, boot)
        self._conditions.note(events, boot)
        return events

    def shown(self, now_ns: int) -> dict[str, Any]:
        """Everything of MOEX-DATA-17, with the gate, the subscriptions and what the engine costs; plain values."""
        found = numbers(self.live, now_ns)
        found["instruments"] = [row._asdict() for row in found["instruments"]]
        view = self._aide.view
        gate = self.live.gate(now_ns, view.reconciled_ns != NO_TIME)
        held = self._conditions.stands(INTEGRITY)
        found["gate"] = {**gate._asdict(), "held": held, "since_ns": self._cause_ns if held else None}
        wanted, confirmed = len(self._subscriptions.wanted), len(self._subscriptions.confirmed)
        found["subscriptions"] = {"wanted": wanted, "confirmed": confirmed}
        found["journal"] = {"seq": view.seq, "read_boot_ns": view.boot_ns, "fault": view.fault or self._aide.fault}
        found["pinned"] = [self.live.symbols[i] for i in np.flatnonzero(view.pinned)]
        found["memory"] = dict(self.live.guard.acted) | {"soft": self.live.guard.limits.soft}
        found["memory"] |= {"hard": self.live.guard.limits.hard}
        found["kept"] = {"count": self._aide.kept, "ts_ns": self._kept_ns if self._kept_ns != NO_TIME else None}
        found |= {"ts_ns": now_ns, "boot_ns": boot_ns(), "us_p50": self._us(50), "us_p99": self._us(99)}
        return found

    def figures(self) -> dict[str, object]:
        """The few numbers that the loop shows beside its own."""
        states = self.live.members["state"]
        figures: dict[str, object] = {"active": int((states == ACTIVE).sum()), "monitored": int((states != 0).sum())}
        figures |= {"cache": self.live.cached, "rss_mb": self.live.guard.rss >> 20, "engine_us_p99": self._us(99)}
        figures |= self.counts
        return figures | {"integrity": int(self._conditions.stands(INTEGRITY))}

    def close(self) -> None:
        """Leave the memory to the next holder."""
        if self._aide.is_alive() and self._driver.second is not None:
            self._aide.keep(encode(self.live, self._driver.second * SECOND_NS))
        self._aide.end()

    # memory

    def _take_up(self) -> list[int] | None:
        """The active set of the holder before, in order; None without its memory."""
        files = sorted(self._folder.glob(FILES))
        for old in files[:-1]:
            old.unlink(missing_ok=True)
        if not files:
            return None
        kept = decode(files[-1].read_bytes(), self.live.symbols)
        if kept is None:
            log.warning("engine_memory_refused", file=str(files[-1]))
            return None
        found = self.live.restore(np.frombuffer(kept.universe, UNIVERSE), np.frombuffer(kept.members, MEMBER))
        for which in np.flatnonzero(self.live.members["unhealthy"]).tolist():
            self._conditions.set(UNHEALTHY, True, 1, instrument=which)
        return found

    def _keep(self, now_ns: int) -> None:
        if self._kept_ns != NO_TIME and now_ns - self._kept_ns < KEEP_NS:
            return
        self._kept_ns = now_ns
        self._aide.keep(encode(self.live, now_ns))

    # what follows a step

    def _look(self, now_ns: int) -> None:
        """What is held now, as far as the journal was read.  The seeding is over once the broker's truth was taken:
        what it holds gets its slot then (MOEX-DATA-04)."""
        view = self._aide.view
        self.live.members["pinned"] = view.pinned
        if self._seeding and view.reconciled_ns != NO_TIME:
            self._seeding = False
            for which in np.flatnonzero(view.pinned).tolist():
                self._note([(now_ns, news) for news in self.live.admit(which, now_ns)])

    def _note(self, done: list[tuple[int, News]]) -> None:
        for _, news in done:
            if news.kind in NEWS_NAMES:
                self.counts[NEWS_NAMES[news.kind]] += 1
        if done:
            self._judge_active()

    def _second(self, moment: int) -> None:
        """A whole second was lived: what stands, and its METRICs."""
        self._judge(moment)
        self._made.append(metrics(self.live, moment))

    def _heard(self, now_ns: int) -> list[np.ndarray]:
        """METRICs of every second since the last call, stamped with now."""
        if self._driver.gaps != self._gaps:
            self._gaps = self._driver.gaps
            self._fails(now_ns)
        if not self._made:
            return []
        found, guard = list(self._made), self.live.guard
        self._made.clear()
        for acted, what in ((1, TRIM), (2, CLEAR)):
            if guard.acted[what] != self._acted[what]:
                found.append(memory(acted, guard.rss, now_ns))
        self._acted = dict(guard.acted)
        for events in found:
            events["ts_ns"] = now_ns
        self._keep(now_ns)
        return found

    def _judge(self, moment: int) -> None:
        """Which conditions stand (MOEX-DATA-05, -09, -14)."""
        self._judge_active()
        unhealthy = self.live.members["unhealthy"]
        for which in range(len(unhealthy)):
            if unhealthy[which] != self._conditions.stands(UNHEALTHY, which):
                self._news = True
                self._conditions.set(UNHEALTHY, bool(unhealthy[which]), int(unhealthy[which]), instrument=which)
        if self._cause_ns == NO_TIME:
            if self._silent(moment):
                self._fails(moment)
            return
        gate = self.live.gate(moment, reconciled=True)  # the other half is the kernel's own hold RECON
        if gate.passed:
            self._cause_ns, self._news = NO_TIME, True
            self._conditions.set(INTEGRITY, False)
            log.info("integrity_passed", at_ns=moment)
        else:
            failing = len(gate.missing) + len(gate.stale) + len(gate.empty) + len(gate.invalid)
            self._conditions.set(INTEGRITY, True, failing)

    def _judge_active(self) -> None:
        """An instrument that left the active set is not entered any more; one that joined it may be (MOEX-RISK-08)."""
        states = self.live.members["state"]
        for which in self._rotated:
            if (states[which] != ACTIVE) != self._conditions.stands(NOT_ACTIVE, which):
                self._news = True
                self._conditions.set(NOT_ACTIVE, bool(states[which] != ACTIVE), int(states[which]), instrument=which)

    def _silent(self, moment: int) -> bool:
        """Whether no ACTIVE instrument that trades had a book for SILENT_NS: the stream's heartbeat is lost."""
        members = self.live.members
        watched = (members["state"] == ACTIVE) & (members["trading"] == 1)
        return bool(watched.any() and moment - int(members["book_ns"][watched].max()) > SILENT_NS)

    def _fails(self, now_ns: int) -> None:
        """The books must prove themselves anew."""
        self._cause_ns, self._news = now_ns, True
        self._conditions.set(INTEGRITY, True)
        self._conditions.again(INTEGRITY)

    def _us(self, percent: int) -> float:
        return round(float(np.percentile(np.array(self._took), percent)) / 1000, 1) if self._took else 0.0


def open_engine(spec: SessionSpec, folder: Path, fence: int) -> FeedEngine | None:
    """The engine that this session wants; None for a session without a universe."""
    return None if spec.universe is None else FeedEngine(spec, folder, fence)
