"""Batch = streaming = chunks = plain interpreter, to the last bit; the past never depends on the future.

Rules: MES-FEAT-01, -02, -03, MES-MEM-08, MES-ACC-10.17, MES-LABEL-02.
"""

import hashlib

import numpy as np
import pandas as pd
import pytest

from marketdata.core.barfeatures.records import TICK_MAX, VOLUME_MAX
from tests import plain
from tests.core.barfeatures.kit import Rows, in_chunks, one_at_a_time, whole
from tests.core.barfeatures.tapes import SESSIONS, as_bars, tape

PROGRAM = "from tests.core.barfeatures.test_modes import digest; print(digest())"
CHUNKS = (1, 2, 29, 30, 31, 59, 60, 61, 299, 300, 301, 1_000, 1_001)
ROOMS = (1, 7, 61, 1_000)
WARM_SEED = 1_010  # a tape with hundreds of valid rows


def assert_same(a: Rows, b: Rows, told: str) -> None:
    for name in ("second", "valid", "carried", "begins", "label"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), (told, name)
    assert a.features.tobytes() == b.features.tobytes(), told
    assert a.state == b.state, told


@pytest.mark.parametrize("block", range(6))
def test_streaming_and_chunks_equal_the_batch_bit_for_bit(block):
    """204 tapes; every chunk size and room for rows comes up many times."""
    valid = 0
    for seed in range(1_000 + 34 * block, 1_034 + 34 * block):
        bars = as_bars(tape(seed))
        batch = whole(bars)
        single = one_at_a_time(bars)
        assert_same(single._replace(begins=batch.begins, label=batch.label), batch, f"seed {seed}, one at a time")
        size, room = CHUNKS[seed % len(CHUNKS)], ROOMS[seed % len(ROOMS)]
        assert_same(in_chunks(bars, size, room), batch, f"seed {seed}, chunks of {size}, room for {room}")
        valid += int(batch.valid.sum())
    assert valid > 15_000


def test_every_chunk_size_from_1000_on():
    """MES-MEM-08: wherever the border falls: mid-minute, mid-segment, inside a label's 30 s, between segments."""
    parts = [tape(seed) for seed in (1_001, 1_002, 1_003, 1_005, 1_008)]
    prints = pd.concat(parts).drop_duplicates("second").sort_values("second").reset_index(drop=True)
    bars = as_bars(prints)
    batch = whole(bars)
    assert len(prints) > 4_000 and batch.begins.sum() > 4
    for size in range(1_000, len(prints), 37):
        assert_same(in_chunks(bars, size), batch, f"chunks of {size}")


def noise_after(prints: pd.DataFrame, second: int, rng: np.random.Generator) -> pd.DataFrame:
    """The same up to and with `second`; later bars are something else entirely, and one surely follows."""
    past = prints[prints.second <= second]
    close_s = next(hours.close_s for hours in SESSIONS if hours.open_s <= second < hours.close_s)
    count = int(rng.integers(1, 40))
    seconds = np.unique(second + rng.integers(1, 400, count))
    seconds = seconds[seconds < close_s] if (seconds < close_s).any() else np.array([close_s - 1])
    n = len(seconds)
    low = rng.integers(1, TICK_MAX // 2, n)
    span = rng.integers(0, TICK_MAX // 2, (3, n))
    high = low + span[0]
    columns = {"second": seconds, "open": low + span[1] % (span[0] + 1), "high": high, "low": low}
    columns |= {"close": low + span[2] % (span[0] + 1), "volume": rng.integers(0, VOLUME_MAX, n)}
    columns |= {"contract": rng.integers(0, 2, n), "outage": rng.integers(0, 2, n)}
    return pd.concat([past, pd.DataFrame(columns)], ignore_index=True).astype(np.int64)


@pytest.mark.parametrize("block", range(5))
def test_the_past_does_not_depend_on_the_future(block):
    """MES-FEAT-03: 1,000 moments; all data after each is replaced by noise, no row up to it changes."""
    rng = np.random.default_rng(block)
    valid = 0
    for seed in range(2_000 + 10 * block, 2_010 + 10 * block):
        prints = tape(seed)
        before = whole(as_bars(prints))
        moments = rng.choice(before.second[(before.second < before.second[-1] - 1)], 20)
        for moment in moments.tolist():
            after = whole(as_bars(noise_after(prints, moment, rng)))
            past = before.second <= moment
            count = int(past.sum())
            assert np.array_equal(after.second[:count], before.second[past])
            assert after.features[:count].tobytes() == before.features[past].tobytes(), (seed, moment)
            known = before.second <= moment - 30  # their labels are decided by then
            assert np.array_equal(after.label[: known.sum()], before.label[known]), (seed, moment)
            valid += int(before.valid[past].sum())
    assert valid > 20_000


def test_a_changed_bar_changes_its_own_row():
    """The comparison above can fail: another close at t changes row t."""
    prints = tape(WARM_SEED)
    before = whole(as_bars(prints))
    at = int(np.flatnonzero(before.valid & ~before.carried)[100])
    changed = prints.copy()
    row = changed.index[changed.second == before.second[at]][0]
    changed.loc[row, ["high", "close"]] = changed.loc[row, "high"] + 5
    after = whole(as_bars(changed))
    assert after.features[:at].tobytes() == before.features[:at].tobytes()
    assert (after.features[at] != before.features[at]).sum() > 25


def digest() -> str:
    """Hash over rows, labels and states of a tape, in one piece and one at a time."""
    total = hashlib.sha256()
    prints = tape(WARM_SEED)
    batch = whole(as_bars(prints.head(1_300)))
    assert batch.valid.sum() > 100
    for part in (batch.second, batch.features, batch.label):
        total.update(np.ascontiguousarray(part).tobytes())
    total.update(batch.state + one_at_a_time(as_bars(prints.head(100))).state)
    return total.hexdigest()


def test_compiled_equals_plain_interpreter():
    assert plain.answer_of(PROGRAM) == digest()


def test_extreme_bars_stay_finite_and_exact():
    """Prices and volumes at the bounds of `records`: no sum overflows, every valid row is finite."""
    rng = np.random.default_rng(3)
    n = 2_400
    low = np.where(rng.random(n) < 0.5, 1, TICK_MAX - 3)
    columns = {"second": SESSIONS[0].open_s + np.arange(n), "open": low, "high": low + 3, "low": low, "close": low + 3}
    columns |= {"volume": np.full(n, VOLUME_MAX), "contract": low * 0, "outage": low * 0}
    rows = whole(as_bars(pd.DataFrame(columns).astype(np.int64)))
    assert rows.valid.sum() == n - 1_200
    assert np.isfinite(rows.features[rows.valid]).all()
