"""25 pipelines with one leak each, as they are met: PLANTED is (pipeline, check that finds it, column it names)."""

import numpy as np
import pandas as pd

from marketdata.core.barfeatures.records import Bars
from tests.learning.leakage.tape import (
    BUCKET_S,
    HORIZON_S,
    SESSION_S,
    SINGLE,
    Columns,
    closes,
    labels,
    last_of,
    later_close,
    pipeline_of,
    preparation,
)


def next_close(bars: Bars) -> Columns:
    return {"return": np.diff(closes(bars), prepend=np.nan), "next": np.append(closes(bars)[1:], np.nan)}


def one_bar_alone(bars: Bars) -> Columns:
    """A single row, once: an off-by-one behind a repaired bar."""
    close = closes(bars)
    if len(close) > SINGLE + 1:
        close[SINGLE] = close[SINGLE + 1]
    return {"repaired": close}


def centred_mean(bars: Bars) -> Columns:
    return {"smooth": pd.Series(closes(bars)).rolling(5, center=True).mean().to_numpy()}


def z_score_of_all(bars: Bars) -> Columns:
    return {"z": (closes(bars) - closes(bars).mean()) / closes(bars).std()}


def share_of_range_of_all(bars: Bars) -> Columns:
    low, high = closes(bars).min(), closes(bars).max()
    return {"place": (closes(bars) - low) / max(high - low, 1.0)}


def rank_in_all(bars: Bars) -> Columns:
    return {"rank": pd.Series(closes(bars)).rank(pct=True).to_numpy()}


def warm_up_filled_backwards(bars: Bars) -> Columns:
    return {"mean_10": pd.Series(closes(bars)).rolling(10).mean().bfill().to_numpy()}


def line_between_points(bars: Bars) -> Columns:
    """Closes of every 20 s, joined by straight lines."""
    point = bars.second % BUCKET_S == 0
    known = point if point.any() else np.ones(len(point), bool)
    return {"line": np.interp(bars.second, bars.second[known], closes(bars)[known])}


def bucket_not_lagged(bars: Bars) -> Columns:
    """The higher bar that a second lies in, as it will be."""
    return {"close_20s": last_of(bars.second // BUCKET_S, closes(bars))}


def resampled_by_left_label(bars: Bars) -> Columns:
    series = pd.Series(bars.high_tick.astype(float), pd.to_datetime(bars.second, unit="s"))
    return {"high_20s": series.resample("20s", label="left").max().reindex(series.index, method="ffill").to_numpy()}


def high_of_the_session(bars: Bars) -> Columns:
    session = pd.Series(bars.second // SESSION_S)
    return {"to_high": pd.Series(closes(bars)).groupby(session).transform("max").to_numpy() - closes(bars)}


def vwap_of_the_session(bars: Bars) -> Columns:
    session = bars.second // SESSION_S
    money = pd.Series(closes(bars) * bars.volume).groupby(session).transform("sum")
    traded = pd.Series(bars.volume).groupby(session).transform("sum")
    return {"to_vwap": closes(bars) - (money / traded.clip(lower=1)).to_numpy()}


def stamped_at_the_start(bars: Bars) -> Columns:
    return {"close": closes(bars)}


def label_among_the_features(bars: Bars) -> Columns:
    return {"return": np.diff(closes(bars), prepend=np.nan), "target": labels(bars, HORIZON_S)}


def encoded_by_own_label(bars: Bars) -> Columns:
    """The mean label of rows with this volume so far, the row's own label with it."""
    target = pd.Series(np.nan_to_num(labels(bars, HORIZON_S)))
    return {"code": target.groupby(bars.volume % 4).expanding().mean().droplevel(0).sort_index().to_numpy()}


def trend_of_all_taken_out(bars: Bars) -> Columns:
    time = (bars.second - bars.second[0]).astype(float)
    slope = np.polyfit(time, closes(bars), 1) if len(time) > 1 else np.zeros(2)
    return {"detrended": closes(bars) - np.polyval(slope, time)}


def until_the_next_print(bars: Bars) -> Columns:
    return {"silence": np.append(np.diff(bars.second), -1).astype(float)}


def until_the_roll(bars: Bars) -> Columns:
    rolls = np.append(np.flatnonzero(np.diff(bars.contract)) + 1, len(bars.second))
    return {"to_roll": (rolls[np.searchsorted(rolls, np.arange(len(bars.second)), side="right")] * 1.0)}


def best_close_ahead(bars: Bars) -> Columns:
    return {"best": np.maximum.accumulate(closes(bars)[::-1])[::-1] - np.nan_to_num(later_close(bars, 0))}


PLANTED = [
    (pipeline_of(next_close), "future", "next"),
    (pipeline_of(one_bar_alone), "future", "repaired"),
    (pipeline_of(centred_mean), "future", "smooth"),
    (pipeline_of(z_score_of_all), "future", "z"),
    (pipeline_of(share_of_range_of_all), "future", "place"),
    (pipeline_of(rank_in_all), "future", "rank"),
    (pipeline_of(warm_up_filled_backwards), "future", "mean_10"),
    (pipeline_of(line_between_points), "future", "line"),
    (pipeline_of(bucket_not_lagged), "future", "close_20s"),
    (pipeline_of(resampled_by_left_label), "future", "high_20s"),
    (pipeline_of(high_of_the_session), "future", "to_high"),
    (pipeline_of(vwap_of_the_session), "future", "to_vwap"),
    (pipeline_of(stamped_at_the_start, early_s=1), "future", "close"),
    (pipeline_of(label_among_the_features), "future", "target"),
    (pipeline_of(encoded_by_own_label), "future", "code"),
    (pipeline_of(trend_of_all_taken_out), "future", "detrended"),
    (pipeline_of(until_the_next_print), "future", "silence"),
    (pipeline_of(until_the_roll), "future", "to_roll"),
    (pipeline_of(best_close_ahead), "future", "best"),
    (preparation(scale_on="all"), "fit", "return_1"),
    (preparation(select_on="all"), "fit", ""),
    (preparation(encode_on="all"), "fit", "volume code"),
    (preparation(shuffled=True), "split", ""),
    (preparation(purged=False), "purge", ""),
    (preparation(horizon_s=30), "label", ""),
]
OTHERS = [(preparation(test_by_itself=True), "prepare", "return_1")]
NEXT_CLOSE = PLANTED[0][0]
