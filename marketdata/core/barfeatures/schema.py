"""The 56 features of one-second bars as data: names in order, formulas, units, windows, and the hash of it all.

`vector` writes the features in this order.  Whatever was made from them (feature file, scaler, network) stores version
and hash; `check_names` and `check_hash` refuse another schema and say where it begins to differ (MES-FEAT-09, -10).
Any change of a name, formula, order or constant is a new version.  Computes no feature.
"""

import hashlib
import json
from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

SCHEMA_ID = "mes_bars"
VERSION = 1
BAR_SECONDS = 1
CARRY_S = 300  # how long a second without a print is carried (MES-DATA-20)
WARM_BUCKETS = 4  # five-minute buckets that must have begun since the segment's first (MES-FEAT-05)
ANCHOR_S = 30  # seconds since the anchor of VWAP and OBV that must have passed
RTH_S = 23_400  # a regular day's hours (MES-CAL-02)
LABEL_S = 30  # how far a label looks ahead (MES-LABEL-01)
LABEL_TICKS = 3  # a move must be larger


class Feature(NamedTuple):
    """One feature: how it is called and made.  `window` counts seconds, this one included, unless it says otherwise."""

    name: str
    formula: str
    unit: str
    window: str
    degenerate: str = ""


class SchemaDiffers(ValueError):
    """Features other than these: the message names the first difference (MES-ACC-10.21)."""


# Notation: o h l c ticks, v contracts; x[k]: k seconds earlier; sum_n, mean_n, min_n, max_n, sd_n over the last n
# seconds including this one, sd with ddof 1; E_N: exponential average of c, factor 2/(N+1), first row c;
# r = c/c[1] - 1; C1, C5: closes of the UTC minutes and five minutes of the segment, M, N the present ones.
_RETURNS = tuple(
    feature
    for n in (1, 5, 10, 30, 60)
    for feature in (
        Feature(f"return_{n}s", f"c/c[{n}] - 1", "ratio", f"{n + 1}"),
        Feature(f"log_return_{n}s", f"ln(c/c[{n}])", "log ratio", f"{n + 1}"),
    )
)
_CLOCK = "New York wall time of the second's start"
FEATURES = (
    *_RETURNS,
    *(Feature(f"close_to_ema_{n}", f"(c - E_{n})/E_{n}", "ratio", "segment") for n in (9, 21, 50, 200)),
    Feature("ema_9_21_cross", "(E_9 - E_21)/E_21", "ratio", "segment"),
    Feature("ema_21_50_cross", "(E_21 - E_50)/E_50", "ratio", "segment"),
    Feature("close_to_vwap", "(c - V)/V, V = sum (h+l+c) v / (3 sum v)", "ratio", "anchor", "sum v = 0: V = c"),
    Feature("vwap_slope", "V/V[10] - 1", "ratio", "anchor"),
    Feature(
        "minutes_to_close_norm",
        "clip(rth_close - s, 0, 23 400 s) / 23 400 s",
        "ratio",
        "1",
        "regular day before 09:30: 1; after the close: 0; early close: that day's rth_close",
    ),
    Feature("eod_urgency", "1 - minutes_to_close_norm", "ratio", "1"),
    Feature("time_sin", f"sin(2 pi x seconds of the day / 86 400), {_CLOCK}", "ratio", "1"),
    Feature("time_cos", f"cos(2 pi x seconds of the day / 86 400), {_CLOCK}", "ratio", "1"),
    Feature("dow_sin", "sin(2 pi x weekday/5), weekday of the trading day, Monday 0", "ratio", "1"),
    Feature("dow_cos", "cos(2 pi x weekday/5), weekday of the trading day, Monday 0", "ratio", "1"),
    Feature("is_open_period", "1 if 09:30 <= New York time < 10:00 else 0", "flag", "1"),
    Feature("is_close_period", "1 if rth_close - 3 600 s <= s < rth_close else 0", "flag", "1"),
    Feature("is_lunch_period", "1 if 11:30 <= New York time < 13:00 else 0", "flag", "1"),
    Feature("atr_ticks", "ATR = sum_14 TR / 14, TR = max(h-l, abs(h-c[1]), abs(l-c[1]))", "ticks", "14"),
    Feature("atr_pct", "ATR/c", "ratio", "14"),
    Feature("bb_width", "4 sd_20(c) / mean_20(c)", "ratio", "20"),
    Feature("bb_position", "clip((c - (mean_20 - 2 sd_20)) / (4 sd_20), 0, 1)", "ratio", "20", "sd_20 = 0: 0.5"),
    *(Feature(f"volatility_{n}s", f"sd_{n}(r)", "ratio", f"{n + 1}") for n in (10, 30, 60, 300)),
    Feature(
        "rsi_norm",
        "(RSI - 50)/50, RSI = 100 G/(G+L), G, L = sum_14 of gains, losses of c - c[1]",
        "ratio",
        "15",
        "L = 0 < G: RSI 100; G = L = 0: RSI 50",
    ),
    Feature("macd_norm", "m/c, m = E_12 - E_26", "ratio", "segment"),
    Feature("macd_hist_norm", "(m - g)/c, g = exponential average of m, N = 9, first row m", "ratio", "segment"),
    Feature(
        "stoch_k_norm", "(K - 50)/50, K = 100 (c - min_14 l)/(max_14 h - min_14 l)", "ratio", "14", "range 0: K = 50"
    ),
    Feature("stoch_d_norm", "(mean_3 K - 50)/50", "ratio", "16"),
    Feature("bar_direction", "sign(c - o)", "sign", "1"),
    Feature("body_ratio", "abs(c-o)/(h-l)", "ratio", "1", "h = l: 0"),
    Feature("upper_wick_ratio", "(h - max(o,c))/(h-l)", "ratio", "1", "h = l: 0"),
    Feature("lower_wick_ratio", "(min(o,c) - l)/(h-l)", "ratio", "1", "h = l: 0"),
    Feature("gap_ticks", "o - c[1]", "ticks", "2", "carried bar: 0"),
    Feature("range_ticks", "h - l", "ticks", "1", "carried bar: 0"),
    *(Feature(f"volume_ratio_{n}s", f"v / (sum_{n} v / {n})", "ratio", f"{n}", "sum v = 0: 0") for n in (10, 30, 60)),
    Feature("volume_delta_norm", "sum_30 v sign(c-o) / sum_30 v", "ratio", "30", "sum_30 v = 0: 0"),
    Feature(
        "obv_roc",
        "clip((B - B[30]) / max(abs(B[30]), 1), -10, 10), B = sum v sign(c - c[1]), 0 on the anchor row",
        "ratio",
        "anchor",
    ),
    Feature("htf_trend_1m", "C1(M-1)/C1(M-2) - 1", "ratio", "2 closed minutes"),
    Feature("htf_momentum_1m", "C1(M-1)/C1(M-6) - 1", "ratio", "6 closed minutes"),
    Feature("htf_vol_1m", "sd of the 5 one-minute returns that end at C1(M-1)", "ratio", "6 closed minutes"),
    Feature("htf_trend_5m", "C5(N-1)/C5(N-2) - 1", "ratio", "2 closed 5-minute buckets"),
    Feature("htf_momentum_5m", "C5(N-1)/C5(N-4) - 1", "ratio", "4 closed 5-minute buckets"),
)
FEATURE_NAMES = tuple(feature.name for feature in FEATURES)
FEATURE_COUNT = len(FEATURES)

