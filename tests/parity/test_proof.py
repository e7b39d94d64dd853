"""What a proof of parity reads of a journal before it compares: arrivals, lost and unasked answers, what stands beside.

The proof itself is held against a session of the real loops in test_recorded_session.
"""

from collections.abc import Sequence

import numpy as np
import pytest

from marketdata.core.records import BOOK, FEED, FEED_GAP, FLAG_BACKFILL, METRIC, NO_TICK, new_depths, new_events
from marketdata.core.universe.records import ACTIVE, MONITORED
from marketdata.engine.telling import METRIC_INSTRUMENT
from marketdata.feeds.port import Batch, Feed, FeedError
from marketdata.feeds.registry import open_feed
from trading.core.records import (
    ACK,
    CANCEL,
    CANCELLED,
    CANCELLED_ON_REQUEST,
    COMMAND,
    FILL,
    MODIFY,
    PAUSE,
    PRESENCE,
    REJECT,
    REJECTED_EXPIRED,
    REJECTED_LATCHED,
    SCORE,
    SUBMIT,
    UNKNOWN_OUTCOME,
)
from trading.reports.parity import tell
from trading.reports.parity.record import NEVER, Reading
from trading.reports.parity.scores import ScoresAgain
from trading.reports.parity.tape import TapeAgain, TapeDiffers
from trading.reports.parity.venue import Answered
from trading.run.bodies.feed_loop import cut
from trading.run.feeding.active import ActiveSet
from trading.run.spec import FeedSpec, ScorerSpec
from trading.run.tapes.scores import scoring_of


def row(kind: int, number: int = 0, ref: int = 0, at_ns: int = 0, code: int = 0) -> np.ndarray:
    """One EVENT."""
    event = new_events(1)
    event["kind"], event["order_number"], event["ref"], event["code"] = kind, number, ref, code
    event["ts_ns"] = event["ts_venue_ns"] = at_ns
    return event


def read(*rows: np.ndarray) -> Reading:
    reading = Reading()
    for one in rows:
        reading.note(one)
    return reading


def test_a_request_arrived_when_its_own_answer_says_so() -> None:
    found = read(
        row(SUBMIT, 1),
        row(ACK, 1, 1, 25),
        row(MODIFY, 1),
        row(ACK, 1, 2, 60),
        row(CANCEL, 1),
        row(CANCEL, 1),
        row(REJECT, 1, 3, 70),
        row(CANCELLED, 1, 4, 90, CANCELLED_ON_REQUEST),
    ).found(8)
    arrivals = {key: list(times) for key, times in found.arrivals.items()}
    assert arrivals == {(1, SUBMIT): [25], (1, MODIFY): [60], (1, CANCEL): [70, 90]}
    assert found.answers["ref"].tolist() == [1, 2, 3, 4] and found.acted_ref == 0 and found.beside == {}


def test_what_never_left_came_twice_or_was_lost_is_told_and_not_compared() -> None:
    found = read(
        row(SUBMIT, 1),
        row(REJECT, 1, 0, 5, REJECTED_EXPIRED),
        row(SUBMIT, 2),
        row(UNKNOWN_OUTCOME, 2),
        row(ACK, 2, 1, 9),
        row(ACK, 2, 1, 9),
        row(COMMAND, code=PAUSE),
        row(COMMAND, code=PRESENCE),
        row(FEED, code=FEED_GAP),
    ).found(9)
    assert list(found.arrivals[1, SUBMIT]) == [NEVER] and list(found.arrivals[2, SUBMIT]) == [9]
    assert len(found.answers) == 1 and found.acted_ref == 0
    assert found.beside == {
        "requests that never left the desk": 1,
        "answers that were lost": 1,
        "answers that came twice": 1,
        "command pause": 1,
        "gaps of the feed": 1,
    }


