"""Template filters of the server-made pages: words, money, prices and times from the integers that selectors give."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from django import template

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.units import MICROS, text_from_ticks
from trading.reports.held import HEDGES

register = template.Library()
UNKNOWN = "—"
SYMBOLS = {"USD": ("$", ""), "RUB": ("", " ₽")}


@register.filter
def feed_help(value: object) -> str:
    """One sentence about a market."""
    from desk.dashboard.forms import FEED_HELP  # every process loads the filters, few a form

    return str(FEED_HELP.get(str(value), ""))


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
def grouped(value: int | None) -> str:
    """A count with its thousands parted: 33,200,000."""
    return UNKNOWN if value is None else f"{value:,}"


@register.filter
def size(qty: int) -> str:
    """A position without its sign: the side stands beside it as a letter."""
    return str(abs(qty))


@register.filter
def words(code: object) -> str:
    """A code as words: NO_ENTRY → no entry."""
    return str(code).replace("_", " ").lower()


@register.filter
def utc(us: int | None) -> str:
    """µs UTC → date and time."""
    return UNKNOWN if us is None else f"{datetime.fromtimestamp(us / MICROS, UTC):%Y-%m-%d %H:%M:%S}"


@register.filter
def clock(us: int | None) -> str:
    """µs UTC → the time of day with milliseconds; the day stands in the title."""
    return UNKNOWN if us is None else f"{datetime.fromtimestamp(us / MICROS, UTC):%H:%M:%S.%f}"[:-3]


@register.filter
def iso(us: int | None) -> str:
    """µs UTC → ISO 8601 with its offset."""
    return UNKNOWN if us is None else datetime.fromtimestamp(us / MICROS, UTC).isoformat()


@register.filter
def span(us: int | None) -> str:
    """A length of time in µs: "412 ms", "12.0 s", "3 min 05", "2 h 05"."""
    if us is None:
        return UNKNOWN
    seconds = us / MICROS
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds) % 60:02d}"
    return f"{minutes // 60} h {minutes % 60:02d}"


@register.filter
def since(later: int | None, earlier: int | None) -> str:
    """The span between two times in µs."""
    return UNKNOWN if later is None or earlier is None else span(later - earlier)


@register.filter
def ppm(value: int | None) -> str:
    """Parts per million of 1 with two decimals and its sign: "+0.42"."""
    if value is None:
        return UNKNOWN
    text = f"{abs(value) / MICROS:.2f}"
    return text if text == "0.00" else f"{'−' if value < 0 else '+'}{text}"


@register.filter
def exact(micros: int | None, currency: str = "") -> str:
    """The exact amount for a title."""
    return "not known" if micros is None else f"{Decimal(micros) / MICROS:.6f} {currency}".strip()


@register.filter
def iso_utc(text: str | None) -> str:
    """ISO text with an offset → date and time in UTC."""
    return UNKNOWN if not text else f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S}"


@register.filter
def hundredths(value: int | None) -> str:
    """Hundredths of a point → points with two decimals."""
    return UNKNOWN if value is None else f"{value / 100:.2f}"


@register.filter
def is_hedge(symbol: str) -> bool:
    """Whether its round trips are money and no trades (MOEX-HEDGE-05)."""
    return symbol in HEDGES
