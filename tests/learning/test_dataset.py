"""Labels by clock time and the purged split.  MES-LABEL-01 .. -03, MES-SPLIT-02 .. -04."""

import numpy as np
import pytest

from marketdata.core import features_schema as f
from marketdata.core.records import new_depths, new_events
from marketdata.feeds.port import Batch
from tests.learning.tapes import SECOND, START, bar_tape, book_tape
from trading.learning.dataset import (
    DOWN,
    FLAT,
    NO_LABEL,
    UP,
    DataError,
    Rows,
    estimate_bytes,
    read_rows,
    rows_hash,
    split_rows,
)


class ArrayFeed:
    """A feed over one batch that is already there."""

    def __init__(self, batch: Batch) -> None:
        self._batch, self._at = batch, 0
        self.start_ns = START

    def backfill(self) -> Batch:
        return Batch(new_events(0), new_depths(0), np.empty(0, np.int32), 0, False)

    def read(self, until_ns: int, limit: int) -> Batch:
        here = np.flatnonzero(self._batch.events["ts_venue_ns"] <= until_ns)
        end = min(len(here), self._at + limit)
        part = slice(self._at, end)
        self._at = end
        ended = end == len(self._batch.events)
        return Batch(self._batch.events[part], self._batch.depths, self._batch.depth_of[part], end, ended)

    def next_ns(self) -> int:
        return int(self._batch.events["ts_venue_ns"][self._at])

    def seek(self, position: int) -> None:
        self._at = position

    def close(self) -> None:
        self._at = len(self._batch.events)


def rows_of(batch: Batch, *, horizon: int = 30, cost: float = 3.0, every_ns: int = 0) -> Rows:
    return read_rows(ArrayFeed(batch), 0, 1, seconds=0, every_ns=every_ns, horizon_ns=horizon * SECOND, cost_ticks=cost)


def bars_with(closes: np.ndarray) -> Batch:
    tape = bar_tape(len(closes), 1)
    for name in ("open_tick", "high_tick", "low_tick", "close_tick", "price_tick"):
        tape.events[name] = closes
    return tape


@pytest.mark.parametrize(("move", "label"), [(4, UP), (3, FLAT), (0, FLAT), (-3, FLAT), (-4, DOWN)])
def test_a_label_is_the_move_at_the_horizon_strictly_beyond_cost(move, label):
    """MES-LABEL-01: more than 3 ticks, by the clock."""
    closes = np.full(200, 20_000)
    closes[100:] += move
    rows = rows_of(bars_with(closes))
    at = {int(ts): i for i, ts in enumerate(rows.ts_ns)}
    bar = START + SECOND  # end of the first
    assert rows.label[at[bar + 70 * SECOND]] == label  # 30 s later is the first bar of the new price
    assert rows.label[at[bar + 69 * SECOND]] == FLAT
    assert rows.label[at[bar + 100 * SECOND]] == FLAT


def test_no_label_where_the_tape_or_its_segment_ends():
    """MES-LABEL-02."""
    rows = rows_of(bar_tape(200, 1))
    assert (rows.label[-30:] == NO_LABEL).all() and (rows.label[:-30] != NO_LABEL).all()
    tape = bar_tape(400, 1)
    tape.events["ts_venue_ns"][200:] += 1_000 * SECOND
    rows = rows_of(tape)
    before = rows.ts_ns < tape.events["ts_venue_ns"][200]
    assert (rows.label[before][-30:] == NO_LABEL).all() and (rows.label[before][:-30] != NO_LABEL).all()


def test_labels_on_quotes_by_hand():
    tape = book_tape(6_000, 5)
    rows = rows_of(tape, horizon=10, cost=2.0)
    quotes = tape.events["bid_tick"] > 0
    times, mids = tape.events["ts_venue_ns"][quotes], (tape.events["bid_tick"] + tape.events["ask_tick"])[quotes]
    for i in np.flatnonzero(rows.label != NO_LABEL)[::53]:
        # several events may carry one stamp: the row's own mid is that of its features
        later = mids[np.searchsorted(times, rows.ts_ns[i] + 10 * SECOND, side="right") - 1]
        same = mids[times == rows.ts_ns[i]]
        expected = {UP if later - now > 4 else DOWN if later - now < -4 else FLAT for now in same}
        assert rows.label[i] in expected


def test_features_of_a_row_do_not_know_its_label():
    """MES-LABEL-03: the future that makes the label, replaced by noise, leaves the features as they are."""
    tape = book_tape(4_000, 8)
    rows = rows_of(tape)
    cut = 2_500
    noise = np.random.default_rng(1).integers(1, 50_000, 4_000 - cut)
    tape.events["bid_tick"][cut:] = noise
    tape.events["ask_tick"][cut:] = noise + 1
    again = rows_of(tape)
    same = rows.ts_ns < tape.events["ts_venue_ns"][cut]
    assert same.sum() > 500
    assert again.features[: same.sum()].tobytes() == rows.features[same].tobytes()
    assert again.label.tobytes() != rows.label.tobytes()


def test_rows_are_the_moments_that_would_be_scored():
    rows = rows_of(book_tape(4_000, 8), every_ns=500_000_000)
    assert (np.diff(rows.ts_ns) >= 500_000_000).all()
    assert np.isfinite(rows.features).all() and rows.features.shape[1] == f.FEATURE_COUNT


def test_the_split_is_in_time_order_purged_and_embargoed():
    """MES-SPLIT-02, -03: no label of an earlier part reaches into a later one; each later part starts with a pause."""
    rows = rows_of(book_tape(20_000, 2), horizon=30, cost=1.0)
    split = split_rows(rows, 60 * SECOND)
    for earlier, later in ((split.train, split.validation), (split.validation, split.test)):
        assert rows.label_ns[earlier].max() < rows.ts_ns[later].min()
        assert rows.ts_ns[later].min() - rows.ts_ns[earlier].max() > 60 * SECOND
    n = (rows.label != NO_LABEL).sum()
    assert len(split.train) + len(split.validation) + len(split.test) + split.purged + split.embargoed == n
    assert split.purged > 0 and split.embargoed > 0


def test_a_tape_too_short_is_refused_by_name():
    with pytest.raises(DataError, match="validation part has"):
        split_rows(rows_of(bar_tape(300, 1)), 600 * SECOND)


def test_a_horizon_below_the_grid_is_refused():
    with pytest.raises(DataError, match=r"horizon of 30 s is shorter than the tape's grid step of 300 s"):
        rows_of(bar_tape(100, 1, seconds=300))


def test_the_data_hash_names_the_rows():
    first, second = rows_of(book_tape(2_000, 1)), rows_of(book_tape(2_000, 2))
    assert rows_hash(first) == rows_hash(rows_of(book_tape(2_000, 1))) != rows_hash(second)


def test_the_estimate_is_an_upper_bound_of_the_rows():
    tape = book_tape(4_000, 8)
    seconds = int(tape.events["ts_venue_ns"][-1] - START) // SECOND + 1
    most, size = estimate_bytes(seconds, 500)
    rows = rows_of(tape, every_ns=500_000_000)
    assert 0 < len(rows.ts_ns) <= most
    assert size > rows.features.nbytes
