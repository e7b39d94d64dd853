"""Exact conversion between what venues write and the integers the desk works in.

Prices become ticks, money becomes micros of the account's currency, times become ns UTC.  A price that is not on
the tick grid is refused, never rounded; rounding happens only in a function whose name says so.  The magnitudes
below keep every product that the kernel forms inside int64, where jitted code would overflow silently.
"""

from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext

MICROS = 1_000_000  # micros in one unit of money
NANOS = 1_000_000_000  # ns in a second; also the 1e-9 price units of DBN and T-Invest
PPM = 1_000_000

TICK_MAX = 2**31  # largest price in ticks
QTY_MAX = 1_000_000  # largest quantity of one order or position
TICK_VALUE_MICROS_MAX = 1_000_000_000  # 1,000 units of money a tick
MONEY_MICROS_MAX = 2**62
PRICE_MAX = 10**12  # of a price as text, before it is known in ticks

# the largest single product in the ledger, price x quantity, leaves room for a tick value applied to a difference
assert TICK_MAX * QTY_MAX < MONEY_MICROS_MAX


class OffGrid(ValueError):
    """A price that is no whole number of ticks; the message names the price and the tick."""


class OutOfRange(ValueError):
    """A magnitude that the kernel's integers do not carry."""


def _short(text: str) -> str:
    """For messages: hostile text may be long."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _number(text: str, what: str) -> Decimal:
    """A finite decimal in plain digits.  Decimal would also take 1_000 and the digits of other scripts."""
    try:
        if "_" in text or not text.isascii():
            raise InvalidOperation
        number = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError(f"{_short(text)} is not {what}") from None
    if not number.is_finite():
        raise ValueError(f"{_short(text)} is not {what}: it is not finite")
    return number


def _scaled(number: Decimal, scale: int) -> int | None:
    """number × scale when that is a whole number, else None.  Never rounds, however many digits there are."""
    try:
        with localcontext(Context(prec=60, traps=[Inexact])):
            product = number * scale
    except Inexact:
        return None
    return int(product) if product == product.to_integral_value() else None


def ticks_from_nanos(price_nanos: int, tick_nanos: int) -> int:
    """Price in 1e-9 units → ticks.  Raises OffGrid when it is not on the grid, OutOfRange beyond ±TICK_MAX."""
    if tick_nanos <= 0:
        raise OutOfRange(f"tick size {tick_nanos} nanos is not positive")
    ticks, rest = divmod(price_nanos, tick_nanos)
    if rest:
        raise OffGrid(
            f"price {Decimal(price_nanos) / NANOS} is not a multiple of the tick {Decimal(tick_nanos) / NANOS}"
        )
    if abs(ticks) > TICK_MAX:
        raise OutOfRange(f"price of {ticks} ticks is beyond {TICK_MAX}")
    return ticks


def ticks_from_text(text: str, tick_nanos: int) -> int:
    """Decimal text ("5012.25") → ticks, exactly.  Raises ValueError for what is no finite number, else as above."""
    price = _number(text, "a price")
    if abs(price) > PRICE_MAX:
        raise OutOfRange(f"price {_short(text)} is beyond {PRICE_MAX}")
    nanos = _scaled(price, NANOS)
    if nanos is None:
        raise OffGrid(f"price {_short(text)} is finer than 1e-9")
    return ticks_from_nanos(nanos, tick_nanos)


def ticks_from_quotation(units: int, nano: int, tick_nanos: int) -> int:
    """A T-Invest Quotation (units, nano of the same sign) → ticks."""
    if abs(nano) >= NANOS or units * nano < 0:
        raise OutOfRange(f"quotation units={units} nano={nano} is malformed")
    return ticks_from_nanos(units * NANOS + nano, tick_nanos)


def ticks_from_float_nearest(price: float, tick_nanos: int) -> int:
    """Float points → the nearest tick; refused when further than 1e-6 of a tick from it (MES-DATA-03, rule 3)."""
    if tick_nanos <= 0:
        raise OutOfRange(f"tick size {tick_nanos} nanos is not positive")
    exact = price * NANOS / tick_nanos
    if exact != exact or exact in (float("inf"), float("-inf")):
        raise ValueError(f"{price!r} is not a finite price")
    ticks = round(exact)
    if abs(exact - ticks) > 1e-6:
        raise OffGrid(f"price {price} is not a multiple of the tick {Decimal(tick_nanos) / NANOS}")
    if abs(ticks) > TICK_MAX:
        raise OutOfRange(f"price of {ticks} ticks is beyond {TICK_MAX}")
    return ticks


def text_from_ticks(ticks: int, tick_nanos: int) -> str:
    """Ticks → plain decimal text with the decimals of the tick size."""
    decimals = tick_decimals(tick_nanos)
    return f"{Decimal(ticks * tick_nanos) / NANOS:.{decimals}f}"


def tick_decimals(tick_nanos: int) -> int:
    """Decimals that a price on this grid needs (0.25 → 2)."""
    exponent = (Decimal(tick_nanos) / NANOS).normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def micros_from_text(text: str) -> int:
    """Decimal money text → micros, exactly.  Raises ValueError for what is no number or finer than a micro, OutOfRange
    beyond ±MONEY_MICROS_MAX."""
    amount = _number(text, "an amount of money")
    micros = None
    if abs(amount) <= MONEY_MICROS_MAX:  # a first bound, so that no huge number is expanded
        micros = _scaled(amount, MICROS)
    if abs(amount) > MONEY_MICROS_MAX or (micros is not None and abs(micros) > MONEY_MICROS_MAX):
        raise OutOfRange(f"{_short(text)} is more money than the desk can count")
    if micros is None:
        raise ValueError(f"{_short(text)} is not an amount of money in whole micros")
    return micros


def text_from_micros(micros: int) -> str:
    """Micros → decimal text with six decimals, exact."""
    sign = "-" if micros < 0 else ""
    whole, part = divmod(abs(micros), MICROS)
    return f"{sign}{whole}.{part:06d}"
