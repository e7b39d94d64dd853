"""25 honest pipelines, the siblings of the planted ones: CLEAN.  A finding in one of them is a false alarm."""

import numpy as np
import pandas as pd

from marketdata.core.barfeatures.records import Bars
from tests.learning.leakage.tape import (
    BUCKET_S,
    HORIZON_S,
    SESSION_S,
    Columns,
    closes,
    labels,
    pipeline_of,
    plain_columns,
    preparation,
)


def returns(bars: Bars) -> Columns:
    return {"return": np.diff(closes(bars), prepend=np.nan)}


def close_before(bars: Bars) -> Columns:
    return {"before": np.concatenate([[np.nan], closes(bars)[:-1]])}


def trailing_mean(bars: Bars) -> Columns:
    return {"smooth": pd.Series(closes(bars)).rolling(5).mean().to_numpy()}


def z_score_so_far(bars: Bars) -> Columns:
    series = pd.Series(closes(bars))
    return {"z": ((series - series.expanding().mean()) / series.expanding(2).std()).to_numpy()}


def share_of_range_so_far(bars: Bars) -> Columns:
    low, high = np.minimum.accumulate(closes(bars)), np.maximum.accumulate(closes(bars))
    return {"place": (closes(bars) - low) / np.maximum(high - low, 1.0)}


def rank_in_the_last_20(bars: Bars) -> Columns:
    return {"rank": pd.Series(closes(bars)).rolling(20, min_periods=1).rank(pct=True).to_numpy()}


def warm_up_left_open(bars: Bars) -> Columns:
    return {"mean_10": pd.Series(closes(bars)).rolling(10).mean().ffill().to_numpy()}


def last_point_kept(bars: Bars) -> Columns:
    point = bars.second % BUCKET_S == 0
    return {"point": pd.Series(np.where(point, closes(bars), np.nan)).ffill().to_numpy()}


def bucket_before(bars: Bars) -> Columns:
    """The last close of an earlier bucket: closed when this one began."""
    bucket = bars.second // BUCKET_S
    place = np.searchsorted(bucket, bucket, side="left") - 1
    return {"close_20s": np.where(place >= 0, closes(bars)[place], np.nan)}


def resampled_and_shifted(bars: Bars) -> Columns:
    series = pd.Series(bars.high_tick.astype(float), pd.to_datetime(bars.second, unit="s"))
    lagged = series.resample("20s", label="left").max().shift(1)
    return {"high_20s": lagged.reindex(series.index, method="ffill").to_numpy()}


def high_so_far(bars: Bars) -> Columns:
    session = pd.Series(bars.second // SESSION_S)
    return {"to_high": pd.Series(closes(bars)).groupby(session).cummax().to_numpy() - closes(bars)}


def vwap_so_far(bars: Bars) -> Columns:
    session = bars.second // SESSION_S
    money = pd.Series(closes(bars) * bars.volume).groupby(session).cumsum()
    traded = pd.Series(bars.volume).groupby(session).cumsum()
    return {"to_vwap": closes(bars) - (money / traded.clip(lower=1)).to_numpy()}


def stamped_late(bars: Bars) -> Columns:
    return {"close": closes(bars)}


def label_that_is_known(bars: Bars) -> Columns:
    """What became of the row 10 s ago."""
    ago = np.searchsorted(bars.second, bars.second - HORIZON_S, side="right") - 1
    return {"came": np.where(ago >= 0, np.sign(closes(bars) - closes(bars)[ago]), np.nan)}


def encoded_by_known_labels(bars: Bars) -> Columns:
    """The mean label of rows with this volume, of those labels that are known by now."""
    target, code = labels(bars, HORIZON_S), bars.volume % 4
    known = np.searchsorted(bars.second, bars.second - HORIZON_S, side="right")
    means = []
    for row, until in enumerate(known):
        before = target[:until][code[:until] == code[row]]
        means.append(before.mean() if len(before) else np.nan)
    return {"code": np.array(means)}


def slope_of_the_last_12(bars: Bars) -> Columns:
    weight = np.arange(12) - 5.5
    slope = np.convolve(closes(bars), weight[::-1], mode="valid") if len(bars.second) >= 12 else np.empty(0)
    return {"slope": np.concatenate([np.full(len(bars.second) - len(slope), np.nan), slope])}


def since_the_last_print(bars: Bars) -> Columns:
    return {"silence": np.diff(bars.second, prepend=bars.second[0]).astype(float)}


def since_the_roll(bars: Bars) -> Columns:
    began = np.maximum.accumulate(np.where(np.diff(bars.contract, prepend=-1) != 0, np.arange(len(bars.second)), 0))
    return {"since_roll": (np.arange(len(bars.second)) - began).astype(float)}


def clock_and_noise(bars: Bars) -> Columns:
    """Noise from the time alone is no knowledge of anything; a column that never moves is told, not blamed."""
    noise = np.sin(bars.second * 12.9898) * 43_758.5453 % 1
    return {"time": np.sin(bars.second / 86_400), "noise": noise, "always": np.ones(len(bars.second))}


CLEAN = [
    *map(
        pipeline_of,
        (
            returns, close_before, trailing_mean, z_score_so_far, share_of_range_so_far, rank_in_the_last_20,
            warm_up_left_open, last_point_kept, bucket_before, resampled_and_shifted, high_so_far, vwap_so_far,
            label_that_is_known, encoded_by_known_labels, slope_of_the_last_12, plain_columns,
        ),
    ),
    *(pipeline_of(make, times_only=True) for make in (since_the_last_print, since_the_roll, clock_and_noise)),
    pipeline_of(stamped_late, early_s=-2),
    preparation(),
    preparation(robust=True),
    preparation(rotated=True),
    preparation(select_on="train"),
    preparation(encode_on="train", horizon_s=15, claimed_s=15),
]  # fmt: skip
