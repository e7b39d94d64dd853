"""Sizes by their documents' tables, at and around every boundary (MES-SIZE-01 … 04, MOEX-SIZE-01, vectors 12.4)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.core.units import MICROS, PPM
from risk.core import codes, sizing
from risk.core.records import LIMITS, MOEX
from tests.kernel.desk import LIMITS as DEMO

TICK, COSTS, MARGIN = 1_250_000, 840_000, 50 * MICROS  # MES: tick value, round-trip commission, intraday margin
NAMES = {value: name for name, value in vars(codes).items() if isinstance(value, int)}


def limits(**changes: int) -> np.record:
    record = np.zeros(1, LIMITS)
    topstep = {"loss_trade_micros_max": 25 * MICROS, "loss_day_micros_max": 50 * MICROS, "qty_max": 10, "sizing": 1}
    for name, value in (DEMO | topstep | changes).items():
        record[name] = value
    return record[0]


def mes(
    balance: float, stop: int, confidence: int, scale: int = PPM, day_net: float = 0, asked: int = 0, **changes: int
):
    """(size or the reason's name) of MES-SIZE-02 for a balance and daily net in dollars."""
    left = max(0, 50 * MICROS - max(0, -round(day_net * MICROS)))
    size, code = sizing.mes_size(
        round(balance * MICROS), stop * TICK, COSTS, confidence, scale, limits(**changes), left, MARGIN, asked
    )
    return size if size > 0 else NAMES[code]


# balance, stop ticks, confidence, scale, day's net, expected: the table of section 8.4, row by row
TABLE = [
    (1000.00, 8, 720_000, PPM, 0, 1),
    (1000.00, 8, 950_000, PPM, 0, 1),
    (1000.00, 16, 650_000, PPM, 0, 1),
    (900.00, 16, 720_000, PPM, 0, "RISK_TIER"),
    (1500.00, 8, 950_000, PPM, 0, 2),
    (2000.00, 4, 720_000, PPM // 2, 0, 1),
    (2400.00, 8, 850_000, PPM, 0, 2),
    (5000.00, 8, 720_000, PPM, 0, 2),
    (959.00, 8, 720_000, PPM, -41.00, "RISK_DAILY"),
    (699.99, 8, 950_000, PPM, 0, "BALANCE_TIER"),
]


@pytest.mark.parametrize(("balance", "stop", "confidence", "scale", "net", "expected"), TABLE)
def test_the_published_table_mes_size_02(balance, stop, confidence, scale, net, expected) -> None:
    assert mes(balance, stop, confidence, scale, net) == expected


def test_half_a_contract_by_policy_mes_size_02() -> None:
    assert mes(1000, 16, 650_000) == 1
    assert mes(1000, 16, 650_000, half_keep_one=0) == "SIZE_HALF_SKIPPED"


@pytest.mark.parametrize(
    ("balance_micros", "contracts"),
    [
        (700 * MICROS - 1, 0), (700 * MICROS, 1), (1000 * MICROS, 1), (1000 * MICROS + 1, 2), (1500 * MICROS, 2),
        (1500 * MICROS + 1, 3), (2000 * MICROS, 3), (2000 * MICROS + 1, 4), (3000 * MICROS, 4), (3000 * MICROS + 1, 10),
        (0, 0), (-1, 0),
    ],
)  # fmt: skip
def test_a_boundary_belongs_to_the_lower_tier_mes_size_01_mes_acc_10a_9(balance_micros: int, contracts: int) -> None:
    assert sizing.tier_max(balance_micros) == contracts


def test_the_share_of_the_tiers_and_its_lowering_mes_size_01() -> None:
    assert sizing.tier_budget(1000 * MICROS, 0) == 20 * MICROS
    assert sizing.tier_budget(3000 * MICROS + 1, 0) == 45 * MICROS  # floored to a micro
    assert sizing.tier_budget(1000 * MICROS, 10_000) == 10 * MICROS
    assert sizing.tier_budget(1000 * MICROS, 30_000) == 20 * MICROS, "never raised"


@pytest.mark.parametrize(
    ("confidence", "multiplier"),
    [
        (0, 0), (599_999, 0), (600_000, 500_000), (699_999, 500_000), (700_000, 1_000_000), (799_999, 1_000_000),
        (800_000, 1_500_000), (899_999, 1_500_000), (900_000, 2_000_000), (1_000_000, 2_000_000),
    ],
)  # fmt: skip
def test_confidence_multiplies_at_its_boundaries_mes_size_02(confidence: int, multiplier: int) -> None:
    assert sizing.multiplier_ppm(confidence) == multiplier


def test_the_first_cap_that_is_zero_names_the_refusal_mes_size_02() -> None:
    """Order: trade risk, tier, daily risk, margin, venue."""
    record = limits(loss_trade_micros_max=9 * MICROS)
    assert sizing.mes_size(1000 * MICROS, 10 * MICROS, COSTS, 720_000, PPM, record, 0, MARGIN, 0) == (
        0,
        codes.RISK_PER_TRADE,
    )
    record = limits(qty_max=0)
    assert sizing.mes_size(1000 * MICROS, 10 * MICROS, COSTS, 720_000, PPM, record, 0, MARGIN, 0)[1] == codes.RISK_DAILY
    assert sizing.mes_size(1000 * MICROS, 10 * MICROS, COSTS, 720_000, PPM, limits(), 10**9, 10**10, 0) == (
        0,
        codes.MARGIN,
    )
    assert sizing.mes_size(1000 * MICROS, 10 * MICROS, COSTS, 720_000, PPM, record, 10**9, MARGIN, 0)[1] == (
        codes.VENUE_LIMIT
    )


def test_an_asked_size_passes_unchanged_or_is_refused_mes_risk_20() -> None:
    """Row 13: the tier's maximum, then every cap; never resized."""
    assert mes(2400, 8, 720_000, asked=2) == 2
    assert mes(2400, 8, 720_000, asked=3) == "RISK_PER_TRADE"
    assert mes(2400, 8, 720_000, asked=5) == "BALANCE_TIER"
    assert mes(699, 8, 720_000, asked=1) == "BALANCE_TIER"


def test_equality_passes_mes_size_03() -> None:
    left = 10 * MICROS + COSTS
    assert sizing.mes_size(1000 * MICROS, 10 * MICROS, COSTS, 720_000, PPM, limits(), left, MARGIN, 0) == (1, 0)
    assert sizing.mes_size(1000 * MICROS, 10 * MICROS, COSTS, 720_000, PPM, limits(), left - 1, MARGIN, 0) == (
        0,
        codes.RISK_DAILY,
    )


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 20_000 * MICROS),
    st.integers(4, 16),
    st.integers(0, PPM),
    st.sampled_from([PPM, PPM // 2]),
    st.integers(0, 50 * MICROS),
    st.integers(0, 1),
)
def test_no_size_breaks_a_budget_mes_size_03(balance, stop, confidence, scale, left, keep) -> None:
    """n x R <= min(trade risk, tier share x B) and n x (R + C) <= remaining daily risk, always."""
    record = limits(half_keep_one=keep)
    loss = stop * TICK
    size, code = sizing.mes_size(balance, loss, COSTS, confidence, scale, record, left, MARGIN, 0)
    assert (size > 0) == (code == codes.APPROVED)
    assert size * loss <= min(25 * MICROS, sizing.tier_budget(balance, 0)) or size == 0
    assert size * (loss + COSTS) <= left or size == 0
    assert size <= sizing.tier_max(balance)


# --- MOEX -------------------------------------------------------------------------------------------------------------
RUB = MICROS


def moex(
    confidence: int, scale: int = PPM, capital: int = 500_000, lot: int = 1000 * RUB, loss: int = 6_900_000, **more
):
    """(lots, reason) with the shares of MOEX-RISK-04."""
    shares = {"gross_ppm_max": 500_000, "instrument_ppm_max": 50_000, "loss_stop_ppm_max": 2_500}
    shares |= {"participation_ppm_max": 100_000, "position_max": 100, "qty_max": 10_000, "rules": MOEX}
    gross, depth, held = more.get("gross", 0), more.get("depth", 1000), more.get("held", 0)
    lots, code = sizing.moex_size(
        capital * RUB, lot, loss, confidence, scale, limits(**shares), held, gross * RUB, depth,
        more.get("regime", PPM),
    )  # fmt: skip
    return lots, NAMES[code] if code else ""


@pytest.mark.parametrize(
    ("case", "lots", "reason"),
    [
        ({"confidence": PPM}, 25, ""),
        ({"confidence": 700_000}, 17, ""),
        ({"confidence": 700_000, "scale": PPM // 2}, 8, ""),
        ({"confidence": 550_000, "regime": PPM // 2}, 6, ""),
        ({"confidence": PPM, "regime": PPM // 2, "scale": PPM // 2}, 6, ""),
        ({"confidence": PPM, "depth": 120}, 12, ""),
        ({"confidence": PPM, "gross": 245_500}, 4, ""),
        ({"confidence": PPM, "gross": 249_500}, 0, "CAP_EXPOSURE"),
        ({"confidence": PPM, "loss": 114 * RUB}, 10, ""),
        ({"confidence": PPM, "lot": 1_000_600_000, "loss": 6_900_000}, 24, ""),
        ({"confidence": PPM, "lot": 7000 * RUB, "loss": 123 * RUB}, 3, ""),
        ({"confidence": PPM, "lot": 7000 * RUB, "loss": 123 * RUB, "capital": 100_000}, 0, "CAP_INSTRUMENT"),
        ({"confidence": PPM, "depth": 0}, 0, "CAP_DEPTH"),
        ({"confidence": PPM, "held": 100, "lot": 1 * RUB, "loss": 1 * RUB}, 0, "CAP_POSITION"),
    ],
)
def test_reference_vectors_of_moex_size_01(case: dict, lots: int, reason: str) -> None:
    assert moex(**case) == (lots, reason)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10**12), st.integers(0, PPM))
def test_a_share_is_the_exact_floor(amount: int, ppm: int) -> None:
    assert sizing.share(amount, ppm) == amount * ppm // PPM
