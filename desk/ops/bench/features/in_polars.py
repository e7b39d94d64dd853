"""The 56 bar features and the label written in Polars, as somebody who knows it would: one frame, whole columns.

A peer of the benchmark, and a second opinion: its values are compared with the desk's before any time is.  Everything
is computed on the grid of seconds; what spans two sessions lies in rows that are not valid.  Never used by the desk.
"""

import math

import numpy as np
import polars as pl

from desk.ops.bench.features.tape import Tape
from marketdata.core.barfeatures.records import BAR_DAY
from marketdata.core.barfeatures.schema import FEATURE_NAMES

c, o, h, low, v, s = (pl.col(name) for name in ("close", "open", "high", "low", "volume", "second"))


def compute(tape: Tape) -> pl.DataFrame:
    """(rows of the grid, second + valid + 56 features + label)."""
    frame = _grid(tape).with_columns(
        change=(c - c.shift(1)).over("session"),
        r=c / c.shift(1) - 1,
        flow=v * (c - o).sign(),
        **{f"ema_{n}": c.cast(pl.Float64).ewm_mean(span=n, adjust=False).over("session") for n in _SPANS},
    )
    frame = frame.with_columns(
        anchor=s.first().over("leg"),
        vwap=pl.when(v.cum_sum().over("leg") > 0)
        .then(((h + low + c) * v).cum_sum().over("leg") / (3 * v.cum_sum().over("leg")))
        .otherwise(c),
        obv=pl.when(s == s.first().over("leg")).then(0).otherwise(v * pl.col("change").sign()).cum_sum().over("leg"),
        macd=pl.col("ema_12") - pl.col("ema_26"),
    )
    frame = frame.with_columns(signal=pl.col("macd").ewm_mean(span=9, adjust=False).over("session"))
    frame = frame.join(_minutes(frame), on="minute", how="left", maintain_order="left")
    frame = frame.join(_fives(frame), on="five", how="left", maintain_order="left")
    parts = {**_returns(), **_trend(), **_clock(), **_spread(), **_momentum(), **_bar(), **_volume()}
    move = c.shift(-30).over("session") - c
    label = pl.when(move > 3).then(2).when(move < -3).then(0).when(move.is_not_null()).then(1).otherwise(-1)
    warm = (s // 300 - s.first().over("session") // 300 >= 4) & (s - pl.col("anchor") >= 30)
    frame = frame.with_columns(valid=warm, label=label, **parts)
    return frame.select("second", "valid", *FEATURE_NAMES, "label")


_SPANS = (9, 12, 21, 26, 50, 200)


def _grid(tape: Tape) -> pl.DataFrame:
    """Every second of every session from its first print on, carried where there was none."""
    bars = pl.DataFrame(tape.bars._asdict()).drop("contract", "outage")
    days = pl.DataFrame({name: tape.days[name] for name in BAR_DAY.names or ()})
    firsts = bars.join_asof(days, left_on="second", right_on="open_s").group_by("open_s").agg(first=s.min())
    days = days.join(firsts, on="open_s").sort("open_s").with_columns(session=pl.int_range(pl.len()))
    end = pl.when(pl.col("session") == pl.col("session").max()).then(int(tape.bars.second[-1]) + 1)
    days = days.with_columns(second=pl.int_ranges("first", end.otherwise("close_s")))
    grid = days.drop("first", "open_s", "close_s", "trading_day").explode("second")
    grid = grid.join(bars.rename(_TICKS), on="second", how="left", maintain_order="left")
    return grid.with_columns(close=c.forward_fill(), volume=v.fill_null(0)).with_columns(
        open=o.fill_null(c),
        high=h.fill_null(c),
        low=low.fill_null(c),
        leg=2 * pl.col("session") + (s >= pl.col("rth_open_s")).cast(pl.Int64),
        minute=s // 60,
        five=s // 300,
    )


_TICKS = {f"{name}_tick": name for name in ("open", "high", "low", "close")}


def _minutes(frame: pl.DataFrame) -> pl.DataFrame:
    """What the closed minutes say, at the minute after them."""
    table = frame.group_by("minute", maintain_order=True).agg(c.last())
    grown = c / c.shift(1) - 1
    return table.select(
        "minute",
        htf_trend_1m=grown.shift(1),
        htf_momentum_1m=(c / c.shift(5) - 1).shift(1),
        htf_vol_1m=grown.rolling_std(5).shift(1),
    )


def _fives(frame: pl.DataFrame) -> pl.DataFrame:
    table = frame.group_by("five", maintain_order=True).agg(c.last())
    return table.select(
        "five", htf_trend_5m=(c / c.shift(1) - 1).shift(1), htf_momentum_5m=(c / c.shift(3) - 1).shift(1)
    )


def _returns() -> dict[str, pl.Expr]:
    parts = {f"return_{n}s": c / c.shift(n) - 1 for n in (1, 5, 10, 30, 60)}
    return parts | {f"log_return_{n}s": (c / c.shift(n)).log() for n in (1, 5, 10, 30, 60)}


def _trend() -> dict[str, pl.Expr]:
    parts = {f"close_to_ema_{n}": c / pl.col(f"ema_{n}") - 1 for n in (9, 21, 50, 200)}
    parts["ema_9_21_cross"] = pl.col("ema_9") / pl.col("ema_21") - 1
    parts["ema_21_50_cross"] = pl.col("ema_21") / pl.col("ema_50") - 1
    vwap = pl.col("vwap")
    return parts | {"close_to_vwap": c / vwap - 1, "vwap_slope": vwap / vwap.shift(10) - 1}


def _clock() -> dict[str, pl.Expr]:
    left = (pl.col("rth_close_s") - s).clip(0, 23_400) / 23_400
    angle = (s + pl.col("wall_s")) % 86_400 * (2 * math.pi / 86_400)
    day = pl.col("weekday") * (2 * math.pi / 5)
    since, until = s - pl.col("rth_open_s"), pl.col("rth_close_s") - s
    flags = {
        "is_open_period": (since >= 0) & (since < 1_800),
        "is_close_period": (until <= 3_600) & (until > 0),
        "is_lunch_period": (since >= 7_200) & (since < 12_600),
    }
    return {
        "minutes_to_close_norm": left,
        "eod_urgency": 1 - left,
        "time_sin": angle.sin(),
        "time_cos": angle.cos(),
        "dow_sin": day.sin(),
        "dow_cos": day.cos(),
        **{name: flag.cast(pl.Float64) for name, flag in flags.items()},
    }


def _spread() -> dict[str, pl.Expr]:
    before = c.shift(1)
    true_range = pl.max_horizontal(h - low, (h - before).abs(), (low - before).abs())
    atr = true_range.rolling_sum(14) / 14
    total = c.rolling_sum(20)
    squares = 20 * (c * c).rolling_sum(20) - total * total  # whole numbers: 0 exactly where the window is flat
    deviation, mean = (squares / 380).sqrt(), total / 20
    place = ((c - mean + 2 * deviation) / (4 * deviation)).clip(0, 1)
    return {
        "atr_ticks": atr,
        "atr_pct": atr / c,
        "bb_width": 4 * deviation / mean,
        "bb_position": pl.when(squares > 0).then(place).otherwise(0.5),
        **{f"volatility_{n}s": pl.col("r").rolling_std(n) for n in (10, 30, 60, 300)},
    }


def _momentum() -> dict[str, pl.Expr]:
    change, macd = pl.col("change"), pl.col("macd")
    gains = change.clip(lower_bound=0).rolling_sum(14)
    losses = (-change).clip(lower_bound=0).rolling_sum(14)
    rsi = pl.when(gains + losses > 0).then(100 * gains / (gains + losses)).otherwise(50.0)
    lowest, highest = low.rolling_min(14), h.rolling_max(14)
    k = pl.when(highest > lowest).then(100 * (c - lowest) / (highest - lowest)).otherwise(50.0)
    return {
        "rsi_norm": (rsi - 50) / 50,
        "macd_norm": macd / c,
        "macd_hist_norm": (macd - pl.col("signal")) / c,
        "stoch_k_norm": (k - 50) / 50,
        "stoch_d_norm": (k.rolling_mean(3) - 50) / 50,
    }


def _bar() -> dict[str, pl.Expr]:
    span = h - low

    def share(part: pl.Expr) -> pl.Expr:
        return pl.when(span > 0).then(part / span).otherwise(0.0)

    return {
        "bar_direction": (c - o).sign().cast(pl.Float64),
        "body_ratio": share((c - o).abs()),
        "upper_wick_ratio": share(h - pl.max_horizontal(o, c)),
        "lower_wick_ratio": share(pl.min_horizontal(o, c) - low),
        "gap_ticks": (o - c.shift(1)).cast(pl.Float64),
        "range_ticks": span.cast(pl.Float64),
    }


def _volume() -> dict[str, pl.Expr]:
    parts = {}
    for n in (10, 30, 60):
        total = v.rolling_sum(n)
        parts[f"volume_ratio_{n}s"] = pl.when(total > 0).then(n * v / total).otherwise(0.0)
    total, flow = v.rolling_sum(30), pl.col("flow").rolling_sum(30)
    parts["volume_delta_norm"] = pl.when(total > 0).then(flow / total).otherwise(0.0)
    old = pl.col("obv").shift(30)
    rate = (pl.col("obv") - old) / pl.max_horizontal(old.abs(), pl.lit(1))
    return parts | {"obv_roc": rate.clip(-10, 10)}


def columns(frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(second, valid, features (n, 56), label) of what `compute` made."""
    features = frame.select(FEATURE_NAMES).to_numpy()
    return frame["second"].to_numpy(), frame["valid"].to_numpy(), features, frame["label"].to_numpy()
