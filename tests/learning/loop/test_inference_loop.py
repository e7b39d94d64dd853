"""The inference loop on a real Redis: scores, warm-up, throttle, takeover, back-pressure.  MES-FEAT-06, MES-ML-15."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from marketdata.core.records import BOOK, EVENT, FLAG_BACKFILL, FLAG_INVALID, METRIC, QUOTE
from marketdata.core.universe.records import ACTIVE, MONITORED
from marketdata.engine.telling import METRIC_INSTRUMENT
from marketdata.feeds.port import Batch
from tests.learning.tapes import SECOND, START, bar_tape, book_tape
from trading.core.records import SCORE
from trading.learning.artifacts import ArtifactError
from trading.learning.scoring import NEUTRAL_NS, THROTTLE_NS, ScorerError
from trading.run.clock import SessionClock, save_clock
from trading.run.context import CannotOpen, Fenced, LoopContext
from trading.run.inference_loop import InferenceLoop
from trading.run.spec import FeedSpec, InstrumentSpec, ScorerSpec, SessionSpec, UniverseSpec, VenueSpec
from trading.run.streams import CAPS, INBOX, ZERO_ID, Stream

KEY = "s1"


def spec_for(symbols: list[str], scorer: ScorerSpec) -> SessionSpec:
    return SessionSpec(
        id=1,
        key=KEY,
        mode="paper",
        profile="demo-mes",
        version_id=1,
        version_hash="0" * 64,
        currency="USD",
        capital_micros=1,
        limits={},
        instruments=[InstrumentSpec(symbol, {}) for symbol in symbols],
        feed=FeedSpec("simulated", symbols),
        venue=VenueSpec(),
        scorer=scorer,
        windows=[],
        created_ns=0,
        venue_socket="",
        redis_url="",
    )


def publish(
    market: Stream, tape: Batch, *, start: int = 0, end: int | None = None, size: int = 20, fence: int = 1
) -> None:
    for at in range(start, len(tape.events) if end is None else end, size):
        part = slice(at, min(at + size, len(tape.events) if end is None else end))
        rows = tape.depth_of[part]
        used = rows[rows >= 0]
        depth_of = np.where(rows < 0, -1, rows - (used[0] if len(used) else 0)).astype(np.int32)
        market.append(
            tape.events[part],
            fence=1,
            loop="feed",
            depths=tape.depths[used],
            depth_of=depth_of,
            position=part.stop,
        )


def drain(loop: InferenceLoop) -> None:
    while loop.step() > 0:
        pass


def run(context: LoopContext) -> InferenceLoop:
    loop = InferenceLoop()
    loop.open(context)
    drain(loop)
    loop.close()
    return loop


def said(inbox: Stream) -> np.ndarray:
    """Everything that the loop told the kernel."""
    found = [entry.events for entry in inbox.read(ZERO_ID, 0, 100_000)]
    return np.concatenate(found) if found else np.empty(0, EVENT)


def scores(inbox: Stream) -> np.ndarray:
    """The same without the rows that say that nothing can be scored yet."""
    found = said(inbox)
    return found[found["flags"] & FLAG_INVALID == 0]


def test_scores_carry_the_market_events_time_and_the_session_clock(desk):
    context, market, inbox = desk
    tape = book_tape(2_000, 7)
    publish(market, tape)
    loop = run(context)
    found = scores(inbox)
    assert len(found) == loop.counts["scores"] > 50
    assert (found["kind"] == SCORE).all() and (found["ref"] == 0).all() and (found["instrument"] == 0).all()
    assert (found["ts_ns"] >= found["ts_venue_ns"]).all()
    assert (np.abs(found["score_ppm"]) <= 1_000_000).all() and (found["confidence_ppm"] >= 0).all()
    quotes = tape.events[(tape.events["kind"] == QUOTE) | (tape.events["kind"] == BOOK)]
    assert np.isin(found["ts_venue_ns"], quotes["ts_venue_ns"]).all()
    assert (found["ts_venue_ns"] >= START + 20 * SECOND).all()  # MES-FEAT-05: cold features are never scored


def test_quotes_are_scored_at_most_every_100_ms_and_neutral_ones_once_a_second(desk):
    context, market, inbox = desk
    publish(market, book_tape(3_000, 7, mean_gap_ms=20))
    run(context)
    found = scores(inbox)
    assert np.diff(found["ts_venue_ns"]).min() >= THROTTLE_NS
    neutral = (found["side"][1:] == 0) & (found["side"][:-1] == 0)
    assert neutral.any()
    assert np.diff(found["ts_venue_ns"])[neutral].min() >= NEUTRAL_NS


def test_the_same_tape_in_other_portions_gives_the_same_scores(desk, redis_client):
    context, market, inbox = desk
    tape = book_tape(1_500, 9)
    publish(market, tape, size=1)
    run(context)
    one = scores(inbox)[["ts_venue_ns", "side", "score_ppm", "confidence_ppm"]]
    redis_client.flushall()
    market.open(ZERO_ID)
    inbox.open(ZERO_ID)
    publish(market, tape, size=250)
    run(context)
    assert np.array_equal(scores(inbox)[["ts_venue_ns", "side", "score_ppm", "confidence_ppm"]], one)


def test_every_closed_bar_is_scored(desk):
    context, market, inbox = desk
    publish(market, bar_tape(120, 5, seconds=300))
    loop = run(context)
    assert loop.counts["scores"] == len(scores(inbox)) == 100  # all but the warm-up


def test_backfill_only_warms_up(desk):
    """MES-FEAT-06: primed by history, the first live event is scored at once."""
    context, market, inbox = desk
    tape = book_tape(2_000, 7)
    tape.events["flags"][:1_500] |= FLAG_BACKFILL
    publish(market, tape, size=100)
    run(context)
    found = scores(inbox)
    assert found["ts_venue_ns"][0] >= tape.events["ts_venue_ns"][1_500]
    assert found["ts_venue_ns"][0] <= tape.events["ts_venue_ns"][1_520]


def test_a_takeover_warms_up_from_what_is_kept_and_scores_nothing_twice(desk):
    context, market, inbox = desk
    tape = book_tape(3_000, 7)
    publish(market, tape, end=1_500)
    run(context)
    before = scores(inbox)
    publish(market, tape, start=1_500)
    run(replace(context, fence=2))
    found = scores(inbox)
    assert len(found) > len(before) > 50
    assert len(np.unique(found["ts_venue_ns"])) == len(found)
    # the same as without a takeover, but for neutral scores, which each holder sends anew once
    alone = InferenceLoop()
    market.client.flushall()
    market.open(ZERO_ID)
    inbox.open(ZERO_ID)
    publish(market, tape)
    alone.open(context)
    drain(alone)
    signals = found[found["side"] != 0][["ts_venue_ns", "score_ppm"]]
    whole = scores(inbox)
    assert np.array_equal(whole[whole["side"] != 0][["ts_venue_ns", "score_ppm"]], signals)
    alone.close()


def test_a_holder_without_the_fence_cannot_send(desk):
    context, market, inbox = desk
    tape = book_tape(2_000, 7)
    old = InferenceLoop()
    old.open(context)
    publish(market, tape, end=1_500)
    run(replace(context, fence=2))
    count = len(scores(inbox))
    with pytest.raises(Fenced):
        drain(old)
    assert count == len(scores(inbox)) > 0


def test_a_full_inbox_drops_scores_counted_and_the_loop_goes_on(desk, monkeypatch):
    context, market, inbox = desk
    monkeypatch.setitem(CAPS, INBOX, 3)
    publish(market, book_tape(2_000, 7))
    shown: list[dict[str, object]] = []
    loop = run(replace(context, beat=lambda numbers: shown.append(dict(numbers))))
    assert len(inbox.read(ZERO_ID, 0, 100)) == 3
    assert loop.counts["dropped_full"] > 0
    assert loop.counts["events"] == 2_000
    assert shown


def test_a_repeated_batch_changes_nothing(desk):
    context, market, inbox = desk
    tape = book_tape(2_000, 7)
    publish(market, tape, end=1_500)
    publish(market, tape, start=1_400, end=1_500)
    publish(market, tape, start=1_500)
    loop = run(context)
    found = scores(inbox)
    assert loop.counts["repeated_entries"] == 5
    assert len(np.unique(found["ts_venue_ns"])) == len(found) > 50


def test_a_jump_of_the_feed_is_counted(desk):
    context, market, _ = desk
    tape = book_tape(2_000, 7)
    publish(market, tape, end=1_000)
    publish(market, tape, start=1_200)
    assert run(context).counts["missed_events"] == 200


def test_a_redis_that_starts_empty_costs_no_warm_up(desk):
    """Features rest in the process: after the streams are made anew the next event is scored."""
    context, market, inbox = desk
    tape = book_tape(2_000, 7)
    loop = InferenceLoop()
    loop.open(context)
    publish(market, tape, end=1_000)
    drain(loop)
    market.client.flushall()
    market.open(ZERO_ID)
    inbox.open(ZERO_ID)
    publish(market, tape, start=1_000)
    drain(loop)
    loop.close()
    found = scores(inbox)
    assert found["ts_venue_ns"][0] <= tape.events["ts_venue_ns"][1_020]
    assert loop.counts["events"] == 2_000 and "missed_events" not in loop.counts


def test_late_events_move_the_features_but_are_not_scored(desk):
    """P-23: on a running clock a score older than its limit would only be refused."""
    context, market, inbox = desk
    save_clock(context.folder, SessionClock(START, 0, 1.0))  # booted long ago: session time is far ahead of the tape
    publish(market, book_tape(1_000, 7))
    loop = run(context)
    assert len(scores(inbox)) == 0
    assert loop.counts["stale"] > 50


def test_the_market_stream_is_trimmed_but_keeps_a_warm_up(desk, monkeypatch):
    context, market, _ = desk
    monkeypatch.setattr("trading.run.inference_loop.RETAIN", 100)
    publish(market, book_tape(2_000, 7), size=5)
    run(context)
    assert 100 <= market.length() <= 200


def test_the_network_scores_through_the_loop_and_a_wrong_grid_gives_none(desk, trained):
    context, market, inbox = desk
    spec = spec_for(["MES"], ScorerSpec("network", str(trained[0]), {"edge_min": 0.0}))
    publish(market, bar_tape(200, 5))
    loop = run(replace(context, spec=spec))
    found = scores(inbox)
    assert len(found) == loop.counts["scores"] == 180
    assert (found["confidence_ppm"] > 333_000).all() and loop.counts["errors"] == 0
    market.client.flushall()
    market.open(ZERO_ID)
    inbox.open(ZERO_ID)
    publish(market, bar_tape(200, 5, seconds=300))
    loop = run(replace(context, spec=spec))
    assert loop.counts["wrong_step"] == 180 and len(scores(inbox)) == 0


def test_a_session_without_a_scorer_only_watches(desk):
    context, market, inbox = desk
    publish(market, book_tape(1_000, 7))
    loop = run(replace(context, spec=spec_for(["MES"], ScorerSpec("none"))))
    assert loop.counts["events"] == 1_000 and len(scores(inbox)) == 0


@pytest.mark.parametrize(
    ("scorer", "error", "words"),
    [
        (ScorerSpec("baseline", "", {"w_imbalanse": 1.0}), ScorerError, "no option w_imbalanse"),
        (ScorerSpec("network", "/nowhere", {}), ArtifactError, "/nowhere is no complete artifact"),
        (ScorerSpec("network", "", {}), ScorerError, "needs an artifact"),
    ],
)
def test_a_scorer_that_cannot_run_is_refused_at_the_start(desk, scorer, error, words):
    context, _, _ = desk
    spec = msgspec.structs.replace(context.spec, scorer=scorer)
    loop = InferenceLoop()
    with pytest.raises(CannotOpen, match=f"no scores, so no entries: .*{words}") as refused:
        loop.open(replace(context, spec=spec))
    assert isinstance(refused.value.__cause__, error)
    loop.close()  # as the runner does before its next try


def metric(market: Stream, which: int, state: int, ts_ns: int) -> None:
    """The feed's engine says where an instrument stands."""
    event = np.zeros(1, EVENT)
    event["kind"], event["code"], event["instrument"], event["role"] = METRIC, METRIC_INSTRUMENT, which, state
    event["ts_ns"] = event["ts_venue_ns"] = ts_ns
    market.append(event, fence=1, loop="feed")


def test_what_is_not_active_is_not_scored_moex_data_05(desk):
    """Of a session with an engine nothing is, until the engine was heard; a takeover hears it in what is kept."""
    context, market, inbox = desk
    context = replace(context, spec=msgspec.structs.replace(context.spec, universe=UniverseSpec()))
    tape = book_tape(2_000, 7)
    publish(market, tape, end=800)
    assert run(context).counts["inactive"] > 0 and len(scores(inbox)) == 0
    metric(market, 0, ACTIVE, int(tape.events["ts_ns"][800]))
    publish(market, tape, start=800, end=1_600)
    run(context)
    heard = scores(inbox)
    assert len(heard) > 20 and heard["ts_venue_ns"].min() >= tape.events["ts_venue_ns"][800]
    metric(market, 0, MONITORED, int(tape.events["ts_ns"][1_600]))
    publish(market, tape, start=1_600)
    run(replace(context, fence=2))
    assert len(scores(inbox)) == len(heard), "demoted: nothing more"
