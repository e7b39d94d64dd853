"""The 56 features once more: slow, in pandas, straight from the table of MES-FEAT, sharing no code with the product.

`rows_of` takes printed bars and sessions and returns one row per grid second.  Every window is taken anew for every
second; local times come from the zone database for every second.
"""

import math
from datetime import date
from typing import NamedTuple

import numpy as np
import pandas as pd

NEW_YORK = "America/New_York"


class Hours(NamedTuple):
    """One session: trading day, open and close in seconds UTC."""

    day: date
    open_s: int
    close_s: int


def segments_of(prints: pd.DataFrame, sessions: list[Hours]) -> list[pd.DataFrame]:
    """Printed bars → one frame per segment with every grid second (MES-DATA-20, -21); `prints` as `tapes.tape`."""
    starts: list[int] = []
    hours: list[Hours] = []
    before = None
    for i, bar in enumerate(prints.itertuples()):
        session = next(one for one in sessions if one.open_s <= bar.second < one.close_s)
        if (
            before is None
            or session != hours[-1]
            or bar.contract != before.contract
            or bar.second - before.second > 300
            or bar.outage
        ):
            starts.append(i)
            hours.append(session)
        before = bar
    found = []
    for k, (start, session) in enumerate(zip(starts, hours, strict=True)):
        stop = starts[k + 1] if k + 1 < len(starts) else len(prints)
        part = prints.iloc[start:stop].set_index("second")
        last = int(part.index[-1])
        if stop < len(prints):  # the clock went on to the next print
            last = min(last + 300, session.close_s - 1, int(prints.second.iloc[stop]) - 1)
        grid = part.reindex(range(int(part.index[0]), last + 1))
        grid["carried"] = grid.close.isna()
        grid["close"] = grid.close.ffill()
        for name in ("open", "high", "low"):
            grid[name] = grid[name].fillna(grid.close)
        grid["volume"] = grid.volume.fillna(0)
        grid["segment"] = k
        grid["session"] = [session] * len(grid)
        found.append(grid.drop(columns=["contract", "outage"]))
    return found


def window(x: pd.Series, n: int) -> np.ndarray:
    """(rows, n): the last n values of each row; NaN before there are n."""
    matrix = np.full((len(x), n), np.nan)
    if len(x) >= n:
        matrix[n - 1 :] = np.lib.stride_tricks.sliding_window_view(x.to_numpy(float), n)
    return matrix


def total(x: pd.Series, n: int) -> np.ndarray:
    return window(x, n).sum(axis=1)


def deviation(x: pd.Series, n: int) -> np.ndarray:
    return window(x, n).std(axis=1, ddof=1)


def ema(x: pd.Series, n: int) -> pd.Series:
    values, factor = [float(x.iloc[0])], 2 / (n + 1)
    for value in x.iloc[1:]:
        values.append(values[-1] + factor * (value - values[-1]))
    return pd.Series(values, x.index)