# places in the vector, for the code that fills it
RETURNS = 0  # five pairs: simple, log
(
    CLOSE_TO_EMA_9, CLOSE_TO_EMA_21, CLOSE_TO_EMA_50, CLOSE_TO_EMA_200, EMA_9_21_CROSS, EMA_21_50_CROSS, CLOSE_TO_VWAP,
    VWAP_SLOPE, MINUTES_TO_CLOSE_NORM, EOD_URGENCY, TIME_SIN, TIME_COS, DOW_SIN, DOW_COS, IS_OPEN_PERIOD,
    IS_CLOSE_PERIOD, IS_LUNCH_PERIOD, ATR_TICKS, ATR_PCT, BB_WIDTH, BB_POSITION, VOLATILITY_10S, VOLATILITY_30S,
    VOLATILITY_60S, VOLATILITY_300S, RSI_NORM, MACD_NORM, MACD_HIST_NORM, STOCH_K_NORM, STOCH_D_NORM, BAR_DIRECTION,
    BODY_RATIO, UPPER_WICK_RATIO, LOWER_WICK_RATIO, GAP_TICKS, RANGE_TICKS, VOLUME_RATIO_10S, VOLUME_RATIO_30S,
    VOLUME_RATIO_60S, VOLUME_DELTA_NORM, OBV_ROC, HTF_TREND_1M, HTF_MOMENTUM_1M, HTF_VOL_1M, HTF_TREND_5M,
    HTF_MOMENTUM_5M,
) = range(10, 56)  # fmt: skip


def definition(tick_nanos: int) -> dict[str, object]:
    """The whole schema as plain values; `tick_nanos`: tick size of the instrument in 1e-9 points."""
    return {
        "id": SCHEMA_ID,
        "version": VERSION,
        "names": list(FEATURE_NAMES),
        "formulas": [[feature.formula, feature.degenerate] for feature in FEATURES],
        "bar_seconds": BAR_SECONDS,
        "tick_nanos": tick_nanos,
        "carry_s": CARRY_S,
        "valid": {"five_minute_buckets": WARM_BUCKETS, "since_anchor_s": ANCHOR_S},
    }


def schema_hash(tick_nanos: int) -> str:
    """SHA-256 (hex) over canonical JSON of the definition (MES-FEAT-09)."""
    text = json.dumps(definition(tick_nanos), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def check_names(names: Sequence[str]) -> None:
    """Refuse any other names or order.  Raises SchemaDiffers with the first difference."""
    for place, (ours, theirs) in enumerate(zip_longest(FEATURE_NAMES, names), start=1):
        if ours == theirs:
            continue
        if theirs is None:
            raise SchemaDiffers(f"feature {place} is missing: {ours} is expected, the list ends at {len(names)}")
        if ours is None:
            raise SchemaDiffers(f"feature {place} is one too many: {theirs}; the schema has {FEATURE_COUNT}")
        raise SchemaDiffers(f"feature {place} differs: {ours} is expected, {theirs} was given")


def check_hash(stored: str, tick_nanos: int) -> None:
    """Refuse what was made with another schema.  Raises SchemaDiffers."""
    ours = schema_hash(tick_nanos)
    if stored != ours:
        raise SchemaDiffers(
            f"made with feature schema {stored[:12] or '(none)'}, this is {SCHEMA_ID} version {VERSION}, {ours[:12]}:"
            " same names, other definitions; make it again with this version"
        )