@pytest.mark.parametrize(
    "acted",
    [
        row(CANCELLED, 1, 2, 30, CANCELLED_ON_REQUEST),
        row(FILL, -1, 2, 30),
        row(REJECT, 1, 2, 30, REJECTED_LATCHED),
    ],
    ids=["its cancel", "its fill", "its latch"],
)
def test_what_the_guard_did_at_the_venue_was_asked_by_nobody(acted: np.ndarray) -> None:
    """K-02: it has a road of its own, which no journal of requests has."""
    assert read(row(SUBMIT, 1), row(ACK, 1, 1, 25), acted).found(3).acted_ref == 2


def test_an_answer_is_the_same_but_for_what_the_desk_s_own_end_writes_in() -> None:
    told, made = row(ACK, 1, 1, 25), row(ACK, 1, 1, 25)
    told["seq"], told["ts_ns"], told["value"] = 17, 31, 123_456
    assert Answered(told, made).same and Answered(told, made).fields() == []
    made["price_tick"] = 4
    assert not Answered(told, made).same and Answered(told, made).fields() == [("price_tick", NO_TICK, 4)]
    fill, other = row(FILL, 1, 2, 30), row(FILL, 1, 2, 30)
    fill["value"] = 1
    assert not Answered(fill, other).same and Answered(fill, other).harmless
    other["qty"] = 2
    assert not Answered(fill, other).harmless and not Answered(fill, None).same


def test_the_tape_is_held_against_the_journal_event_by_event() -> None:
    spec = FeedSpec("simulated", ["MES"], seed=3)
    feed = open_feed(spec)
    feed.backfill()
    batch = feed.read(np.iinfo(np.int64).max, 9_000)
    feed.close()
    journal = batch.events.copy()
    journal["seq"], journal["ts_ns"] = np.arange(len(journal)) + 1, journal["ts_ns"] + 700
    heard: list[int] = []
    tape = TapeAgain(spec, lambda part, past: heard.append(len(part.events)))
    tape.confirm(journal[:100])
    tape.confirm(np.concatenate([journal[103:200], journal[201:5_000]]))
    assert tape.unheard == 4, "lost between feed and kernel, and told"
    end = tape.upto(int(journal["ts_venue_ns"][6_000]))
    assert end > 6_000 and heard[0] > 0
    tape.given = end
    before = tape.events[end:].copy()
    tape.upto(int(journal["ts_venue_ns"][8_500]))
    assert tape.given < end, "what both have is let go"
    again = tape.events[tape.given : tape.given + len(before)]
    assert again.tobytes() == before.tobytes()
    books = tape.events["kind"] == BOOK
    assert np.array_equal(tape.depth_of >= 0, books)
    at = np.flatnonzero(books)[0]
    assert int(tape.depths[tape.depth_of[at]]["bid_tick"][0]) == int(tape.events["bid_tick"][at])
    assert (tape.events["flags"] & FLAG_BACKFILL == 0).all()
    other = journal[5_000:5_001].copy()
    other["price_tick"] += 1
    with pytest.raises(TapeDiffers, match="seq 5001"):
        tape.confirm(other)
    tape.close()


def test_identical_is_only_what_was_compared_whole() -> None:
    """Scores that could not be made again are not the same; a difference that was found stays one."""
    kernel, venue = tell.decisions_part(9, None), {"name": "answers", "state": tell.EQUAL, "why": ""}
    scores = ScoresAgain(ScorerSpec("baseline"), ["MES"])
    whole = tell.scores_part(scores, "")
    assert tell.verdict_of([kernel, venue, whole], "") == tell.IDENTICAL
    assert tell.verdict_of([kernel, venue, whole], "a frame is damaged") == tell.DIFFERS
    unread = tell.scores_part(None, "the network is not here")
    assert unread["state"] == tell.NOT_COMPARED
    assert tell.verdict_of([kernel, venue, unread], "") == tell.DECISIONS_ONLY
    assert tell.verdict_of([kernel, {**venue, "why": "its tape ended"}, whole], "") == tell.DECISIONS_ONLY
    score = row(SCORE, at_ns=5)
    score["side"], score["seq"] = 1, 7
    scores.follow(score)
    broken_off = tell.scores_part(scores, "the feed does not give what the session heard")
    assert (broken_off["state"], broken_off["recorded"], broken_off["equal"]) == (tell.DIFFERS, 1, 0)
    assert broken_off["why"] and tell.verdict_of([kernel, venue, broken_off], "") == tell.DIFFERS


