"""The bar features in the inference loop: equal to the batch bit for bit, over restarts; cold is never scored.

Rules: MES-FEAT-01, -02, -05, -06, MES-DATA-20, -21, MES-ML-15.
"""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from marketdata.bardays import BarDays
from marketdata.core.barfeatures.engine import BarFeatures
from marketdata.core.barfeatures.schema import FEATURE_NAMES
from marketdata.core.records import (
    ACCOUNT_SCOPE,
    BAR,
    FEED,
    FEED_GAP,
    FEED_UP,
    FLAG_BACKFILL,
    FLAG_CARRIED,
    NO_TIME,
    new_events,
)
from marketdata.core.units import NANOS
from marketdata.feeds.options import parse_options
from marketdata.feeds.port import Batch
from marketdata.feeds.registry import open_feed
from tests.core.barfeatures.tapes import as_bars, tape
from tests.learning.barsets import as_events, printed, ten_days
from tests.learning.loop.test_inference_loop import drain, scores, spec_for
from trading.learning.artifacts import load
from trading.learning.bars.rows import BarRows
from trading.learning.feeding import NO_DEPTHS, BarFeeding, StreamFeeding, open_feeding
from trading.learning.schemas import STREAM_SCHEMA, bars_schema
from trading.learning.scoring import NetworkScorer, Score, ScorerError
from trading.preflight.probes import FAIL, PASS, probe_scorer
from trading.run.clock import TAPE, SessionClock, save_clock
from trading.run.context import LoopContext
from trading.run.inference_loop import InferenceLoop
from trading.run.journal.writer import JournalWriter
from trading.run.spec import FeedSpec, ScorerSpec
from trading.run.streams import Stream

RNG = np.random.default_rng(5)


def through(feeding: BarFeeding, events: np.ndarray, cuts: list[int] | None = None) -> list[tuple[int, bytes]]:
    """(time, vector) of every moment, the events coming in entries that end at `cuts`."""
    found = []
    for part in np.split(events, cuts or []):
        for index in feeding.moments(part, NO_DEPTHS, np.full(len(part), -1, np.int32)):
            found.append((int(part[index]["ts_venue_ns"]), feeding.vector.tobytes()))
    return found


def in_batch(events: np.ndarray) -> list[tuple[int, bytes]]:
    """The same of the whole tape at once: valid rows by the time when they are known, carried ones at the end too."""
    bars = printed(events)
    engine = BarFeatures(BarDays().cover(int(bars.second[0]), int(bars.second[-1])), FEATURE_NAMES)
    found = []
    for block in engine.blocks(bars):
        known = (block.second + 1) * NANOS
        found += [(int(known[i]), block.features[i].tobytes()) for i in np.flatnonzero(block.valid)]
    until = int(events["ts_venue_ns"][events["kind"] == BAR][-1]) // NANOS
    found += [((second + 1) * NANOS, engine.vector.tobytes()) for second, valid in engine.carried(until) if valid]
    return found


def entries(count: int) -> list[int]:
    return np.sort(RNG.integers(0, count, 12)).tolist()


@pytest.mark.parametrize("block", range(4))
def test_a_feed_of_recorded_bars_gives_the_rows_of_the_batch(block):
    """MES-FEAT-01, -02: 24 random tapes with gaps, silences and session borders, in entries of any size."""
    moments = 0
    for seed in range(1_000 + 6 * block, 1_006 + 6 * block):
        prints = tape(seed).assign(contract=0, outage=0)
        events = as_events(as_bars(prints))
        found = through(BarFeeding(["MES"]), events, entries(len(events)))
        assert found == in_batch(events), seed
        moments += len(found)
    assert moments > 1_000


