"""Features: batch = streaming, bit for bit; the past never depends on the future; every warm vector is finite.

Rules: MES-FEAT-01, -02, -03, -09, MES-ACC-10.17, MOEX-FEAT-02, -04 (worked example 12.5).
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketdata.core import features_schema as f
from marketdata.core import features_stream as stream
from marketdata.core.records import BOOK, FLAG_INVALID, LEVELS, QUOTE, TRADE, new_depths, new_events
from marketdata.feeds.port import Batch
from tests.learning.tapes import SECOND, START, bar_tape, book_tape


def in_batch(tape: Batch, instruments: int = 1) -> tuple[np.ndarray, np.ndarray]:
    states = stream.new_states(instruments)
    out, valid = np.empty((len(tape.events), f.FEATURE_COUNT)), np.empty(len(tape.events), np.bool_)
    stream.batch(states, tape.events, tape.depths, tape.depth_of, out, valid)
    return out, valid


def one_at_a_time(tape: Batch, instruments: int = 1) -> tuple[np.ndarray, np.ndarray]:
    states = stream.new_states(instruments)
    out, valid = np.full((len(tape.events), f.FEATURE_COUNT), np.nan), np.zeros(len(tape.events), np.bool_)
    for i in range(len(tape.events)):
        # one-event arrays, as a live batch brings them
        row = int(tape.depth_of[i])
        depths = tape.depths[row : row + 1] if row >= 0 else tape.depths[:1]
        depth_of = np.array([0 if row >= 0 else -1], np.int32)
        stream.update(states, tape.events[i : i + 1], depths, depth_of, 0)
        which = int(tape.events[i]["instrument"])
        if which >= 0 and stream.ready(states[which]):
            valid[i] = True
            stream.vector(states[which], out[i])
    return out, valid


TAPES = {
    "book": (lambda: book_tape(3_000, 7), 1),
    "three instruments, faults": (lambda: book_tape(4_000, 11, instruments=3, faults=True), 3),
    "1-second bars": (lambda: bar_tape(400, 3), 1),
    "5-minute bars": (lambda: bar_tape(300, 5, seconds=300), 1),
}


@pytest.mark.parametrize("name", TAPES)
def test_batch_equals_streaming_bit_for_bit(name):
    """MES-FEAT-01, -02."""
    make, instruments = TAPES[name]
    tape = make()
    batch, valid = in_batch(tape, instruments)
    single, single_valid = one_at_a_time(tape, instruments)
    assert valid.sum() > 100
    assert np.array_equal(valid, single_valid)
    assert batch.tobytes() == single.tobytes()


@pytest.mark.parametrize("name", TAPES)
def test_a_tape_in_chunks_gives_the_same(name):
    make, instruments = TAPES[name]
    tape = make()
    whole, _ = in_batch(tape, instruments)
    states, parts = stream.new_states(instruments), []
    for at in range(0, len(tape.events), 97):
        part = slice(at, at + 97)
        out, valid = np.empty((len(tape.events[part]), f.FEATURE_COUNT)), np.empty(len(tape.events[part]), np.bool_)
        stream.batch(states, tape.events[part], tape.depths, tape.depth_of[part], out, valid)
        parts.append(out)
    assert np.concatenate(parts).tobytes() == whole.tobytes()


@pytest.mark.parametrize("cut", [400, 1_500, 2_999])
def test_the_past_does_not_depend_on_the_future(cut):
    """MES-FEAT-03: everything after `cut` is replaced by noise; nothing up to it changes."""
    tape = book_tape(3_000, 7)
    before, _ = in_batch(tape)
    rng = np.random.default_rng(cut)
    events, depths = tape.events.copy(), tape.depths.copy()
    for name in ("bid_tick", "ask_tick", "price_tick", "bid_qty", "ask_qty", "qty", "close_tick"):
        events[name][cut:] = rng.integers(1, 40_000, len(events) - cut)
    first_depth = int((tape.depth_of[:cut] >= 0).sum())
    depths["bid_qty"][first_depth:] = rng.integers(0, 9_999, depths["bid_qty"][first_depth:].shape)
    after, _ = in_batch(Batch(events, depths, tape.depth_of, len(events), True))
    assert after[:cut].tobytes() == before[:cut].tobytes()
    assert after[cut:].tobytes() != before[cut:].tobytes()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1), gap_ms=st.sampled_from([5, 200, 3_000, 40_000]))
def test_every_warm_vector_is_finite_and_bounded(seed, gap_ms):
    """MOEX-FEAT-02, MES-ACC-10.17: gaps, late stamps, crossed books, unknown sides; a cold row is NaN throughout."""
    out, valid = in_batch(book_tape(400, seed, instruments=2, mean_gap_ms=gap_ms, faults=True), 2)
    assert np.isfinite(out[valid]).all()
    assert np.isnan(out[~valid]).all()
    assert (np.abs(out[valid][:, [f.IMBALANCE_1, f.IMBALANCE_5, f.IMBALANCE_20, f.TRADE_IMBALANCE_10]]) <= 1).all()
    assert (out[valid][:, [f.SPREAD_TICKS, f.RV_30, f.RANGE_60, f.SINCE_TRADE, f.TRADE_RATE_10]] >= 0).all()


def test_window_sums_equal_sums_taken_anew():
    """MES-FEAT-02: the running integers never drift from the windows that they stand for."""
    tape = book_tape(4_000, 23)
    out, valid = in_batch(tape)
    seconds = tape.events["ts_venue_ns"] // SECOND
    trades = tape.events["kind"] == TRADE
    for i in np.flatnonzero(valid)[::37]:
        here = trades[: i + 1] & (seconds[: i + 1] > seconds[i] - 10)
        buy = tape.events["qty"][: i + 1][here & (tape.events["side"][: i + 1] == 1)].sum()
        sell = tape.events["qty"][: i + 1][here & (tape.events["side"][: i + 1] == -1)].sum()
        assert out[i, f.TRADE_RATE_10] == min(100.0, here.sum() / 10.0)
        assert out[i, f.TRADE_IMBALANCE_10] == ((buy - sell) / (buy + sell) if buy + sell else 0.0)


def test_returns_volatility_and_range_by_hand():
    """ret_k, rv_30, range_60 from the mids at the ends of the grid seconds."""
    tape = book_tape(6_000, 29)
    out, valid = in_batch(tape)
    quotes = (tape.events["kind"] == QUOTE) | (tape.events["kind"] == BOOK)
    seconds = tape.events["ts_venue_ns"] // SECOND
    for i in np.flatnonzero(valid & quotes & (seconds > seconds[0] + 62))[::101]:
        known = np.flatnonzero(quotes[: i + 1])
        mids = (tape.events["bid_tick"] + tape.events["ask_tick"])[known]

        def mid_at_end(second, known=known, mids=mids):
            return mids[np.flatnonzero(seconds[known] <= second)[-1]]

        now = seconds[i]
        ends = np.array([mid_at_end(now - k) for k in range(1, 32)])
        for name, k in (("ret_1", 1), ("ret_5", 5), ("ret_30", 30), ("ret_60", 60)):
            assert out[i, f.FEATURE_INDEX[name]] == (mids[-1] - mid_at_end(now - k)) / 2
        assert out[i, f.RV_30] == pytest.approx(np.sqrt(np.mean((np.diff(ends) / 2) ** 2)), rel=1e-12)
        since = np.flatnonzero(seconds[: i + 1] > now - 60)
        highs = np.where(
            quotes[since],
            (tape.events["bid_tick"] + tape.events["ask_tick"])[since],
            2 * tape.events["price_tick"][since],
        )
        carried = mid_at_end(now - 60)  # what the oldest second of the window opened with
        assert out[i, f.RANGE_60] == (max(highs.max(), carried) - min(highs.min(), carried)) / 2


def _book(ts_ns, bids, asks):
    events, depths = new_events(1), new_depths(1)
    for side, levels in (("bid", bids), ("ask", asks)):
        depths[0][f"{side}_tick"][: len(levels)] = [tick for tick, _ in levels]
        depths[0][f"{side}_qty"][: len(levels)] = [qty for _, qty in levels]
        events[0][f"{side}_tick"], events[0][f"{side}_qty"] = levels[0]
    events["kind"], events["ts_venue_ns"] = BOOK, ts_ns
    return events, depths


def test_the_worked_example_of_the_book():
    """MOEX-FEAT-04 and the vectors of section 12.5: imbalance, microprice, order flow of two books."""
    a = _book(START, [(10000, 10), (9999, 20), (9998, 30)], [(10002, 15), (10003, 5), (10005, 20)])
    b = _book(START + SECOND // 5, [(10001, 4), (10000, 12), (9999, 20)], [(10002, 9), (10003, 5), (10005, 20)])
    states, out = stream.new_states(1), np.empty(f.FEATURE_COUNT)
    expected = (
        {"imbalance_20": 0.2, "imbalance_1": -0.2, "ofi_cks_1": 0.0, "microprice_rel_ticks": -0.2},
        {
            "imbalance_20": 0.0285714286,
            "imbalance_1": -0.3846153846,
            "ofi_cks_1": 0.5263157895,
            "microprice_rel_ticks": -0.1923076923,
        },
    )
    for (events, depths), wanted in zip((a, b), expected, strict=True):
        stream.update(states, events, depths, np.zeros(1, np.int32), 0)
        stream.vector(states[0], out)
        got = {name: out[f.FEATURE_INDEX[name]] for name in wanted}
        assert got == pytest.approx(wanted, abs=1e-9)


def test_bars_alone_give_features_on_the_bar_grid():
    """A tape without quotes: mid = close, imbalance 0, windows counted in bars."""
    tape = bar_tape(120, 9, seconds=300)
    out, valid = in_batch(tape)
    close = tape.events["close_tick"]
    assert valid[f.WARM_STEPS :].all() and not valid[: f.WARM_STEPS].any()
    rows = out[61:]
    assert (rows[:, :6] == 0).all()
    assert np.array_equal(rows[:, f.RET_1], np.diff(close)[60:])
    assert np.array_equal(rows[:, f.RET_60], (close[60:] - close[:-60])[1:])


def test_a_long_silence_begins_a_new_segment():
    """MES-FEAT-04: state resets at a segment's start; nothing of before the silence is left."""
    tape = bar_tape(100, 1)
    tape.events["ts_venue_ns"][60:] += f.RING * SECOND
    _, valid = in_batch(tape)
    assert valid[59] and not valid[60 : 60 + f.WARM_STEPS].any() and valid[60 + f.WARM_STEPS]
    fresh, _ = in_batch(Batch(tape.events[60:], tape.depths, tape.depth_of[60:], 40, True))
    assert in_batch(tape)[0][60:].tobytes() == fresh.tobytes()


