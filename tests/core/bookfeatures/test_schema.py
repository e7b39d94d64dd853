"""Names, order, flags, hash and document of the book features' schema (MOEX-FEAT-01, -06, MOEX-ACC-201)."""

import pytest

from marketdata.core.bookfeatures import schema
from marketdata.core.bookfeatures.engine import BookFeatures
from marketdata.core.bookfeatures.schema import FEATURE_NAMES, FEATURES, SchemaDiffers, check_hash, check_vector
from marketdata.core.records import LEVELS
from tests.core.bookfeatures.document import PAGE, as_markdown
from tests.schemas import hashes, places_of, swapped

# written down from the specification's table, by number
NUMBERED = {
    0: "imbalance", 1: "microprice", 2: "mid_price", 3: "spread", 4: "spread_rel", 5: "microprice_rel",
    6: "volatility", 7: "ofi", 8: "book_gradient", 9: "aggressive_imbalance", 10: "conservative_imbalance",
    11: "imbalance_1", 12: "imbalance_5", 13: "imbalance_10", 14: "ofi_cks_1", 15: "ofi_cks_5", 16: "ofi_cks_20",
    17: "bid_total_log", 18: "ask_total_log", 19: "bid_slope", 20: "ask_slope", 21: "levels_bid", 22: "levels_ask",
    23: "two_sided", 24: "queue_delta_bid", 25: "queue_delta_ask", 26: "book_rate_10s", 27: "history_fill",
    28: "ret_1s", 29: "ret_10s", 30: "ret_60s", 31: "trade_imbalance_10s", 32: "trade_imbalance_60s",
    33: "trade_rate_10s", 34: "trade_volume_10s", 35: "vwap_gap_60s", 36: "rv_1s", 37: "rv_10s", 38: "rv_ratio",
    39: "atr5_rel", 40: "range_20m_rel", 41: "candle_ret_5m", 42: "session_pos", 43: "market_volatility",
    44: "market_liquidity", 45: "market_index", 46: "market_known", 47: "atr_proxy", 48: "lvl_imb_01",
    67: "lvl_imb_20", 68: "lvl_share_01", 87: "lvl_share_20",
}  # fmt: skip
DRIFT = (4, 6, 12, 15, 17, 18, 19, 20, 26, 33, 34, 39)
ROBUST = (4, 5, 6, 17, 18, 19, 20, 26, 28, 29, 30, 33, 34, 35, 36, 37, 39, 40, 41, 43, 44)


def test_there_are_88_names_in_the_order_of_the_table():
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == 88
    assert {number: FEATURE_NAMES[number] for number in NUMBERED} == NUMBERED
    assert schema.DEPTH_LEVELS == LEVELS == 20


def test_the_places_of_the_code_are_those_of_the_names():
    places = places_of(schema, FEATURE_NAMES)
    assert len(places) == 48
    assert all(FEATURE_NAMES[place] == name for name, place in places.items())
    assert FEATURE_NAMES[schema.LVL_IMB] == "lvl_imb_01" and FEATURE_NAMES[schema.LVL_SHARE] == "lvl_share_01"


def test_flags_and_scaling_are_those_of_the_table():
    """MOEX-FEAT-06: 85 features for the models, six for the volatility member."""
    assert schema.VOLATILITY_PLACES == (6, 36, 37, 38, 39, 40)
    assert len(schema.MODEL_PLACES) == 85 and set(range(88)) - set(schema.MODEL_PLACES) == {1, 2, 3}
    assert schema.DRIFT_PLACES == DRIFT
    assert tuple(i for i, feature in enumerate(FEATURES) if feature.scaling == schema.ROBUST) == ROBUST
    assert {feature.scaling for feature in FEATURES} == {schema.ROBUST, schema.AS_IS}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (swapped(FEATURE_NAMES, 3, 7), "feature 3 differs: spread is expected, ofi was given"),
        (FEATURE_NAMES[:-1], "feature 87 is missing: lvl_share_20 is expected, the list ends at 87"),
        (FEATURE_NAMES[1:], "feature 0 differs: imbalance is expected, microprice was given"),
        ((*FEATURE_NAMES, "mid_in_60s"), "feature 88 is one too many: mid_in_60s; the schema has 88"),
        ((), "feature 0 is missing: imbalance is expected, the list ends at 0"),
    ],
)
def test_construction_refuses_other_names_and_says_the_first_difference(names, message):
    with pytest.raises(SchemaDiffers, match=f"^{message}$"):
        BookFeatures(10_000_000, names)


def test_a_vector_of_another_schema_or_length_is_refused():
    """MOEX-FEAT-01."""
    check_vector("moex_book20_v1", 88)
    with pytest.raises(SchemaDiffers, match="a vector of 87 features"):
        check_vector("moex_book20_v1", 87)
    with pytest.raises(SchemaDiffers, match="stream_v1"):
        check_vector("stream_v1", 88)


def test_the_hash_names_everything_that_decides(monkeypatch):
    before = schema.schema_hash()
    assert len(before) == 64 and schema.schema_hash() == before
    changed = FEATURES[7]._replace(formula="another")
    changes = {
        "SCHEMA_ID": "moex_book20_v2", "VERSION": 2, "BUCKET_NS": 50_000_000, "BUCKETS": 320, "HISTORY": 20,
        "BEFORE_MAX_NS": 1, "TRADES": 100, "YEAR_S": 31_536_000, "VOLATILE": 0.2, "MARKET_AGE_NS": 1,
        "ATR_CANDLES": 14, "RANGE_CANDLES": 10, "FEATURES": (*FEATURES[:7], changed, *FEATURES[8:]),
    }  # fmt: skip
    assert len(set(hashes(monkeypatch, schema, changes, schema.schema_hash))) == 1 + len(changes)


def test_a_stored_hash_of_another_schema_is_refused():
    check_hash(schema.schema_hash())
    with pytest.raises(SchemaDiffers, match="make it again"):
        check_hash("0" * 64)


def test_the_version_belongs_to_these_formulas():
    """A change of the schema must raise VERSION and the id: then write the new hash here."""
    assert (schema.SCHEMA_ID, schema.VERSION, schema.schema_hash()) == (
        "moex_book20_v1",
        1,
        "6489f35d2ff687029964d2719c80a1084e04549cf7c0412c7b0939e795366759",
    )


def test_the_document_is_current():
    assert PAGE.read_text(encoding="utf-8") == as_markdown(), "run: python -m tests.core.bookfeatures.document"