def test_an_order_level_recording_gives_live_what_training_had_from_its_bars(sample_data):
    """Half an hour of ESH4: the rows from bars that the feed made of single orders are those of the bar file."""
    folder = sample_data / "cme_es_mbo"
    path = str(folder / "esh4_20231225_to2330.mbo.dbn.zst")
    feed = open_feed(FeedSpec("replay", ["ES"], path=path, schema="mbo", speed=TAPE))
    events = np.concatenate([feed.backfill().events, feed.read(np.iinfo(np.int64).max, 1 << 20).events])
    feed.close()
    live = through(BarFeeding(["ES"]), events, entries(len(events)))
    assert live == in_batch(events)
    rows = BarRows(folder / "esh4_20231225_to2330.ohlcv1s.csv", "ES", parse_options({}))
    (chunk,) = rows
    rows.close()
    stored = [
        (int(chunk.second[i] + 1) * NANOS, chunk.features[i].tobytes()) for i in np.flatnonzero(chunk.valid).tolist()
    ]
    assert len(stored) > 590 and live[: len(stored)] == stored


MORNINGS = as_events(ten_days())


def one_morning(number: int = 0) -> np.ndarray:
    """The events of one morning, back-fill and outage free: valid from 09:30:30 on."""
    day = MORNINGS["ts_venue_ns"] // NANOS // 86_400
    return MORNINGS[day == np.unique(day)[number]].copy()


def test_back_fill_warms_up_and_is_not_scored():
    """MES-FEAT-06."""
    events = one_morning()
    expected = in_batch(events)
    late = expected[50][0]
    events["flags"][events["ts_venue_ns"] < late] |= FLAG_BACKFILL
    assert through(BarFeeding(["MES"]), events) == expected[50:]


def test_bars_that_come_again_are_passed_over():
    events = one_morning()
    again = np.concatenate([events[:700], events[650:700], events[100:650], events[700:]])
    feeding = BarFeeding(["MES"])
    assert through(feeding, again) == in_batch(events)
    assert feeding.counts["repeated_bars"] == 600


def test_nothing_missing_behind_a_hole_changes_nothing():
    """What was missed were quotes: the next bar is the next second."""
    events = one_morning()
    feeding = BarFeeding(["MES"])
    found = through(feeding, events[:1_000])
    feeding.missed()
    assert found + through(feeding, events[1_000:]) == in_batch(events)


def test_a_missing_bar_begins_a_segment_and_is_cold():
    """MES-DATA-21: never a row from before and after a hole; the warm-up begins again."""
    events = one_morning()
    feeding = BarFeeding(["MES"])
    warm = through(feeding, events[:1_000])
    assert len(warm) > 0 and feeding.warm() == 1
    feeding.missed()
    assert through(feeding, events[1_001:]) == [] and feeding.warm() == 0
    state = feeding._lines[0].engine.states
    outage = printed(np.concatenate([events[:1_000], gap(events[1_000]), events[1_001:]]))
    assert outage.outage.sum() == 1
    batch = BarFeatures(BarDays().cover(int(outage.second[0]), int(outage.second[-1])), FEATURE_NAMES)
    for _ in batch.blocks(outage):
        pass
    for _ in batch.carried(int(state["second"][0]) + 1):
        pass
    assert state.tobytes() == batch.states.tobytes()


def gap(event: np.record) -> np.ndarray:
    rows = new_events(2)
    rows["kind"], rows["code"], rows["instrument"] = FEED, [FEED_GAP, FEED_UP], ACCOUNT_SCOPE
    rows["ts_ns"] = rows["ts_venue_ns"] = event["ts_venue_ns"]
    return rows


def test_an_outage_that_the_feed_tells_begins_a_segment():
    events = one_morning()
    at = 1_000 + int(np.argmin(events["flags"][1_000:] & FLAG_CARRIED))  # a printed bar
    told = np.concatenate([events[:at], gap(events[at]), events[at:]])
    found = through(BarFeeding(["MES"]), told)
    assert found == in_batch(events)[: len(found)] == in_batch(told)
    assert 0 < len(found) < len(in_batch(events))


@pytest.mark.parametrize(
    ("field", "value", "count"),
    [("value", 5 * NANOS, "wrong_step"), ("high_tick", 1, "refused_bars"), ("volume", -1, "refused_bars")],
)
def test_a_bar_that_cannot_be_used_is_counted_and_ends_the_segment(field, value, count):
    events = one_morning()
    at = int(np.flatnonzero(events["flags"] & FLAG_CARRIED == 0)[900])
    events[field][at] = value
    feeding = BarFeeding(["MES"])
    found = through(feeding, events)
    assert feeding.counts[count] == 1
    assert len(found) > 0 and found[-1][0] < events["ts_venue_ns"][at]


