"""Exact conversion between venues' numbers and ours: nothing is rounded unseen, nothing leaves the bounds."""

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from marketdata.core.instruments import INSTRUMENTS, UnknownInstrument, instrument
from marketdata.core.units import (
    MICROS,
    MONEY_MICROS_MAX,
    NANOS,
    QTY_MAX,
    TICK_MAX,
    TICK_VALUE_MICROS_MAX,
    OffGrid,
    OutOfRange,
    micros_from_text,
    text_from_micros,
    text_from_ticks,
    tick_decimals,
    ticks_from_float_nearest,
    ticks_from_nanos,
    ticks_from_quotation,
    ticks_from_text,
)

GRIDS = st.sampled_from(sorted({i.tick_nanos for i in INSTRUMENTS.values()} | {1, 1_000, 10 * NANOS, 3 * NANOS // 4}))
TICKS = st.integers(-TICK_MAX, TICK_MAX)


@given(ticks=TICKS, grid=GRIDS)
def test_text_and_ticks_are_inverse(ticks: int, grid: int) -> None:
    text = text_from_ticks(ticks, grid)
    assert Decimal(text) == Decimal(ticks) * grid / NANOS
    assert ticks_from_text(text, grid) == ticks
    assert ticks_from_text(f"  {text}\n", grid) == ticks
    assert "e" not in text.lower()


@given(ticks=TICKS, grid=GRIDS)
def test_nanos_and_quotations_are_inverse(ticks: int, grid: int) -> None:
    nanos = ticks * grid
    assert ticks_from_nanos(nanos, grid) == ticks
    units, nano = divmod(abs(nanos), NANOS)
    sign = -1 if nanos < 0 else 1
    assert ticks_from_quotation(sign * units, sign * nano, grid) == ticks


@given(ticks=TICKS, grid=GRIDS, off=st.integers(1, 10 * NANOS))
def test_prices_off_the_grid_are_refused(ticks: int, grid: int, off: int) -> None:
    assume(off % grid != 0)
    nanos = ticks * grid + off
    with pytest.raises(OffGrid, match="not a multiple"):
        ticks_from_nanos(nanos, grid)
    text = f"{'-' if nanos < 0 else ''}{abs(nanos) // NANOS}.{abs(nanos) % NANOS:09d}"
    with pytest.raises(OffGrid):
        ticks_from_text(text, grid)


@given(ticks=st.integers(-100_000_000, 100_000_000), grid=st.sampled_from([250_000_000, 10_000_000, 5_000_000]))
def test_floats_find_their_tick(ticks: int, grid: int) -> None:
    """MES-DATA-03, rule 3: within 1e-6 of a tick, and no further."""
    price = ticks * grid / NANOS
    assert ticks_from_float_nearest(price, grid) == ticks
    assume(abs(ticks) < 1_000_000)
    with pytest.raises(OffGrid):
        ticks_from_float_nearest(price + 0.001 * grid / NANOS, grid)


@pytest.mark.parametrize("price", [float("nan"), float("inf"), float("-inf")])
def test_floats_that_are_no_price_are_refused(price: float) -> None:
    with pytest.raises(ValueError, match="not a finite price"):
        ticks_from_float_nearest(price, 250_000_000)


@pytest.mark.parametrize(
    "text", ["", " ", "abc", "12,5", "NaN", "sNaN", "Infinity", "-inf", "0x10", "1e", "1.2.3", "--1", "1_0", "٣"]
)
def test_text_that_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="price") as error:
        ticks_from_text(text, 250_000_000)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "grid", "ticks"),
    [
        ("5000.00", 250_000_000, 20_000),
        ("5000.25", 250_000_000, 20_001),
        ("5E3", 250_000_000, 20_000),
        ("0", 250_000_000, 0),
        ("-0.25", 250_000_000, -1),
        ("300.01", 10_000_000, 30_001),
        ("0.000000001", 1, 1),
    ],
)
def test_known_prices(text: str, grid: int, ticks: int) -> None:
    assert ticks_from_text(text, grid) == ticks


