"""Template filters of the server-made pages: words, money, prices and times from the integers that selectors give."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from django import template

from desk.dashboard.forms import FEED_HELP
from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.units import MICROS, text_from_ticks

register = template.Library()
UNKNOWN = "—"
SYMBOLS = {"USD": ("$", ""), "RUB": ("", " ₽")}


@register.filter
def feed_help(value: object) -> str:
    """One sentence about a market."""
    return FEED_HELP.get(str(value), "")


@register.filter
def money(micros: int | None, currency: str = "") -> str:
    """Signed money with two decimals, half to even; unknown is a dash."""
    if micros is None:
        return UNKNOWN
    amount = (Decimal(micros) / MICROS).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    before, after = SYMBOLS.get(currency, ("", f" {currency}" if currency else ""))
    sign = "−" if amount < 0 else "+" if amount > 0 else ""
    return f"{sign}{before}{abs(amount):,.2f}{after}"


@register.filter
def amount(micros: int | None, currency: str = "") -> str:
    """Money that is no result: without a plus."""
    return money(micros, currency).removeprefix("+")


@register.filter
def tone(micros: int | None) -> str:
    """The class of a signed amount."""
    return "" if micros is None or micros == 0 else "up" if micros > 0 else "down"


@register.filter
def price(tick: int | None, symbol: str) -> str:
    """A price in the venue's decimals."""
    return UNKNOWN if tick is None else text_from_ticks(tick, INSTRUMENTS[symbol].tick_nanos)


@register.filter
def side(value: int) -> str:
    return "BUY" if value > 0 else "SELL" if value < 0 else UNKNOWN


@register.filter
def words(code: object) -> str:
    """A code as words: NO_ENTRY → no entry."""
    return str(code).replace("_", " ").lower()


@register.filter
def utc(us: int | None) -> str:
    """µs UTC → date and time."""
    return UNKNOWN if us is None else f"{datetime.fromtimestamp(us / MICROS, UTC):%Y-%m-%d %H:%M:%S}"


@register.filter
def iso_utc(text: str | None) -> str:
    """ISO text with an offset → date and time in UTC."""
    return UNKNOWN if not text else f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S}"
