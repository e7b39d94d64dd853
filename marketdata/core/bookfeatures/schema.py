"""The 88 book features of MOEX-FEAT as data: names in order, formulas, units, windows, scaling, flags, and their hash.

`vector` writes the features in this order.  Whatever was made from them stores schema id and hash; `check_names`,
`check_hash` and `check_vector` refuse another schema and say where it begins to differ (MOEX-FEAT-01).  Any change of
a name, order, formula or constant is a new version.  Computes no feature.
"""

import hashlib
import json
from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

SCHEMA_ID = "moex_book20_v1"
VERSION = 1
DEPTH_LEVELS = 20
BUCKET_NS = 100_000_000  # of the time ring (MOEX-DATA-12)
BUCKETS = 640  # remembered: 64 s
HISTORY = 30  # books remembered
BEFORE_MAX_NS = 60_000_000_000  # how old the previous book may be (MOEX-FEAT-03)
TRADES = 20_000  # trades remembered at most
YEAR_S = 7_862_400  # 252 days of 31 200 s (MOEX-TERM-06)
VOLATILE = 0.15  # annual volatility above which the aggressive imbalance speaks
MARKET_AGE_NS = 5_000_000_000  # how old market indicators may be
CANDLE_NS = 60_000_000_000
ATR_CANDLES = 5
ATR_PAIRS = 5
CANDLE_GAP_NS = 300_000_000_000  # a previous candle that starts earlier than this before has no say in a true range
RANGE_CANDLES = 20

# scaling: R robust z with median and IQR of the training fold, N as is.
# flags: V input of the volatility member, D watched for drift, P in money, never fed to a model.
ROBUST, AS_IS = "R", "N"


class Feature(NamedTuple):
    """One feature: how it is called and made.  `window` is in seconds where no unit is named, "book" the book alone."""

    name: str
    formula: str
    unit: str
    scaling: str
    flags: str = ""
    window: str = "book"
    degenerate: str = ""


class SchemaDiffers(ValueError):
    """SCHEMA_MISMATCH: other features than these; the message names the first difference."""


_NO_BEFORE = "no previous book: 0"
_NO_SIDE = "side absent: 0"
_NONE = "none: 0"
_PAIR = "book and the one before"


def _cks(n: int, flags: str) -> Feature:
    formula = f"clip(div(sum e_i, sum (B_i + A_i + B_ip + A_ip)/2), -2, 2), i <= {n}"
    return Feature(f"ofi_cks_{n}", formula, "ratio", AS_IS, flags, _PAIR, _NO_BEFORE)


def _imbalance(n: int, flags: str) -> Feature:
    return Feature(f"imbalance_{n}", f"div(SB - SA, SB + SA) with sums over i <= {n}", "ratio", AS_IS, flags)