def test_no_digit_is_rounded_away() -> None:
    """The default decimal context would round beyond 28 digits."""
    for text in ("5000." + "25" + "0" * 40 + "1", "0." + "0" * 30 + "1", "5000.2500000001"):
        with pytest.raises(OffGrid):
            ticks_from_text(text, 250_000_000)
    assert ticks_from_text("5000.25" + "0" * 60, 250_000_000) == 20_001
    with pytest.raises(ValueError, match="whole micros"):
        micros_from_text("1." + "0" * 40 + "1")


def test_magnitudes_are_bounded() -> None:
    """Int64 overflow in jitted code is silent, so nothing larger gets in."""
    assert ticks_from_nanos(TICK_MAX, 1) == TICK_MAX
    for beyond in (TICK_MAX + 1, -TICK_MAX - 1):
        with pytest.raises(OutOfRange):
            ticks_from_nanos(beyond, 1)
        with pytest.raises(OutOfRange):
            ticks_from_text(f"{beyond}", NANOS)
        with pytest.raises(OutOfRange):
            ticks_from_float_nearest(float(beyond), NANOS)
    for grid in (0, -1):
        with pytest.raises(OutOfRange, match="not positive"):
            ticks_from_nanos(100, grid)
        with pytest.raises(OutOfRange, match="not positive"):
            ticks_from_float_nearest(100.0, grid)
    with pytest.raises(OutOfRange):
        ticks_from_text("1e999999", 250_000_000)
    assert TICK_MAX * QTY_MAX < MONEY_MICROS_MAX < 2**63


@pytest.mark.parametrize(("units", "nano"), [(1, NANOS), (0, -NANOS), (1, -1), (-1, 1)])
def test_malformed_quotations_are_refused(units: int, nano: int) -> None:
    with pytest.raises(OutOfRange, match="malformed"):
        ticks_from_quotation(units, nano, 10_000_000)


@given(micros=st.integers(-MONEY_MICROS_MAX, MONEY_MICROS_MAX))
def test_money_and_text_are_inverse(micros: int) -> None:
    text = text_from_micros(micros)
    assert micros_from_text(text) == micros
    assert Decimal(text) == Decimal(micros) / MICROS
    assert text.split(".")[1].isdigit() and len(text.split(".")[1]) == 6


@pytest.mark.parametrize(
    "text", ["", "x", "NaN", "inf", "0.0000001", "1e-7", "1e400000", "1e999999", f"{MONEY_MICROS_MAX}"]
)
def test_text_that_is_no_money_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="money"):
        micros_from_text(text)


@pytest.mark.parametrize(
    ("grid", "decimals"), [(250_000_000, 2), (10_000_000, 2), (5_000_000, 3), (NANOS, 0), (10 * NANOS, 0)]
)
def test_decimals_of_a_grid(grid: int, decimals: int) -> None:
    assert tick_decimals(grid) == decimals


@pytest.mark.parametrize("symbol", sorted(INSTRUMENTS))
def test_instruments_are_consistent(symbol: str) -> None:
    """MES-INST-01: money per tick follows from the tick and the contract, and fits the kernel's integers."""
    found = instrument(symbol)
    assert instrument(symbol.lower()) is found and found.symbol == symbol
    assert found.tick_nanos > 0 and found.lot > 0
    assert 0 < found.tick_value_micros <= TICK_VALUE_MICROS_MAX
    assert found.fee_micros >= 0 and found.fee_ppm >= 0 and found.margin_micros >= 0
    if found.venue == "moex" and not found.hedge:
        assert found.tick_nanos * found.lot * MICROS % NANOS == 0, "a tick of a lot is no whole number of micros"
        assert found.tick_value_micros == found.tick_nanos * found.lot * MICROS // NANOS
        assert found.currency == "RUB" and found.calendar == "moex"
    else:
        point_value = found.tick_value_micros * NANOS // (found.tick_nanos * MICROS)
        assert point_value == {"MES": 5, "ES": 50, "MNQ": 2, "NQ": 20, "MXI": 10}[symbol]
        assert (found.currency, found.calendar) == (("RUB", "moex") if found.venue == "moex" else ("USD", "cme"))


def test_an_unknown_instrument_is_one_sentence() -> None:
    with pytest.raises(UnknownInstrument, match=r"unknown instrument 'ABC'; known: .*ES, "):
        instrument("ABC")
