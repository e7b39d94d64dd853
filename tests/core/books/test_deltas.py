"""Level changes and snapshots: order, holes, overlaps and waiting; against a plain book and a venue's own best levels.

Rules: MOEX-DATA-03 (nothing is repaired in silence).
"""

import bisect

import numpy as np
import pytest

from marketdata.core.books import deltas
from marketdata.core.books.ladder import fill_ladder, levels_of
from marketdata.core.books.verdicts import GAP, OLD, REFUSED, WAITING
from marketdata.core.depth import CHANGED_DEEP, CHANGED_TOP, LEVELS_FULL, UNCHANGED
from marketdata.core.records import BOOK, FEED, FEED_GAP, FLAG_INVALID, LEVELS, NO_TICK, TRADE, new_depths
from tests import plain
from tests.core.books.recordings import COIN, SPOT, USD, Binance, binance, bybit
from tests.core.books.run import Made, through_l2
from tests.core.books.test_ladder import digest

PROGRAM = """
from tests.core.books.test_deltas import plain_digest
from tests.core.books.test_ladder import digest
print(plain_digest() + digest(150))
"""
BID, ASK = 0, 1


class PlainL2:
    """The same rules in dictionaries and lists."""

    def __init__(self) -> None:
        self.levels: dict[tuple[int, int], int] | None = None
        self.number = 0
        self.waiting: list[tuple[int, int, list[tuple[int, int, int]]]] = []

    def _set(self, changes: list[tuple[int, int, int]]) -> None:
        assert self.levels is not None
        for row, tick, size in changes:
            if size > 0:
                self.levels[row, tick] = size
            else:
                self.levels.pop((row, tick), None)

    def update(self, after: int, last: int, changes: list[tuple[int, int, int]]) -> str:
        if self.levels is None:
            self.waiting.append((after, last, changes))
            return "waiting"
        if last <= self.number:
            return "old"
        if after > self.number:
            self.levels, self.waiting = None, [(after, last, changes)]
            return "gap"
        self._set(changes)
        self.number = last
        return "applied"

    def snapshot(self, last: int, changes: list[tuple[int, int, int]]) -> str:
        if self.levels is not None and last < self.number:
            return "old"
        self.levels, self.number = {}, last
        self._set(changes)
        waiting, self.waiting = self.waiting, []
        for after, number, later in waiting:
            if self.update(after, number, later) == "gap":
                self.waiting = []
                return "gap"
        return "applied"

    def best(self, row: int) -> list[tuple[int, int]]:
        levels = sorted(((t, s) for (r, t), s in (self.levels or {}).items() if r == row), reverse=row == BID)
        return levels[:LEVELS] + [(NO_TICK, 0)] * (LEVELS - len(levels[:LEVELS]))


def shown(depth: np.record, row: int) -> list[tuple[int, int]]:
    names = ("bid_tick", "bid_qty") if row == BID else ("ask_tick", "ask_qty")
    return list(zip(depth[names[0]].tolist(), depth[names[1]].tolist(), strict=True))


WORDS = {
    WAITING: "waiting",
    OLD: "old",
    GAP: "gap",
    UNCHANGED: "applied",
    CHANGED_DEEP: "applied",
    CHANGED_TOP: "applied",
}