def test_a_tape_outside_the_sessions_gives_nothing():
    events = one_morning()
    events["ts_venue_ns"] += 8 * 3600 * NANOS
    feeding = BarFeeding(["MES"])
    assert through(feeding, events) == [] and feeding.counts["refused_bars"] > 500


def test_instruments_do_not_touch_each_other():
    one, other = one_morning(0), one_morning(0)
    other["instrument"] = 1
    for name in ("open_tick", "high_tick", "low_tick", "close_tick"):
        other[name] += 500
    both = np.concatenate([one, other])
    both = both[np.argsort(both["ts_venue_ns"], kind="stable")]
    feeding = BarFeeding(["MES", "ES"])
    found = through(feeding, both, entries(len(both)))
    assert found[::2] == in_batch(one) and found[1::2] == in_batch(other) and feeding.warm() == 2


def test_features_are_opened_for_what_the_session_trades():
    assert isinstance(open_feeding(bars_schema("ES"), ["MES", "MNQ"]), BarFeeding)
    assert isinstance(open_feeding(STREAM_SCHEMA, ["SBER"]), StreamFeeding)
    with pytest.raises(ScorerError, match="cannot score SBER: the features mes_bars are made for ES, MES, MNQ, NQ"):
        open_feeding(bars_schema("MES"), ["MES", "SBER"])
    with pytest.raises(ScorerError, match="another tick size than that of MES"):
        open_feeding(bars_schema("MES")._replace(hash="0" * 64), ["MES"])


# the loop


class Recorder(NetworkScorer):
    """The real network; keeps what it was given."""

    def __init__(self, folder: Path) -> None:
        super().__init__(load(folder), {"edge_min": 0.0})
        self.seen: list[bytes] = []

    def score(self, features: np.ndarray) -> Score:
        self.seen.append(features.tobytes())
        return super().score(features)


class Session:
    """A simulated market's session: back-fill, then `seconds` of its tape; the journal has what was sent."""

    def __init__(self, context: LoopContext, market: Stream, network: Path, seconds: int = 100) -> None:
        feed = open_feed(FeedSpec("simulated", ["MES"], seed=11, options={"rate": "0.2"}))
        before, tape = feed.backfill(), feed.read(feed.start_ns + seconds * NANOS, 1 << 20)
        feed.close()
        save_clock(context.folder, SessionClock(feed.start_ns, 0, TAPE))
        spec = spec_for(["MES"], ScorerSpec("network", str(network), {"edge_min": 0.0}))
        self.context = replace(context, spec=msgspec.structs.replace(spec, limits={"score_age_ns_max": NANOS}))
        self.market, self.start_ns = market, feed.start_ns
        self.parts = [(before, 0), *((cut(tape, at, at + 4), at + 4) for at in range(0, len(tape.events), 4))]
        self.events = np.concatenate([part.events for part, _ in self.parts])
        self._journal = JournalWriter(context.folder, 1, 1, "code")

    def play(self, start: int, end: int | None = None, journal: bool = True) -> None:
        """Send these parts to the market stream and the journal."""
        for part, position in self.parts[start:end]:
            self.market.append(
                part.events, fence=1, loop="feed", depths=part.depths, depth_of=part.depth_of, position=position
            )
            if journal:
                events = part.events.copy()
                events["seq"] = self._journal.next_seq + np.arange(len(events))
                zeros = np.zeros(len(events), np.int64)
                self._journal.append(events, np.zeros((len(events), 2), np.int64), zeros, False)

    def expected(self) -> list[bytes]:
        """The batch over the recorded bars: the valid rows of the session's own seconds."""
        last = int(self.events["ts_venue_ns"][self.events["kind"] == BAR][-1])
        return [vector for known, vector in in_batch(self.events) if self.start_ns < known <= last]


def cut(batch: Batch, start: int, end: int) -> Batch:
    rows = batch.depth_of[start:end]
    used = rows[rows >= 0]
    shifted = np.where(rows < 0, -1, rows - (used[0] if len(used) else 0)).astype(np.int32)
    return Batch(batch.events[start:end], batch.depths[used], shifted, end, False)