FEATURES = (
    Feature("imbalance", "im = div(SB - SA, SB + SA)", "ratio", AS_IS),
    Feature("microprice", "(a_1 B_1 + b_1 A_1)/(B_1 + A_1)", "RUB", AS_IS, "P", degenerate="not two-sided: mid"),
    Feature("mid_price", "mid", "RUB", AS_IS, "P"),
    Feature("spread", "a_1 - b_1", "RUB", AS_IS, "P", degenerate="not two-sided: 0"),
    Feature("spread_rel", "clip(div(spread, mid), -0.1, 0.1)", "fraction", ROBUST, "D"),
    Feature("microprice_rel", "clip(1e4 div(microprice - mid, mid), -500, 500)", "bps", ROBUST),
    Feature("volatility", "rv(60 s)", "annual fraction", ROBUST, "VD", "60"),
    Feature("ofi", "clip((im - im_p)/(abs(im_p) + 1e-8), -10, 10)", "ratio", AS_IS, "", _PAIR, _NO_BEFORE),
    Feature("book_gradient", "clip((im - im_p)/(abs(im) + 1e-8), -10, 10)", "ratio", AS_IS, "", _PAIR, _NO_BEFORE),
    Feature("aggressive_imbalance", "1.5 im if volatility > 0.15 else 0", "ratio", AS_IS, "", "60"),
    Feature("conservative_imbalance", "0.7 im if volatility <= 0.15 else 0", "ratio", AS_IS, "", "60"),
    _imbalance(1, ""),
    _imbalance(5, "D"),
    _imbalance(10, ""),
    _cks(1, ""),
    _cks(5, "D"),
    _cks(20, ""),
    Feature("bid_total_log", "ln(1 + SB)", "ln lots", ROBUST, "D"),
    Feature("ask_total_log", "ln(1 + SA)", "ln lots", ROBUST, "D"),
    Feature(
        "bid_slope", "ln(1 + div(sum B_i (b_1 - b_i)/tick, SB))", "ln ticks", ROBUST, "D", degenerate=_NO_SIDE
    ),
    Feature(
        "ask_slope", "ln(1 + div(sum A_i (a_i - a_1)/tick, SA))", "ln ticks", ROBUST, "D", degenerate=_NO_SIDE
    ),
    Feature("levels_bid", "present bid levels / 20", "fraction", AS_IS),
    Feature("levels_ask", "present ask levels / 20", "fraction", AS_IS),
    Feature("two_sided", "1 if both sides are present else 0", "0/1", AS_IS),
    *(
        Feature(
            f"queue_delta_{side}",
            f"{lots} and {lots}p at the same best price: div({lots} - {lots}p, {lots} + {lots}p); better price or side"
            " new: 1; worse or gone: -1",
            "ratio",
            AS_IS,
            "",
            _PAIR,
            "absent twice or no previous book: 0",
        )
        for side, lots in (("bid", "B_1"), ("ask", "A_1"))
    ),
    Feature("book_rate_10s", "min(100, sum of n_books of the records / 10)", "1/s", ROBUST, "D", "10"),
    Feature("history_fill", "min(1, age of the oldest record / 60 s)", "fraction", AS_IS, "", "64"),
    *(
        Feature(f"ret_{n}s", f"clip(1e4 ln(mid / mid at t - {n} s), -500, 500)", "bps", ROBUST, "", f"{n}",
                "no record that old: the oldest")
        for n in (1, 10, 60)
    ),
    *(
        Feature(f"trade_imbalance_{n}s", "div(buy - sell lots, buy + sell lots)", "ratio", AS_IS, "", f"{n}",
                "no trade of a known side: 0")
        for n in (10, 60)
    ),
    Feature("trade_rate_10s", "min(100, trades / 10)", "1/s", ROBUST, "D", "10"),
    Feature("trade_volume_10s", "ln(1 + lots)", "ln lots", ROBUST, "D", "10"),
    Feature("vwap_gap_60s", "clip(1e4 div(mid - VWAP, mid), -500, 500)", "bps", ROBUST, "", "60", "no trade: 0"),
    Feature("rv_1s", "rv(1 s)", "annual fraction", ROBUST, "V", "1"),
    Feature("rv_10s", "rv(10 s)", "annual fraction", ROBUST, "V", "10"),
    Feature("rv_ratio", "clip(div(rv_10s, volatility), 0, 10)", "ratio", AS_IS, "V", "60"),
    Feature("atr5_rel", "clip(div(ATR5, mid), 0, 0.5)", "fraction", ROBUST, "VD", "5 candles or pairs of books", _NONE),
    Feature(
        "range_20m_rel",
        "clip((max(highs, mid) - min(lows, mid))/mid, 0, 1)",
        "fraction",
        ROBUST,
        "V",
        "up to 20 candles",
        "no candle: 0",
    ),
    Feature(
        "candle_ret_5m",
        "clip(1e4 ln(last close / close 5 candles earlier), -1000, 1000)",
        "bps",
        ROBUST,
        "",
        "up to 6 candles",
        "fewer than 6: the oldest close; fewer than 2: 0",
    ),
    Feature(
        "session_pos",
        "clip((t - open)/(close - open), 0, 1) of the schedule's interval [open, close) that contains t",
        "fraction",
        AS_IS,
        "",
        "session",
        _NONE,
    ),
    Feature("market_volatility", "mean rv(60 s) of the active instruments, clip 0 to 10", "annual fraction", ROBUST,
            "", "5", "unknown or older than 5 s: 0"),
    Feature("market_liquidity", "mean liquidity ratio of the active instruments, clip 0 to 10", "ratio", ROBUST,
            "", "5", "unknown or older than 5 s: 1"),
    Feature("market_index", "clip(1 - mean spread/0.001, 0, 1) of the active instruments", "ratio", AS_IS,
            "", "5", "unknown or older than 5 s: 0"),
    Feature("market_known", "1 if the indicators are known and not older than 5 s else 0", "0/1", AS_IS, "", "5"),
    Feature("atr_proxy", "1 if ATR5 came from books else 0", "0/1", AS_IS, "", "5 candles"),
    *(Feature(f"lvl_imb_{i:02d}", f"div(B_{i} - A_{i}, B_{i} + A_{i})", "ratio", AS_IS) for i in range(1, 21)),
    *(Feature(f"lvl_share_{i:02d}", f"div(B_{i} + A_{i}, SB + SA)", "fraction", AS_IS) for i in range(1, 21)),
)  # fmt: skip
FEATURE_NAMES = tuple(feature.name for feature in FEATURES)
FEATURE_COUNT = len(FEATURES)

