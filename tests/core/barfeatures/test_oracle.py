"""All 56 features, validity, grid, segments and labels against the slow oracle; on made-up and on recorded seconds.

Rules: MES-FEAT-01 … -08, section 4's table, MES-DATA-20, -21, MES-LABEL-01, -02, MES-ACC-10.17.
"""

import io
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from marketdata.calendars import bar_days
from marketdata.core.barfeatures.engine import BarFeatures
from marketdata.core.barfeatures.schema import FEATURE_NAMES
from risk.core import breakers
from tests.core.barfeatures.kit import Rows, in_chunks, one_at_a_time, whole
from tests.core.barfeatures.oracle import Hours, rows_of
from tests.core.barfeatures.tapes import SESSIONS, as_bars, tape

TOLERANCE = 1e-10  # MES-FEAT-02 allows 1e-9; the worst found is below 1e-12


def check_against_oracle(rows: Rows, prints: pd.DataFrame, sessions: list[Hours], told: str) -> int:
    """Everything equal; returns the number of valid rows."""
    want = rows_of(prints, sessions, FEATURE_NAMES)
    assert np.array_equal(rows.second, want.index), told
    for name in ("valid", "carried", "label"):
        assert np.array_equal(getattr(rows, name), want[name]), (told, name)
    assert np.array_equal(np.cumsum(rows.begins) - 1, want.segment), told
    assert np.isnan(rows.features[~rows.valid]).all(), told
    assert np.isfinite(rows.features[rows.valid]).all(), told
    expected = want[list(FEATURE_NAMES)].to_numpy()
    away = np.abs(rows.features - expected)[rows.valid]
    if len(away):
        worst = away.max(axis=0)
        assert (worst <= TOLERANCE).all(), (told, FEATURE_NAMES[int(np.nanargmax(worst))], worst.max())
    return int(rows.valid.sum())


@pytest.mark.parametrize("block", range(8))
def test_random_tapes_equal_the_oracle(block):
    """Gaps, flat and empty stretches, rolls, outages, DST weeks, early closes, a date without RTH."""
    valid = 0
    for seed in range(12 * block, 12 * block + 12):
        prints = tape(seed)
        valid += check_against_oracle(whole(as_bars(prints)), prints, SESSIONS, f"seed {seed}")
    assert valid > 3_000


def test_the_tapes_hold_what_they_promise():
    """Every degenerate case of the table occurs on a valid row of the tapes above."""
    found: set[str] = set()
    for seed in range(96):
        rows = whole(as_bars(tape(seed)))
        good = rows.features[rows.valid]
        if not len(good):
            continue
        column = {name: good[:, i] for i, name in enumerate(FEATURE_NAMES)}
        cases = {
            "flat bar": column["range_ticks"] == 0,
            "sd_20 = 0": column["bb_width"] == 0,
            "RSI of no move": (column["rsi_norm"] == 0) & (column["bb_width"] == 0),
            "RSI 100": column["rsi_norm"] == 1,
            "RSI 0": column["rsi_norm"] == -1,
            "K without range": (column["stoch_k_norm"] == 0) & (column["atr_ticks"] == 0),
            "volatility 0": column["volatility_60s"] == 0,
            "no volume in 60 s": (column["volume_ratio_60s"] == 0) & (column["volume_delta_norm"] == 0),
            "OBV above": column["obv_roc"] == 10,
            "OBV below": column["obv_roc"] == -10,
            "after the close": column["minutes_to_close_norm"] == 0,
            "before the open": column["minutes_to_close_norm"] == 1,
            "open period": column["is_open_period"] == 1,
            "close period": column["is_close_period"] == 1,
            "lunch period": column["is_lunch_period"] == 1,
            "carried": rows.carried[rows.valid],
        }
        found |= {name for name, where in cases.items() if where.any()}
    assert found == set(cases)


