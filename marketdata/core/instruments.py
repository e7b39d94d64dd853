"""What the desk knows of each instrument: tick, lot, tick value, currency, fees.  The one place for these numbers.

MES-INST-01: the values stand here only; a live or paper start compares them with the broker's own record.
Futures carry a fee per contract and side, MOEX shares a fee in parts per million of the value.
"""

from dataclasses import dataclass

from marketdata.core.units import MICROS, NANOS


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable thing.  Prices are ticks of `tick_nanos`; `tick_value_micros` is money per tick and contract."""

    symbol: str
    venue: str  # "cme" or "moex"
    currency: str
    tick_nanos: int  # tick size in 1e-9 of the quoted price
    lot: int  # units in one contract or lot
    tick_value_micros: int
    fee_micros: int  # per contract and side
    fee_ppm: int  # of the traded value, per side
    margin_micros: int  # assumed intraday margin per contract (MES-INST); 0 for shares
    calendar: str  # name in marketdata.calendars
    hedge: int = 0  # 1: an index future that hedges shares and is never entered (MOEX-HEDGE-03)


def _future(symbol: str, tick_value_micros: int, fee_micros: int, margin: int) -> Instrument:
    return Instrument(
        symbol=symbol,
        venue="cme",
        currency="USD",
        tick_nanos=250_000_000,
        lot=1,
        tick_value_micros=tick_value_micros,
        fee_micros=fee_micros,
        fee_ppm=0,
        margin_micros=margin * MICROS,
        calendar="cme",
    )


def _share(symbol: str, tick_nanos: int, lot: int) -> Instrument:
    return Instrument(
        symbol=symbol,
        venue="moex",
        currency="RUB",
        tick_nanos=tick_nanos,
        lot=lot,
        tick_value_micros=tick_nanos * lot * MICROS // NANOS,
        fee_micros=0,
        fee_ppm=500,  # 5 bps a side (MOEX-PAPER-01)
        margin_micros=0,
        calendar="moex",
    )


def _index_future(symbol: str, tick_nanos: int, tick_value_micros: int, fee_micros: int, margin: int) -> Instrument:
    """Of the Moscow Exchange.  Its document names no commission, and 5 bps a side never pass MOEX-HEDGE-03's 8."""
    return Instrument(
        symbol=symbol,
        venue="moex",
        currency="RUB",
        tick_nanos=tick_nanos,
        lot=1,
        tick_value_micros=tick_value_micros,
        fee_micros=fee_micros,
        fee_ppm=0,
        margin_micros=margin * MICROS,
        calendar="moex",
        hedge=1,
    )


# of the other shares that a universe of thirty watches: symbol, tick in 1e-9 RUB, shares a lot
_MORE_SHARES = (
    ("SBERP", 10_000_000, 1), ("TATN", 100_000_000, 1), ("TATNP", 100_000_000, 1), ("NVTK", 200_000_000, 1),
    ("SNGS", 5_000_000, 100), ("SNGSP", 5_000_000, 10), ("PLZL", 200_000_000, 1), ("CHMF", 200_000_000, 1),
    ("NLMK", 20_000_000, 10), ("MAGN", 5_000_000, 10), ("MTSS", 50_000_000, 10), ("MGNT", 500_000_000, 1),
    ("AFLT", 10_000_000, 10), ("ALRS", 10_000_000, 10), ("PHOR", 1_000_000_000, 1), ("RUAL", 5_000_000, 10),
    ("IRAO", 500_000, 100), ("HYDR", 100_000, 1_000), ("FEES", 20_000, 10_000), ("PIKK", 100_000_000, 1),
    ("RTKM", 10_000_000, 10), ("AFKS", 1_000_000, 100), ("CBOM", 2_000_000, 100), ("VKCO", 100_000_000, 1),
)  # fmt: skip

INSTRUMENTS: dict[str, Instrument] = {
    i.symbol: i
    for i in (
        _future("MES", 1_250_000, 420_000, 50),
        _future("ES", 12_500_000, 1_060_000, 500),
        _future("MNQ", 500_000, 420_000, 60),
        _future("NQ", 5_000_000, 1_060_000, 600),
        _share("SBER", 10_000_000, 10),
        _share("GAZP", 10_000_000, 10),
        _share("LKOH", 500_000_000, 1),
        _share("ROSN", 50_000_000, 1),
        _share("GMKN", 20_000_000, 10),
        _share("VTBR", 5_000_000, 1),
        *(_share(*row) for row in _MORE_SHARES),
        _index_future("MXI", 50_000_000, 500_000, 4_000_000, 5_000),
    )
}


class UnknownInstrument(KeyError):
    """A symbol that is not in INSTRUMENTS."""

    def __str__(self) -> str:
        return f"unknown instrument {self.args[0]!r}; known: {', '.join(sorted(INSTRUMENTS))}"


def instrument(symbol: str) -> Instrument:
    """The instrument of this symbol.  Raises UnknownInstrument."""
    try:
        return INSTRUMENTS[symbol.upper()]
    except KeyError:
        raise UnknownInstrument(symbol) from None