# places in the vector, for the code that fills it
(
    IMBALANCE, MICROPRICE, MID_PRICE, SPREAD, SPREAD_REL, MICROPRICE_REL, VOLATILITY, OFI, BOOK_GRADIENT,
    AGGRESSIVE_IMBALANCE, CONSERVATIVE_IMBALANCE, IMBALANCE_1, IMBALANCE_5, IMBALANCE_10, OFI_CKS_1, OFI_CKS_5,
    OFI_CKS_20, BID_TOTAL_LOG, ASK_TOTAL_LOG, BID_SLOPE, ASK_SLOPE, LEVELS_BID, LEVELS_ASK, TWO_SIDED,
    QUEUE_DELTA_BID, QUEUE_DELTA_ASK, BOOK_RATE_10S, HISTORY_FILL, RET_1S, RET_10S, RET_60S, TRADE_IMBALANCE_10S,
    TRADE_IMBALANCE_60S, TRADE_RATE_10S, TRADE_VOLUME_10S, VWAP_GAP_60S, RV_1S, RV_10S, RV_RATIO, ATR5_REL,
    RANGE_20M_REL, CANDLE_RET_5M, SESSION_POS, MARKET_VOLATILITY, MARKET_LIQUIDITY, MARKET_INDEX, MARKET_KNOWN,
    ATR_PROXY, LVL_IMB,
) = range(49)  # fmt: skip
LVL_SHARE = LVL_IMB + DEPTH_LEVELS

# what the members read, in index order (MOEX-FEAT-06)
MODEL_PLACES = tuple(i for i, feature in enumerate(FEATURES) if "P" not in feature.flags)
VOLATILITY_PLACES = tuple(i for i, feature in enumerate(FEATURES) if "V" in feature.flags)
DRIFT_PLACES = tuple(i for i, feature in enumerate(FEATURES) if "D" in feature.flags)


def definition() -> dict[str, object]:
    """The whole schema as plain values."""
    return {
        "id": SCHEMA_ID,
        "version": VERSION,
        "features": [[i, *feature] for i, feature in enumerate(FEATURES)],
        "levels": DEPTH_LEVELS,
        "bucket_ns": BUCKET_NS,
        "buckets": BUCKETS,
        "history": HISTORY,
        "before_max_ns": BEFORE_MAX_NS,
        "trades": TRADES,
        "year_s": YEAR_S,
        "volatile": VOLATILE,
        "market_age_ns": MARKET_AGE_NS,
        "candles": [CANDLE_NS, ATR_CANDLES, ATR_PAIRS, CANDLE_GAP_NS, RANGE_CANDLES],
    }


def schema_hash() -> str:
    """SHA-256 (hex) over canonical JSON of the definition (MOEX-FEAT-01)."""
    return hashlib.sha256(json.dumps(definition(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def check_names(names: Sequence[str]) -> None:
    """Refuse any other names or order.  Raises SchemaDiffers with the first difference."""
    for place, (ours, theirs) in enumerate(zip_longest(FEATURE_NAMES, names)):
        if ours == theirs:
            continue
        if theirs is None:
            raise SchemaDiffers(f"feature {place} is missing: {ours} is expected, the list ends at {len(names)}")
        if ours is None:
            raise SchemaDiffers(f"feature {place} is one too many: {theirs}; the schema has {FEATURE_COUNT}")
        raise SchemaDiffers(f"feature {place} differs: {ours} is expected, {theirs} was given")


def check_hash(stored: str) -> None:
    """Refuse what was made with another schema.  Raises SchemaDiffers."""
    ours = schema_hash()
    if stored != ours:
        raise SchemaDiffers(
            f"made with feature schema {stored[:12] or '(none)'}, this is {SCHEMA_ID}, {ours[:12]}: other definitions;"
            " make it again with this version"
        )


def check_vector(schema_id: str, length: int) -> None:
    """Refuse a vector of another schema or length (MOEX-FEAT-01).  Raises SchemaDiffers."""
    if schema_id != SCHEMA_ID or length != FEATURE_COUNT:
        raise SchemaDiffers(
            f"a vector of {length} features of schema {schema_id!r}; {FEATURE_COUNT} of {SCHEMA_ID} are expected"
        )