def test_the_average_true_range_is_that_of_stops_and_breakers():
    """MES-FEAT: one ATR.  Risk's grid, fed with the same prints, has the same sum at every valid printed second."""
    compared = 0
    for seed in range(1_003, 1_009):
        bars = as_bars(tape(seed))
        rows = whole(bars)
        if rows.begins.sum() > 1:
            continue  # risk's caller resets its grid at a session's or contract's border
        grid = np.zeros(1, breakers.GRID)
        breakers.new_segment(grid[0])
        ours = dict(zip(rows.second.tolist(), rows.column("atr_ticks").tolist(), strict=True))
        for second, _, high, low, close, volume, _, _ in zip(*(column.tolist() for column in bars), strict=True):
            start_ns = second * 10**9
            breakers.take_bar(grid[0], start_ns, start_ns + 10**9, high, low, close, volume, False)
            if not np.isnan(ours[second]):
                assert breakers.atr_sum(grid[0]) / 14 == ours[second], (seed, second)
                compared += 1
    assert compared > 500


def seconds_from(stamps: np.ndarray, ticks: np.ndarray, sizes: np.ndarray) -> pd.DataFrame:
    """Trades → printed one-second bars by plain grouping."""
    trades = pd.DataFrame({"second": stamps, "tick": ticks, "size": sizes})
    grouped = trades.groupby("second")
    columns = {
        "open": grouped.tick.first(),
        "high": grouped.tick.max(),
        "low": grouped.tick.min(),
        "close": grouped.tick.last(),
        "volume": grouped["size"].sum(),
    }
    return pd.DataFrame(columns).reset_index().assign(contract=0, outage=0).astype(np.int64)


def es_seconds(folder: Path) -> pd.DataFrame:
    """ESH4 on 2023-12-25, the first half hour of a session."""
    file = pd.read_csv(folder / "cme_es_mbo" / "esh4_20231225_to2330.ohlcv1s.csv")
    second = pd.to_datetime(file.ts).map(lambda t: int(t.timestamp()))
    ticks = {name: (file[name] * 4).round() for name in ("open", "high", "low", "close")}
    frame = pd.DataFrame({"second": second, **ticks, "volume": file.volume, "contract": 0, "outage": 0})
    return frame.astype(np.int64)


def gold_seconds(folder: Path) -> pd.DataFrame:
    """Gold trades of a day of October 2013: thin hours, long silences, the halt in between."""
    with zipfile.ZipFile(folder / "cme_lean" / "comex_tick_gc_20131007_trade.zip") as archive:
        text = archive.read("20131007_gc_tick_trade_201312.csv").decode()
    trades = pd.read_csv(io.StringIO(text), header=None, usecols=[0, 1, 2], names=["ms", "price", "size"])
    midnight = int(datetime(2013, 10, 7, tzinfo=UTC).timestamp())
    return seconds_from(midnight + trades.ms // 1000, (trades.price * 10).round(), trades["size"])


@pytest.mark.parametrize(
    ("load", "first", "last", "least"),
    [
        (es_seconds, date(2023, 12, 26), date(2023, 12, 26), 550),
        (gold_seconds, date(2013, 10, 4), date(2013, 10, 9), 30_000),
    ],
)
def test_recorded_seconds_equal_the_oracle(sample_data, load, first, last, least):
    """Real seconds: equal to the oracle, and batch = streaming = chunks bit for bit (MES-FEAT-02, MES-MEM-08)."""
    prints = load(sample_data)
    known = bar_days(first, last)
    sessions = [
        Hours(datetime.strptime(str(day["trading_day"]), "%Y%m%d").date(), int(day["open_s"]), int(day["close_s"]))  # noqa: DTZ007
        for day in known
    ]
    inside = np.zeros(len(prints), bool)
    for hours in sessions:
        inside |= prints.second.between(hours.open_s, hours.close_s - 1)
    prints = prints[inside].reset_index(drop=True)
    bars = as_bars(prints)
    rows = in_chunks(bars, len(prints), using=BarFeatures(known, FEATURE_NAMES))
    assert check_against_oracle(rows, prints, sessions, load.__name__) > least
    single = one_at_a_time(bars, using=BarFeatures(known, FEATURE_NAMES))
    assert single.features.tobytes() == rows.features.tobytes()
    for size in (1, 977):
        pieces = in_chunks(bars, size, using=BarFeatures(known, FEATURE_NAMES, 100))
        assert pieces.features.tobytes() == rows.features.tobytes()
        assert np.array_equal(pieces.label, rows.label)