def run(
    session: Session, monkeypatch: pytest.MonkeyPatch, network: Path, fence: int = 1
) -> tuple[InferenceLoop, list[bytes]]:
    """One holder of the loop until the stream is empty; the vectors that it scored."""
    recorder = Recorder(network)
    monkeypatch.setattr("trading.run.inference_loop.open_scorer", lambda *_: recorder)
    loop = InferenceLoop()
    loop.open(replace(session.context, fence=fence))
    drain(loop)
    loop.close()
    return loop, recorder.seen[1:]  # the first is the rehearsal's, before any event


def test_a_session_scores_the_rows_of_the_batch_over_its_recording(desk, bars_network, monkeypatch):
    """Slice 3 of issue 5: what the loop computed is the batch over the session's bars, bit for bit, once a second."""
    context, market, inbox = desk
    session = Session(context, market, bars_network)
    session.play(0)
    loop, seen = run(session, monkeypatch, bars_network)
    assert seen == session.expected() and len(seen) >= 95
    found = scores(inbox)
    assert len(found) == loop.counts["scores"] > 50 and loop.counts["errors"] == 0
    assert (np.diff(found["ts_venue_ns"]) >= NANOS).all() and (found["ts_venue_ns"] % NANOS == 0).all()
    assert (found["ts_venue_ns"] > session.start_ns).all()


def test_a_takeover_goes_on_from_the_journal_bit_for_bit(desk, bars_network, monkeypatch):
    """MES-FEAT-06: the stream has forgotten the segment's beginning, the journal has not."""
    context, market, _ = desk
    session = Session(context, market, bars_network)
    half = len(session.parts) // 2
    session.play(0, half)
    _, first = run(session, monkeypatch, bars_network)
    market.trim(market.last_id())
    session.play(half)
    loop, second = run(session, monkeypatch, bars_network, fence=2)
    expected = session.expected()
    assert first == expected[: len(first)] and second == expected[-len(second) :]
    assert len(first) + len(second) >= len(expected) and min(len(first), len(second)) > 30
    assert loop.counts["history"] >= len(first) - 1


def test_without_its_history_a_new_holder_waits_until_it_is_warm(desk, bars_network, monkeypatch):
    """Never a score from a half-warm state: what it has is the beginning of a segment."""
    context, market, inbox = desk
    session = Session(context, market, bars_network)
    half = len(session.parts) // 2
    session.play(0, half, journal=False)
    _, first = run(session, monkeypatch, bars_network)
    count = len(scores(inbox))
    market.trim(market.last_id())
    session.play(half, journal=False)
    loop, second = run(session, monkeypatch, bars_network, fence=2)
    assert len(first) > 30 and second == [] and len(scores(inbox)) == count
    assert loop._feeding.warm() == 0 and loop._feeding._lines[0].newest != NO_TIME  # type: ignore[attr-defined]


def test_a_lost_bar_makes_the_loop_cold_and_a_lost_quote_does_not(desk, bars_network, monkeypatch):
    context, market, _ = desk
    session = Session(context, market, bars_network)
    kinds = [(part.events["kind"] == BAR).any() for part, _ in session.parts]
    quote = next(i for i in range(5, len(kinds)) if not kinds[i])
    bar = next(i for i in range(len(kinds) // 2, len(kinds)) if kinds[i])
    session.play(0, quote)
    session.play(quote + 1, bar)
    session.play(bar + 1)
    loop, seen = run(session, monkeypatch, bars_network)
    events = session.parts[bar][0].events
    lost = int(events["ts_venue_ns"][events["kind"] == BAR][0])
    known = [at for at, _ in in_batch(session.events) if session.start_ns < at]
    assert seen == session.expected()[: sum(at < lost for at in known)] and len(seen) > 20
    assert loop.counts["missed_events"] == 8


def test_pre_flight_says_where_the_features_do_not_exist(bars_network):
    """P-23: before the start, not by a loop that fails."""
    spec = ScorerSpec("network", str(bars_network))
    assert probe_scorer(spec, ["MES"]).verdict == PASS
    found = probe_scorer(spec, ["SBER"])
    assert found.verdict == FAIL and "cannot score SBER" in found.value
