"""The 56 bar features and the label written in pandas, as somebody who knows it would: one frame, whole columns.

A peer of the benchmark, and a second opinion: its values are compared with the desk's before any time is.  Everything
is computed on the grid of seconds; what spans two sessions lies in rows that are not valid.  Never used by the desk.
"""

import numpy as np
import pandas as pd

from desk.ops.bench.features.tape import Tape
from marketdata.core.barfeatures.records import BAR_DAY
from marketdata.core.barfeatures.schema import FEATURE_NAMES

SPANS = (9, 12, 21, 26, 50, 200)


def compute(tape: Tape) -> pd.DataFrame:
    """(rows of the grid, second + valid + 56 features + label)."""
    g = _grid(tape)
    session = g.groupby("session", sort=False)
    change = session.close.diff()
    out: dict[str, pd.Series] = {}
    _returns(g, out)
    _trend(g, session, change, out)
    _clock(g, out)
    _spread(g, out)
    _momentum(g, change, out)
    _bar(g, out)
    _volume(g, change, out)
    _closed(g, out)
    move = session.close.shift(-30) - g.close
    label = np.where(move.isna(), -1, np.where(move > 3, 2, np.where(move < -3, 0, 1)))
    anchor = g.groupby("leg", sort=False).second.transform("first")
    warm = (g.second // 300 - session.second.transform("first") // 300 >= 4) & (g.second - anchor >= 30)
    found: pd.DataFrame = pd.DataFrame({"second": g.second, "valid": warm, **{n: out[n] for n in FEATURE_NAMES}})
    return found.assign(label=label)


def _grid(tape: Tape) -> pd.DataFrame:
    """Every second of every session from its first print on, carried where there was none."""
    bars = pd.DataFrame(tape.bars._asdict()).set_index("second").drop(columns=["contract", "outage"])
    bars.columns = bars.columns.str.removesuffix("_tick")
    days = pd.DataFrame({name: tape.days[name] for name in BAR_DAY.names or ()})
    firsts = bars.index[np.searchsorted(bars.index, days.open_s)]
    ends = days.close_s.to_numpy().copy()
    ends[-1] = bars.index[-1] + 1
    seconds = np.concatenate([np.arange(first, end) for first, end in zip(firsts, ends, strict=True)])
    number = np.repeat(np.arange(len(days)), ends - firsts)
    g = bars.reindex(seconds).rename_axis("second").reset_index()
    g["close"] = g.close.ffill().astype(np.int64)
    for name in ("open", "high", "low"):
        g[name] = g[name].fillna(g.close).astype(np.int64)
    g["volume"] = g.volume.fillna(0).astype(np.int64)
    g["session"] = number
    for name in ("rth_open_s", "rth_close_s", "wall_s", "weekday"):
        g[name] = days[name].to_numpy()[number]
    g["leg"] = 2 * number + (g.second >= g.rth_open_s)
    return g


def _returns(g: pd.DataFrame, out: dict[str, pd.Series]) -> None:
    for n in (1, 5, 10, 30, 60):
        ratio = g.close / g.close.shift(n)
        out[f"return_{n}s"], out[f"log_return_{n}s"] = ratio - 1, np.log(ratio)


def _trend(g: pd.DataFrame, session: object, change: pd.Series, out: dict[str, pd.Series]) -> None:
    def average(column: pd.Series, span: int) -> pd.Series:
        return column.groupby(g.session, sort=False).ewm(span=span, adjust=False).mean().droplevel(0)

    ema = {n: average(g.close, n) for n in SPANS}
    for n in (9, 21, 50, 200):
        out[f"close_to_ema_{n}"] = g.close / ema[n] - 1
    out["ema_9_21_cross"], out["ema_21_50_cross"] = ema[9] / ema[21] - 1, ema[21] / ema[50] - 1
    paid = ((g.high + g.low + g.close) * g.volume).groupby(g.leg, sort=False).cumsum()
    volume = g.volume.groupby(g.leg, sort=False).cumsum()
    vwap = (paid / (3 * volume)).where(volume > 0, g.close)
    out["close_to_vwap"], out["vwap_slope"] = g.close / vwap - 1, vwap / vwap.shift(10) - 1
    macd = ema[12] - ema[26]
    out["macd_norm"], out["macd_hist_norm"] = macd / g.close, (macd - average(macd, 9)) / g.close


def _clock(g: pd.DataFrame, out: dict[str, pd.Series]) -> None:
    left = (g.rth_close_s - g.second).clip(0, 23_400) / 23_400
    out["minutes_to_close_norm"], out["eod_urgency"] = left, 1 - left
    angle = (g.second + g.wall_s) % 86_400 * (2 * np.pi / 86_400)
    out["time_sin"], out["time_cos"] = np.sin(angle), np.cos(angle)
    day = g.weekday * (2 * np.pi / 5)
    out["dow_sin"], out["dow_cos"] = np.sin(day), np.cos(day)
    since, until = g.second - g.rth_open_s, g.rth_close_s - g.second
    out["is_open_period"] = ((since >= 0) & (since < 1_800)).astype(float)
    out["is_close_period"] = ((until <= 3_600) & (until > 0)).astype(float)
    out["is_lunch_period"] = ((since >= 7_200) & (since < 12_600)).astype(float)


def _spread(g: pd.DataFrame, out: dict[str, pd.Series]) -> None:
    before = g.close.shift(1)
    true_range = np.maximum(g.high - g.low, np.maximum((g.high - before).abs(), (g.low - before).abs()))
    atr = true_range.rolling(14).sum() / 14
    out["atr_ticks"], out["atr_pct"] = atr, atr / g.close
    total = g.close.rolling(20).sum()
    squares = 20 * (g.close * g.close).rolling(20).sum() - total * total  # whole: 0 exactly where the window is flat
    deviation, mean = np.sqrt(squares / 380), total / 20
    place = ((g.close - mean + 2 * deviation) / (4 * deviation)).clip(0, 1)
    out["bb_width"], out["bb_position"] = 4 * deviation / mean, place.where(squares > 0, 0.5)
    r = g.close / before - 1
    for n in (10, 30, 60, 300):
        out[f"volatility_{n}s"] = r.rolling(n).std()


def _momentum(g: pd.DataFrame, change: pd.Series, out: dict[str, pd.Series]) -> None:
    gains, losses = change.clip(lower=0).rolling(14).sum(), (-change).clip(lower=0).rolling(14).sum()
    moved = gains + losses
    out["rsi_norm"] = ((100 * gains / moved).where(moved > 0, 50.0) - 50) / 50
    lowest, highest = g.low.rolling(14).min(), g.high.rolling(14).max()
    k = (100 * (g.close - lowest) / (highest - lowest)).where(highest > lowest, 50.0)
    out["stoch_k_norm"], out["stoch_d_norm"] = (k - 50) / 50, (k.rolling(3).mean() - 50) / 50


def _bar(g: pd.DataFrame, out: dict[str, pd.Series]) -> None:
    span = g.high - g.low
    parts = {
        "body_ratio": (g.close - g.open).abs(),
        "upper_wick_ratio": g.high - np.maximum(g.open, g.close),
        "lower_wick_ratio": np.minimum(g.open, g.close) - g.low,
    }
    for name, part in parts.items():
        out[name] = (part / span).where(span > 0, 0.0)
    out["bar_direction"] = np.sign(g.close - g.open).astype(float)
    out["gap_ticks"], out["range_ticks"] = g.open - g.close.shift(1), span.astype(float)


def _volume(g: pd.DataFrame, change: pd.Series, out: dict[str, pd.Series]) -> None:
    for n in (10, 30, 60):
        total = g.volume.rolling(n).sum()
        out[f"volume_ratio_{n}s"] = (n * g.volume / total).where(total > 0, 0.0)
    total = g.volume.rolling(30).sum()
    flow = (g.volume * np.sign(g.close - g.open)).rolling(30).sum()
    out["volume_delta_norm"] = (flow / total).where(total > 0, 0.0)
    begins = g.leg.diff() != 0
    obv = (g.volume * np.sign(change)).where(~begins, 0).groupby(g.leg, sort=False).cumsum()
    old = obv.shift(30)
    out["obv_roc"] = ((obv - old) / np.maximum(old.abs(), 1)).clip(-10, 10)


def _closed(g: pd.DataFrame, out: dict[str, pd.Series]) -> None:
    """What the closed minutes and five minutes say, at the bucket after them."""
    minute, five = g.second // 60, g.second // 300
    table = g.close.groupby(minute).last()
    grown = table / table.shift(1) - 1
    out["htf_trend_1m"] = minute.map(grown.shift(1))
    out["htf_momentum_1m"] = minute.map((table / table.shift(5) - 1).shift(1))
    out["htf_vol_1m"] = minute.map(grown.rolling(5).std().shift(1))
    table = g.close.groupby(five).last()
    out["htf_trend_5m"] = five.map((table / table.shift(1) - 1).shift(1))
    out["htf_momentum_5m"] = five.map((table / table.shift(3) - 1).shift(1))


def columns(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(second, valid, features (n, 56), label) of what `compute` made."""
    features = frame[list(FEATURE_NAMES)].to_numpy()
    return frame["second"].to_numpy(), frame["valid"].to_numpy(), features, frame["label"].to_numpy()
