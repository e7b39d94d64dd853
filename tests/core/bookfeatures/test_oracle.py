"""All 88 book features and refusals against the slow oracle, on made-up and on recorded books.

Rules: MOEX-FEAT-01 … -05, MOEX-DATA-03, -12, MOEX-TERM-06, MOEX-ACC-201, -202.
"""

from collections.abc import Sequence

import numpy as np
import pytest

from marketdata.core.bookfeatures.records import EMPTY_BOOK, OLD, VALID, Tape
from marketdata.core.bookfeatures.schema import FEATURE_NAMES
from tests.core.bookfeatures.kit import TICK_NANOS, Rows, as_tape, one_at_a_time, whole
from tests.core.bookfeatures.oracle import Event, Oracle
from tests.core.bookfeatures.recorded import RECORDED, Recorded
from tests.core.bookfeatures.tapes import SESSIONS, tape

TOLERANCE = 1e-9  # MOEX-FEAT-07, for numbers above 1 of their size
WORDS = {OLD: "OLD", EMPTY_BOOK: "EMPTY_BOOK"}


def check(rows: Rows, events: Sequence[Event], oracle: Oracle, told: str, every: int = 1) -> int:
    """Everything equal, every so manieth valid row in all its features; returns how many were compared."""
    compared = row = 0
    for event in events:
        wanted = row % every == 0
        want = oracle.take(event, wanted)
        if want is None:
            continue
        verdict = int(rows.verdict[row])
        if isinstance(want, dict):
            assert verdict == VALID, (told, row)
            expected = np.array([want[name] for name in FEATURE_NAMES])
            away = np.abs(rows.features[row] - expected) / np.maximum(1, np.abs(expected))
            worst = int(np.argmax(away))
            assert away[worst] <= TOLERANCE, (
                told,
                row,
                FEATURE_NAMES[worst],
                rows.features[row, worst],
                expected[worst],
            )
            compared += 1
        elif want != "UNWANTED":
            assert WORDS[verdict] == want, (told, row)
            assert np.isnan(rows.features[row]).all(), (told, row)
        row += 1
    assert row == len(rows.verdict)
    return compared


@pytest.mark.parametrize("block", range(5))
def test_random_tapes_equal_the_oracle(block):
    """Gaps, resets, late stamps, empty, one-sided, short and crossed books, unknown indicators, few candles."""
    compared = 0
    for seed in range(8 * block, 8 * block + 8):
        events = tape(seed)
        rows = whole(as_tape(events), SESSIONS)
        compared += check(rows, events, Oracle(TICK_NANOS, SESSIONS), f"seed {seed}")
        assert np.isfinite(rows.features[rows.verdict == VALID]).all()
    assert compared > 1_200


def test_the_tapes_hold_what_they_promise():
    """Every bound and degenerate case of the table occurs on a valid row of the tapes above."""
    found: set[str] = set()
    for seed in range(40):
        rows = whole(as_tape(tape(seed)), SESSIONS)
        good = rows.verdict == VALID
        c = {name: rows.features[good, i] for i, name in enumerate(FEATURE_NAMES)}
        cases = {
            "old book": rows.verdict == OLD,
            "empty book": rows.verdict == EMPTY_BOOK,
            "bid side only": (c["levels_ask"] == 0) & (c["levels_bid"] > 0),
            "ask side only": (c["levels_bid"] == 0) & (c["levels_ask"] > 0),
            "no side, an earlier mid": (c["levels_bid"] == 0) & (c["levels_ask"] == 0),
            "full book": (c["levels_bid"] == 1) & (c["levels_ask"] == 1),
            "one level": (c["levels_bid"] == 0.05) & (c["levels_ask"] == 0.05),
            "crossed": c["spread"] < 0,
            "locked": (c["spread"] == 0) & (c["two_sided"] == 1),
            "spread_rel at its bound": c["spread_rel"] == 0.1,
            "microprice_rel at its bound": np.abs(c["microprice_rel"]) == 500,
            "quiet": c["volatility"] == 0,
            "volatility at its bound": c["volatility"] == 10,
            "aggressive": c["aggressive_imbalance"] != 0,
            "conservative": c["conservative_imbalance"] != 0,
            "ofi at its bounds": np.abs(c["ofi"]) == 10,
            "gradient at its bounds": np.abs(c["book_gradient"]) == 10,
            "cks at its bounds": np.abs(c["ofi_cks_1"]) == 2,
            "better bid": c["queue_delta_bid"] == 1,
            "worse ask": c["queue_delta_ask"] == -1,
            "same bid": (np.abs(c["queue_delta_bid"]) < 1) & (c["queue_delta_bid"] != 0),
            "return at its bound": np.abs(c["ret_60s"]) == 500,
            "rv_ratio above 1": c["rv_ratio"] > 1,
            "history full": c["history_fill"] == 1,
            "fresh": c["history_fill"] == 0,
            "no trade": (c["trade_rate_10s"] == 0) & (c["vwap_gap_60s"] == 0),
            "candles": c["atr_proxy"] == 0,
            "proxy": (c["atr_proxy"] == 1) & (c["atr5_rel"] > 0),
            "no pair": (c["atr_proxy"] == 1) & (c["atr5_rel"] == 0),
            "candle return": c["candle_ret_5m"] != 0,
            "range": c["range_20m_rel"] > 0,
            "between sessions": c["session_pos"] == 0,
            "market known": c["market_known"] == 1,
            "market unknown": c["market_liquidity"] == 1,
            "market at its bound": c["market_liquidity"] == 10,
        }
        found |= {name for name, where in cases.items() if where.any()}
        missing = set(cases) - found
    assert not missing


@pytest.mark.parametrize("load", RECORDED)
def test_recorded_books_equal_the_oracle_and_stream_as_in_the_batch(sample_data, load):
    """Real books with their trades and the candles made of them: the oracle at many books, live = batch bit for bit."""
    recorded: Recorded = load(sample_data)
    rows = whole(recorded.tape, recorded.sessions, recorded.tick_nanos)
    assert (rows.verdict == VALID).mean() > 0.99 and len(rows.verdict) > recorded.least
    first: list[Event] = recorded.events()
    oracle = Oracle(recorded.tick_nanos, recorded.sessions)
    count = int((rows.event < recorded.first).sum())
    part = Rows(rows.event[:count], rows.verdict[:count], rows.features[:count], b"")
    assert check(part, first, oracle, load.__name__, recorded.every) > recorded.compared
    short: Tape = recorded.head(6_000)
    single = one_at_a_time(short, recorded.sessions, recorded.tick_nanos)
    batch = whole(short, recorded.sessions, recorded.tick_nanos)
    assert single.features.tobytes() == batch.features.tobytes() == rows.features[: len(batch.verdict)].tobytes()
    assert single.state == batch.state
    assert np.array_equal(single.verdict, batch.verdict)