def test_an_invalid_book_moves_nothing():
    tape = book_tape(2_000, 4)
    states = stream.new_states(1)
    out = np.empty((2_000, f.FEATURE_COUNT))
    stream.batch(states, tape.events, tape.depths, tape.depth_of, out, np.empty(2_000, np.bool_))
    events, depths = _book(int(tape.events["ts_venue_ns"][-1]), [(30_000, 1)], [(29_000, 1)])
    events["flags"] = FLAG_INVALID
    mid2 = int(states[0]["mid2"])
    stream.update(states, events, depths, np.zeros(1, np.int32), 0)
    row = np.empty(f.FEATURE_COUNT)
    stream.vector(states[0], row)
    assert states[0]["mid2"] == mid2
    assert (row[: f.RET_1] == 0).all() and np.isfinite(row).all()


def test_the_schema_names_every_place_of_the_vector():
    """MES-FEAT-09: names, places and hash belong together."""
    assert len(set(f.FEATURE_NAMES)) == f.FEATURE_COUNT == 18
    for name in f.FEATURE_NAMES:
        assert getattr(f, name.upper()) == f.FEATURE_INDEX[name]
    assert len(f.schema_hash()) == 64 and LEVELS == 20


def test_the_schema_hash_changes_with_any_word(monkeypatch):
    first = f.schema_hash()
    swapped = (f.FEATURES[1], f.FEATURES[0], *f.FEATURES[2:])
    monkeypatch.setattr(f, "FEATURES", swapped)
    assert f.schema_hash() != first
