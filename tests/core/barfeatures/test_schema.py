"""Names, order, hash and document of the feature schema (MES-FEAT-09, -10, MES-ACC-10.21, MES-LABEL-03)."""

import pytest

from marketdata.core.barfeatures import schema
from marketdata.core.barfeatures.engine import BarFeatures
from marketdata.core.barfeatures.schema import FEATURE_NAMES, SchemaDiffers, check_hash, schema_hash
from tests.core.barfeatures.document import PAGE, as_markdown
from tests.core.barfeatures.kit import days
from tests.schemas import hashes, places_of, swapped

ES_TICK, GOLD_TICK = 250_000_000, 100_000_000

# written down from the specification's table, by number
NUMBERED = {
    1: "return_1s", 2: "log_return_1s", 3: "return_5s", 9: "return_60s", 10: "log_return_60s", 11: "close_to_ema_9",
    14: "close_to_ema_200", 15: "ema_9_21_cross", 16: "ema_21_50_cross", 17: "close_to_vwap", 18: "vwap_slope",
    19: "minutes_to_close_norm", 20: "eod_urgency", 21: "time_sin", 24: "dow_cos", 25: "is_open_period",
    26: "is_close_period", 27: "is_lunch_period", 28: "atr_ticks", 29: "atr_pct", 30: "bb_width", 31: "bb_position",
    32: "volatility_10s", 35: "volatility_300s", 36: "rsi_norm", 37: "macd_norm", 38: "macd_hist_norm",
    39: "stoch_k_norm", 40: "stoch_d_norm", 41: "bar_direction", 42: "body_ratio", 43: "upper_wick_ratio",
    44: "lower_wick_ratio", 45: "gap_ticks", 46: "range_ticks", 47: "volume_ratio_10s", 49: "volume_ratio_60s",
    50: "volume_delta_norm", 51: "obv_roc", 52: "htf_trend_1m", 53: "htf_momentum_1m", 54: "htf_vol_1m",
    55: "htf_trend_5m", 56: "htf_momentum_5m",
}  # fmt: skip


def test_there_are_56_names_in_the_order_of_the_table():
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == 56
    assert {number: FEATURE_NAMES[number - 1] for number in NUMBERED} == NUMBERED
    assert not any("label" in name or "future" in name for name in FEATURE_NAMES)  # MES-LABEL-03


def test_the_places_of_the_code_are_those_of_the_names():
    places = places_of(schema, FEATURE_NAMES)
    assert len(places) == 46
    assert all(FEATURE_NAMES[place] == name for name, place in places.items())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (swapped(FEATURE_NAMES, 3, 7), "feature 4 differs: log_return_5s is expected, log_return_30s was given"),
        (FEATURE_NAMES[:-1], "feature 56 is missing: htf_momentum_5m is expected, the list ends at 55"),
        (FEATURE_NAMES[1:], "feature 1 differs: return_1s is expected, log_return_1s was given"),
        ((*FEATURE_NAMES, "close_in_30s"), "feature 57 is one too many: close_in_30s; the schema has 56"),
        ((), "feature 1 is missing: return_1s is expected, the list ends at 0"),
    ],
)
def test_construction_refuses_other_names_and_says_the_first_difference(names, message):
    with pytest.raises(SchemaDiffers, match=f"^{message}$"):
        BarFeatures(days(), names)


def test_the_hash_names_everything_that_decides(monkeypatch):
    """MES-FEAT-09: names, version, bar size, tick size, carry limit, validity."""
    before = schema_hash(ES_TICK)
    assert len(before) == 64 and schema_hash(ES_TICK) == before != schema_hash(GOLD_TICK)
    changes = {
        "VERSION": 2, "BAR_SECONDS": 5, "CARRY_S": 60, "WARM_BUCKETS": 3, "ANCHOR_S": 10,
        "FEATURE_NAMES": tuple(swapped(FEATURE_NAMES, 0, 1)), "FEATURES": schema.FEATURES[:-1],
    }  # fmt: skip
    assert len(set(hashes(monkeypatch, schema, changes, lambda: schema_hash(ES_TICK)))) == 1 + len(changes)


def test_a_stored_hash_of_another_schema_is_refused():
    check_hash(schema_hash(ES_TICK), ES_TICK)
    with pytest.raises(SchemaDiffers, match="make it again"):
        check_hash(schema_hash(GOLD_TICK), ES_TICK)


def test_the_version_belongs_to_these_formulas():
    """A change of the schema must raise VERSION: then write the new hash here."""
    assert (schema.VERSION, schema_hash(ES_TICK)) == (
        1,
        "021a45136982e7e68fc9ec2e38f3e16806148815cede1b45d20fe38f0edb2e3c",
    )


def test_the_document_is_current():
    assert PAGE.read_text(encoding="utf-8") == as_markdown(), "run: python -m tests.core.barfeatures.document"