def test_a_session_that_only_watches_heard_no_score_and_that_is_compared() -> None:
    scores = ScoresAgain(ScorerSpec("none"), ["MES"])
    feed = open_feed(FeedSpec("simulated", ["MES"], seed=3))
    scores.hear(feed.read(2**62, 50), False)
    feed.close()
    scores.follow(row(FEED))
    assert tell.scores_part(scores, "")["state"] == tell.EQUAL and scores.recorded == 0
    scores.follow(row(SCORE, at_ns=5))
    assert tell.scores_part(scores, "")["state"] == tell.DIFFERS, "nobody was there to say it"


UNSURE = {"threshold": 0.9}  # a score is neutral but now and then


def heard_by_a_session(tape: Batch, cuts: Sequence[int], metrics: Sequence[np.ndarray]) -> np.ndarray:
    """The SCORE rows of a session whose engine spoke before the events at `cuts`."""
    active = ActiveSet(1, watched=True)
    scoring = scoring_of("baseline", UNSURE, ["SBER"], active)
    found, begin = [], 0
    for end, told in zip((*cuts, len(tape.events)), (*metrics, metrics[0][:0]), strict=True):
        part = cut(tape, begin, end, 0)
        found.append(scoring.scores(part.events, part.depths, part.depth_of)[1])
        scoring.scores(told, new_depths(0), np.full(len(told), -1, np.int32))
        begin = end
    return np.concatenate(found)


def test_scores_of_a_session_with_an_engine_are_those_that_it_let_be_made() -> None:
    """MOEX-DATA-05: nothing is scored before the first METRIC, so the second of a neutral score begins elsewhere."""
    feed = open_feed(FeedSpec("simulated", ["SBER"], seed=3))
    feed.backfill()
    tape = feed.read(2**62, 3_000)
    feed.close()
    states = new_events(2)
    states["kind"], states["code"], states["role"] = METRIC, METRIC_INSTRUMENT, (ACTIVE, MONITORED)
    cuts = (700, 1_800, 2_100)
    metrics = (states[:1], states[1:], states[:1])
    told = heard_by_a_session(tape, cuts, metrics)
    told["seq"] = np.arange(len(told)) + 1
    with_engine, without = (
        ScoresAgain(ScorerSpec("baseline", options=UNSURE), ["SBER"], engine) for engine in (True, False)
    )
    for again in (with_engine, without):
        again.hear(tape, past=False)
    for end, metric in zip(cuts, metrics, strict=True):
        with_engine.upto(end)
        with_engine.tell(metric)
    with_engine.upto(len(tape.events))
    for again in (with_engine, without):
        again.follow(told)
    assert with_engine.recorded == with_engine.equal == len(told) > 20 and with_engine.missed == 0
    assert with_engine.shifted == 0 < without.shifted, "by the feed alone they fall on other moments"


class Breaking:
    """A feed that cannot be read behind its first batch."""

    def __init__(self, feed: Feed) -> None:
        self._batch: Batch | None = feed.read(2**62, 2_000)
        self.close = feed.close

    def read(self, until_ns: int, limit: int) -> Batch:
        if self._batch is None:
            raise FeedError("s1.rec is damaged at byte 316641")
        batch, self._batch = self._batch, None
        return batch


def test_a_tape_that_breaks_off_is_told_where_the_journal_needs_it() -> None:
    """A damaged recording ends the comparison with its sentence, not the command."""
    tape = TapeAgain(FeedSpec("simulated", ["SBER"], seed=3), lambda batch, past: None)
    tape._feed = Breaking(tape._feed)  # type: ignore[assignment]
    tape.upto(2**62)
    known = tape.events[tape.events["kind"] < FEED]
    assert len(known) > 1_000
    tape.confirm(known)
    beyond = known[-1:].copy()
    beyond["ts_venue_ns"] += 1
    with pytest.raises(TapeDiffers, match=r"cannot be read on, s1.rec is damaged"):
        tape.confirm(beyond)
    tape.close()