def divided(a: np.ndarray, b: np.ndarray, otherwise: float) -> np.ndarray:
    """a / b, and what the table says where b is 0."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    return np.where(b == 0, otherwise, a / np.where(b == 0, 1, b))


def prices(g: pd.DataFrame, f: pd.DataFrame) -> None:
    c, before = g.close, g.close.shift(1)
    for n in (1, 5, 10, 30, 60):
        f[f"return_{n}s"] = c / c.shift(n) - 1
        f[f"log_return_{n}s"] = np.log(c / c.shift(n))
    e = {n: ema(c, n) for n in (9, 12, 21, 26, 50, 200)}
    for n in (9, 21, 50, 200):
        f[f"close_to_ema_{n}"] = (c - e[n]) / e[n]
    f["ema_9_21_cross"] = (e[9] - e[21]) / e[21]
    f["ema_21_50_cross"] = (e[21] - e[50]) / e[50]
    r = c / before - 1
    for n in (10, 30, 60, 300):
        f[f"volatility_{n}s"] = deviation(r, n)
    m = e[12] - e[26]
    f["macd_norm"] = m / c
    f["macd_hist_norm"] = (m - ema(m, 9)) / c
    mean, sd = window(c, 20).mean(axis=1), deviation(c, 20)
    f["bb_width"] = 4 * sd / mean
    f["bb_position"] = np.clip(divided(c - (mean - 2 * sd), 4 * sd, 0.5), 0, 1)
    moves = c.diff()
    gains, losses = total(moves.clip(lower=0), 14), total((-moves).clip(lower=0), 14)
    rsi = np.where(losses > 0, 100 * divided(gains, gains + losses, 0.5), np.where(gains > 0, 100, 50))
    f["rsi_norm"] = (rsi - 50) / 50


def bars(g: pd.DataFrame, f: pd.DataFrame) -> None:
    o, h, low, c, v, before = g.open, g.high, g.low, g.close, g.volume, g.close.shift(1)
    true_range = pd.concat([h - low, (h - before).abs(), (low - before).abs()], axis=1).max(axis=1)
    f["atr_ticks"] = total(true_range, 14) / 14
    f["atr_pct"] = f.atr_ticks / c
    highest, lowest = window(h, 14).max(axis=1), window(low, 14).min(axis=1)
    k = pd.Series(100 * divided(c - lowest, highest - lowest, 0.5), g.index)
    f["stoch_k_norm"] = (k - 50) / 50
    f["stoch_d_norm"] = ((k + k.shift(1) + k.shift(2)) / 3 - 50) / 50
    f["bar_direction"] = np.sign(c - o)
    f["body_ratio"] = divided((c - o).abs(), h - low, 0)
    f["upper_wick_ratio"] = divided(h - np.maximum(o, c), h - low, 0)
    f["lower_wick_ratio"] = divided(np.minimum(o, c) - low, h - low, 0)
    f["gap_ticks"] = o - before
    f["range_ticks"] = h - low
    for n in (10, 30, 60):
        f[f"volume_ratio_{n}s"] = divided(v, total(v, n) / n, 0)
    f["volume_delta_norm"] = divided(total(v * np.sign(c - o), 30), total(v, 30), 0)


def anchored(g: pd.DataFrame, f: pd.DataFrame, anchor: pd.Series) -> None:
    c, v = g.close, g.volume
    volume = v.groupby(anchor).cumsum()
    vwap = pd.Series(
        np.where(volume == 0, c, ((g.high + g.low + c) * v).groupby(anchor).cumsum() / (3 * volume)), g.index
    )
    f["close_to_vwap"] = (c - vwap) / vwap
    f["vwap_slope"] = vwap / vwap.groupby(anchor).shift(10) - 1
    signed = (v * np.sign(c.diff())).where(g.index != anchor, 0)
    balance = signed.groupby(anchor).cumsum()
    old = balance.groupby(anchor).shift(30)
    f["obv_roc"] = np.clip((balance - old) / np.maximum(old.abs(), 1), -10, 10)


def clock(g: pd.DataFrame, f: pd.DataFrame, rth_close: int) -> None:
    s = g.index.to_numpy()
    local = pd.to_datetime(s, unit="s", utc=True).tz_convert(NEW_YORK)
    wall = local.hour * 3600 + local.minute * 60 + local.second
    hhmm = local.hour * 100 + local.minute
    f["minutes_to_close_norm"] = np.clip(rth_close - s, 0, 23_400) / 23_400
    f["eod_urgency"] = 1 - f.minutes_to_close_norm
    f["time_sin"], f["time_cos"] = np.sin(2 * np.pi * wall / 86_400), np.cos(2 * np.pi * wall / 86_400)
    weekday = g.session.iloc[0].day.weekday()
    f["dow_sin"], f["dow_cos"] = math.sin(2 * math.pi * weekday / 5), math.cos(2 * math.pi * weekday / 5)
    f["is_open_period"] = ((hhmm >= 930) & (hhmm < 1000)).astype(float)
    f["is_close_period"] = ((rth_close - 3600 <= s) & (s < rth_close)).astype(float)
    f["is_lunch_period"] = ((hhmm >= 1130) & (hhmm < 1300)).astype(float)


def higher(g: pd.DataFrame, f: pd.DataFrame) -> None:
    for minutes in (1, 5):
        bucket = pd.Series(g.index // (60 * minutes), g.index)
        closes = g.close.groupby(bucket).last()
        seen = closes.shift(1)  # bucket N sees N - 1
        table = pd.DataFrame({"trend": seen / closes.shift(2) - 1}, closes.index)
        table["momentum"] = seen / closes.shift(6 if minutes == 1 else 4) - 1
        table["vol"] = deviation(closes.pct_change().shift(1), 5)
        for name in ("trend", "momentum", "vol") if minutes == 1 else ("trend", "momentum"):
            f[f"htf_{name}_{minutes}m"] = bucket.map(table[name])


def local_second(day: date, hour: int, minute: int) -> int:
    return int(pd.Timestamp(day.year, day.month, day.day, hour, minute, tz=NEW_YORK).timestamp())


def rows_of(prints: pd.DataFrame, sessions: list[Hours], names: tuple[str, ...]) -> pd.DataFrame:
    """One row per grid second, index `second`: `names` (NaN where not valid), valid, carried, segment, label."""
    parts = []
    for g in segments_of(prints, sessions):
        session = g.session.iloc[0]
        half_past_nine = local_second(session.day, 9, 30)
        rth_close = min(local_second(session.day, 16, 0), session.close_s)
        s = pd.Series(g.index, g.index)
        first = int(g.index[0])
        anchor = pd.Series(np.where(s >= half_past_nine, max(first, half_past_nine), first), g.index)
        f = pd.DataFrame(index=g.index)
        prices(g, f)
        bars(g, f)
        anchored(g, f, anchor)
        clock(g, f, rth_close)
        higher(g, f)
        valid = (s // 300 - first // 300 >= 4) & (s - anchor >= 30)
        f = f[list(names)].astype(float).where(valid, np.nan)
        f["valid"], f["carried"], f["segment"] = valid, g.carried, g.segment
        move = g.close.shift(-30) - g.close
        f["label"] = np.where(move.isna(), -1, np.where(move > 3, 2, np.where(move < -3, 0, 1)))
        parts.append(f)
    return pd.concat(parts)