def random_changes(rng: np.random.Generator, most: int) -> list[tuple[int, int, int]]:
    count = int(rng.integers(0, most))
    rows, ticks = rng.integers(0, 2, count), rng.integers(80, 121, count)
    sizes = rng.integers(0, 4, count)
    return list(zip(rows.tolist(), ticks.tolist(), sizes.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(12))
def test_random_updates_with_holes_overlaps_and_repeats_equal_a_plain_book(seed):
    rng = np.random.default_rng(seed)
    l2, plain_book = deltas.new_l2(1, 4), PlainL2()
    number, seen = 100, set()
    for _ in range(300):
        changes = random_changes(rng, 9)
        array = np.array(changes, np.int64).reshape(-1, 3)
        lost = rng.choice([0, 0, 0, 0, 0, 0, 0, 1, -3])  # a hole, an overlap
        step = int(rng.integers(0, 4))
        snapshot = rng.random() < 0.06
        done = LEVELS_FULL
        while done == LEVELS_FULL:
            if snapshot:
                done = deltas.take_snapshot(l2, 0, number - 2 + step, array, 0, len(array))
            else:
                done = deltas.take_update(l2, 0, number + lost, number + lost + step, array, 0, len(array))
            if done == LEVELS_FULL:
                l2 = deltas.grow(l2)
        if snapshot:
            want = plain_book.snapshot(number - 2 + step, changes)
        else:
            want = plain_book.update(number + lost, number + lost + step, changes)
            number = max(number, number + lost + step)
        assert WORDS[done] == want, seed
        seen.add(want)
        depths = new_depths(1)
        fill_ladder(l2.book, 0, depths, 0)
        assert shown(depths[0], BID) == plain_book.best(BID), seed
        assert shown(depths[0], ASK) == plain_book.best(ASK), seed
    assert seen == {"waiting", "old", "gap", "applied"}


CHANGES = np.array([(BID, 100, 5), (ASK, 102, 6), (BID, 100, 0), (BID, 99, 4)], np.int64)


def test_each_outcome_is_said_and_counted():
    l2 = deltas.new_l2(1)
    assert deltas.take_update(l2, 0, 7, 9, CHANGES, 2, 2) == WAITING
    assert deltas.take_snapshot(l2, 0, 8, CHANGES, 0, 2) == CHANGED_TOP  # what waited covers 9: it is taken at once
    assert (l2.state["last_id"][0], l2.state["applied"][0]) == (9, 1)
    assert levels_of(l2.book, BID) == [(99, 4)] and levels_of(l2.book, ASK) == [(102, 6)]
    assert deltas.take_update(l2, 0, 8, 9, CHANGES, 0, 1) == OLD
    assert deltas.take_update(l2, 0, 9, 10, CHANGES, 3, 1) == UNCHANGED
    assert deltas.take_snapshot(l2, 0, 9, CHANGES, 0, 2) == OLD
    assert deltas.take_update(l2, 0, 11, 12, CHANGES, 0, 1) == GAP
    assert levels_of(l2.book, BID) == levels_of(l2.book, ASK) == [] and l2.state["synced"][0] == 0
    assert deltas.take_snapshot(l2, 0, 10, CHANGES, 0, 2) == GAP  # does not reach 11
    assert deltas.take_snapshot(l2, 0, 12, CHANGES, 0, 2) == CHANGED_TOP
    names = ("snapshots", "applied", "old", "gaps", "refused")
    assert [int(l2.state[name][0]) for name in names] == [3, 2, 2, 2, 0]


@pytest.mark.parametrize(
    "change", [(BID, 0, 1), (ASK, -3, 1), (ASK, 100, -1), (ASK, 2**60, 1), (2, 100, 1), (-1, 100, 1), (BID, 100, 2**60)]
)
def test_a_change_that_cannot_be_withholds_the_book(change):
    l2 = deltas.new_l2(1)
    deltas.take_snapshot(l2, 0, 8, CHANGES, 0, 2)
    assert deltas.take_update(l2, 0, 8, 9, np.array([change], np.int64), 0, 1) == REFUSED
    assert l2.state["refused"][0] == 1 and l2.state["synced"][0] == 0
    assert deltas.take_update(l2, 0, 8, 9, CHANGES, 0, 1) == WAITING
    assert deltas.take_snapshot(l2, 0, 9, np.array([change], np.int64), 0, 1) == REFUSED
    assert deltas.take_snapshot(l2, 0, 9, CHANGES, 3, 2) == REFUSED  # beyond the array
    assert deltas.take_update(l2, 0, 9, 8, CHANGES, 0, 1) == REFUSED  # leads backwards


def test_the_room_for_waiting_updates_is_bounded_and_never_hides_a_hole():
    l2 = deltas.new_l2(1)
    for number in range(deltas.WAITING_UPDATES + 10):
        assert deltas.take_update(l2, 0, number, number + 1, CHANGES, 0, 1) == WAITING
    assert l2.state["forgotten"][0] == deltas.WAITING_UPDATES and l2.state["waiting"][0] == 10
    assert deltas.take_snapshot(l2, 0, 5, CHANGES, 0, 2) == GAP  # the updates after 5 are forgotten
    assert deltas.take_snapshot(l2, 0, 500, CHANGES, 0, 2) == CHANGED_TOP
    big = np.tile(CHANGES[:1], (deltas.WAITING_CHANGES + 1, 1))
    other = deltas.new_l2(1)
    assert deltas.take_update(other, 0, 1, 2, big, 0, len(big)) == WAITING
    assert other.state["forgotten"][0] == 1 and other.state["waiting"][0] == 0


def follows_the_venue(made: Made, recorded: Binance, truth: np.ndarray) -> int:
    """Every book equals the venue's best levels of the same number; how many were compared."""
    compared = 0
    ids = recorded.ticker_ids.tolist()
    first_book = True
    for event in made.events[made.events["kind"] == BOOK]:
        at = bisect.bisect_right(ids, int(event["ref"])) - 1
        if at < 0 or first_book:  # the first is of the snapshot and what waited: its number is the snapshot's
            first_book = False
            continue
        best = [int(event[name]) for name in ("bid_tick", "bid_qty", "ask_tick", "ask_qty")]
        assert best == truth[at].tolist(), int(event["ref"])
        compared += 1
    return compared


@pytest.mark.parametrize(("grid", "lines", "least"), [(COIN, 9_000, 2_900), (USD, 9_000, 500), (SPOT, 9_000, 400)])
def test_recorded_updates_give_the_venues_own_best_levels(sample_data, grid, lines, least):
    """The best levels of another stream of the venue, by its book numbers, at each update; no gap, no invalid book."""
    recorded = binance(sample_data, grid, lines)
    made, l2 = through_l2(recorded.messages, recorded.changes)
    assert l2.state["gaps"][0] == l2.state["refused"][0] == 0 and l2.state["snapshots"][0] == 1
    assert follows_the_venue(made, recorded, recorded.tickers) > least
    books = made.events["kind"] == BOOK
    assert not (made.events["flags"][books] & FLAG_INVALID).any()
    assert (made.events["kind"] == TRADE).sum() == (recorded.messages["kind"] == deltas.PRINT).sum() > 50
    for room in (1, 7, 1000):
        again, _ = through_l2(recorded.messages[:2000], recorded.changes, room)
        count = len(again.events)
        assert again.events.tobytes() == made.events[:count].tobytes()
        assert again.depths.tobytes() == made.depths[: len(again.depths)].tobytes()


def test_a_feed_of_500_levels_equals_a_plain_book(sample_data):
    recorded = bybit(sample_data)
    l2, plain_book = deltas.new_l2(1), PlainL2()
    for message in recorded.messages:
        first, count = int(message["first"]), int(message["count"])
        changes = [tuple(change) for change in recorded.changes[first : first + count].tolist()]
        if message.kind == deltas.SNAPSHOT:
            assert deltas.take_snapshot(l2, 0, message.last_id, recorded.changes, first, count) == CHANGED_TOP
            assert plain_book.snapshot(int(message.last_id), changes) == "applied" and count == 1_000
        else:
            done = deltas.take_update(l2, 0, message.after_id, message.last_id, recorded.changes, first, count)
            assert WORDS[done] == plain_book.update(int(message.after_id), int(message.last_id), changes) == "applied"
        depths = new_depths(1)
        fill_ladder(l2.book, 0, depths, 0)
        assert (shown(depths[0], BID), shown(depths[0], ASK)) == (plain_book.best(BID), plain_book.best(ASK))
        assert sum(len(levels_of(l2.book, row)) for row in (BID, ASK)) == len(plain_book.levels or {})
    assert l2.state["applied"][0] == 49


def test_a_lost_update_is_a_gap_until_a_snapshot_and_then_the_same_book(sample_data):
    recorded = binance(sample_data, COIN, 3_000)
    whole, _ = through_l2(recorded.messages, recorded.changes)
    updates = np.flatnonzero(recorded.messages["kind"] == deltas.UPDATE)
    lost, rescue = int(updates[400]), int(updates[700])
    # a snapshot as of update `rescue`, from the book of the undisturbed run
    _, known = through_l2(recorded.messages[: rescue + 1], recorded.changes)
    levels = [(row, *level) for row in (BID, ASK) for level in levels_of(known.book, row)]
    snapshot = recorded.messages[rescue : rescue + 1].copy()
    snapshot["kind"], snapshot["first"], snapshot["count"] = deltas.SNAPSHOT, len(recorded.changes), len(levels)
    changes = np.concatenate([recorded.changes, np.array(levels, np.int64)])
    kept = np.concatenate([recorded.messages[:lost], recorded.messages[lost + 1 : rescue + 3], snapshot])
    kept = np.concatenate([kept, recorded.messages[rescue + 3 :]])
    made, l2 = through_l2(kept, changes)
    gaps = made.events[made.events["kind"] == FEED]
    assert (gaps["code"] == FEED_GAP).all() and len(gaps) == 1 and l2.state["gaps"][0] == 1
    gap_ref, back_ref = int(gaps["ref"][0]), int(snapshot["last_id"][0])
    books = made.events[made.events["kind"] == BOOK]
    assert not ((books["ref"] >= gap_ref) & (books["ref"] < back_ref)).any()  # withheld in between
    after = int(recorded.messages["last_id"][: rescue + 3].max())
    late = books["ref"] > after
    want = whole.events[whole.events["kind"] == BOOK]
    want = want[want["ref"] > after]
    assert late.sum() > 300 and books[late].tobytes() == want.tobytes()
    assert made.depths[-300:].tobytes() == whole.depths[-300:].tobytes()


def plain_digest() -> str:
    """Hash over the outcome of a random run."""
    import hashlib

    rng = np.random.default_rng(3)
    changes = np.array([c for _ in range(200) for c in random_changes(rng, 9)], np.int64)
    messages = np.zeros(150, deltas.MESSAGE)
    messages["kind"] = rng.choice([deltas.UPDATE, deltas.UPDATE, deltas.UPDATE, deltas.PRINT], 150)
    messages["kind"][[5, 60, 100]] = deltas.SNAPSHOT
    messages["last_id"] = np.arange(150) + 1
    messages["after_id"] = np.arange(150)
    messages["first"], messages["count"] = 3 * np.arange(150), rng.integers(0, 6, 150)
    messages["ts_ns"] = messages["ts_venue_ns"] = np.arange(150) * 10**8
    made, _ = through_l2(messages, changes, 16)
    assert {BOOK, TRADE, FEED} <= set(made.events["kind"].tolist())
    return hashlib.sha256(made.events.tobytes() + made.depths.tobytes()).hexdigest()


def test_compiled_equals_plain_interpreter():
    assert plain.answer_of(PROGRAM) == plain_digest() + digest(150)
