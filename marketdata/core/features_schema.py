"""The first-cut streaming schema as data: names, units, formulas, grid and warm-up, and the hash that names them all.

`features_stream.vector` writes the features in this order; an artifact stores id and hash and is refused where they
differ.  Any change of a name, unit, formula, order or constant is a new schema (MES-FEAT-09).  Computes no feature.
"""

import hashlib
import json
from typing import NamedTuple

SCHEMA_ID = "stream_v1"
STEP_NS = 1_000_000_000  # the grid step while trades or quotes are known
RING = 64  # grid steps remembered; a power of two above the longest window
WARM_STEPS = 20  # grid steps of a segment that must have passed before its first vector counts
EMA_FAST_SHIFT, EMA_SLOW_SHIFT = 3, 5  # alpha = 1/8 and 1/32 a step
TRADE_RATE_MAX = 100.0
SINCE_TRADE_MAX = 64.0


class Feature(NamedTuple):
    """One feature: what it is called, its unit, how it is made.  Changing any of them is a new schema."""

    name: str
    unit: str
    formula: str


# b, B, a, A: price and quantity of the best bid and ask; SB, SA: sums over n levels; div(x, 0) = 0; mid = (b + a)/2,
# on a tape without quotes the last price; m(k): the mid at the end of the k-th grid step before the present one.
FEATURES = (
    Feature("imbalance_1", "ratio", "div(B - A, B + A)"),
    Feature("imbalance_5", "ratio", "div(SB - SA, SB + SA), n = 5; the best level where no depth is known"),
    Feature("imbalance_20", "ratio", "div(SB - SA, SB + SA), n = 20; the best level where no depth is known"),
    Feature("microprice_rel_ticks", "ticks", "(a B + b A)/(B + A) - mid"),
    Feature("spread_ticks", "ticks", "a - b; 0 without a usable book"),
    Feature("ofi_cks_1", "ratio", "clip(div(e_1, (B + A + Bp + Ap)/2), -2, 2), e_1 of MOEX-FEAT-04"),
    Feature("ret_1", "ticks", "mid - m(1)"),
    Feature("ret_5", "ticks", "mid - m(5)"),
    Feature("ret_30", "ticks", "mid - m(30)"),
    Feature("ret_60", "ticks", "mid - m(60)"),
    Feature("momentum_fast", "ticks", "mid - EMA of m, alpha 1/8 a step"),
    Feature("momentum_slow", "ticks", "mid - EMA of m, alpha 1/32 a step"),
    Feature("trade_imbalance_10", "ratio", "div(buy - sell, buy + sell) quantity, this step and the 9 before"),
    Feature("trade_imbalance_30", "ratio", "div(buy - sell, buy + sell) quantity, this step and the 29 before"),
    Feature("trade_rate_10", "trades a step", "min(100, trades of this step and the 9 before / 10)"),
    Feature("rv_30", "ticks", "sqrt(mean of (m(k) - m(k+1))^2, k = 1..30)"),
    Feature("since_trade", "steps", "min(64, time since the last trade or bar with volume / step)"),
    Feature("range_60", "ticks", "highest - lowest mid, trade or bar extreme, this step and the 59 before"),
)
FEATURE_NAMES = tuple(feature.name for feature in FEATURES)
FEATURE_INDEX = {name: i for i, name in enumerate(FEATURE_NAMES)}
FEATURE_COUNT = len(FEATURES)

# places in the vector, for the code that fills it
IMBALANCE_1, IMBALANCE_5, IMBALANCE_20, MICROPRICE_REL_TICKS, SPREAD_TICKS, OFI_CKS_1 = range(6)
RET_1, RET_5, RET_30, RET_60, MOMENTUM_FAST, MOMENTUM_SLOW = range(6, 12)
TRADE_IMBALANCE_10, TRADE_IMBALANCE_30, TRADE_RATE_10, RV_30, SINCE_TRADE, RANGE_60 = range(12, 18)


def schema_hash() -> str:
    """SHA-256 (hex) over canonical JSON of the schema: id, names, units, formulas, grid and warm-up."""
    schema = {
        "id": SCHEMA_ID,
        "features": [list(feature) for feature in FEATURES],
        "step_ns": STEP_NS,
        "ring": RING,
        "warm_steps": WARM_STEPS,
        "ema_shifts": [EMA_FAST_SHIFT, EMA_SLOW_SHIFT],
    }
    return hashlib.sha256(json.dumps(schema, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
