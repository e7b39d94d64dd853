"""Numbers become text the same way everywhere: a table of cases run in the page's own module."""

from typing import Any

import pytest

from tests.web.desk.pages import Opener

pytestmark = [pytest.mark.processes, pytest.mark.browser]
NAN, NOTHING, INFINITE = "NaN", "undefined", "Infinity"
MES = '{"tick_nanos": 250000000, "decimals": 2}'
SBER = '{"tick_nanos": 10000000, "decimals": 2}'
WHOLE = '{"tick_nanos": 1000000000, "decimals": 0}'
FINE = '{"tick_nanos": 5000000, "decimals": 3}'
UNSIGNED = '{"sign": false}'
CASES: list[tuple[str, str]] = [
    # money: signed, two decimals, half to even, never NaN
    ('money(10000000, "USD")', "+$10.00"), ('money(-12500000, "USD")', "−$12.50"), ('money(0, "USD")', "$0.00"),
    ('money(-0, "USD")', "$0.00"), ('money(-4999, "USD")', "$0.00"), ('money(5000, "USD")', "$0.00"),
    ('money(15000, "USD")', "+$0.02"), ('money(25000, "USD")', "+$0.02"), ('money(25001, "USD")', "+$0.03"),
    ('money(-15000, "USD")', "−$0.02"), ('money(1240500000, "USD")', "+$1,240.50"),
    ('money(9007199254740991, "USD")', "+$9,007,199,254.74"), ('money(-1234567890000, "RUB")', "−1,234,567.89\u00a0₽"),
    ('money(840000, "RUB")', "+0.84\u00a0₽"), (f'money(1240500000, "USD", {UNSIGNED})', "$1,240.50"),
    (f'money(-1240500000, "USD", {UNSIGNED})', "−$1,240.50"), ('money(1000000, "EUR")', "+1.00\u00a0EUR"),
    ("money(1000000)", "+1.00"), ('money(null, "USD")', "—"), (f'money({NOTHING}, "USD")', "—"),
    (f'money({NAN}, "USD")', "—"), (f'money({INFINITE}, "USD")', "—"), ('money("7", "USD")', "—"),
    # the exact amount of a title
    ('exact(12345678, "USD")', "12.345678 USD"), ('exact(-1, "USD")', "−0.000001 USD"),
    ('exact(0, "RUB")', "0.000000 RUB"),
    ('exact(null, "USD")', "not known"),
    # prices: the venue's decimals, a point, no grouping
    (f"price(20049, {MES})", "5012.25"), (f"price(20050, {MES})", "5012.50"), (f"price(0, {MES})", "0.00"),
    (f"price(-3, {MES})", "−0.75"), (f"price(1, {MES})", "0.25"), (f"price(31234, {SBER})", "312.34"),
    (f"price(7, {SBER})", "0.07"), (f"price(1234567, {WHOLE})", "1234567"), (f"price(3, {FINE})", "0.015"),
    (f"price(null, {MES})", "—"), ("price(20049, undefined)", "—"), (f"price({NAN}, {MES})", "—"),
    # ticks, sizes, sides
    ("ticks(4)", "+4 t"), ("ticks(-8)", "−8 t"), ("ticks(0)", "0 t"), ("ticks(-0)", "0 t"), ("ticks(2.5)", "+2.5 t"),
    ("ticks(null)", "—"), ("size(2)", "L2"), ("size(-12000)", "S12000"), ("size(0)", "flat"), ("size(null)", "—"),
    ("side(1)", "BUY"), ("side(-1)", "SELL"), ("side(0)", "—"),
    # depth alone may be abbreviated; counts are grouped
    ("depth(9999)", "9999"), ("depth(12345)", "12.3k"), ("depth(250000)", "250k"), ("depth(null)", ""),
    ("count(1284)", "1,284"), ("count(0)", "0"), ("count(1000000)", "1,000,000"), ("count(null)", "—"),
    # ages and spans
    ("age(0)", "0.0 s"), ("age(-5)", "0.0 s"), ("age(240)", "0.2 s"), ("age(9949)", "9.9 s"), ("age(12000)", "12 s"),
    ("age(59600)", "1 min"), ("age(180000)", "3 min"), ("age(7500000)", "2 h 05"), (f"age({NAN})", "—"),
    ("span(74000000)", "0:01:14"), ("span(-1)", "0:00:00"), ("span(null)", "—"),
    # scores and times
    ("score(420000)", "+0.42"), ("score(-655000)", "−0.66"), ("score(-1000)", "0.00"), ("score(null)", "—"),
    ('time(1792000000000000, "UTC")', "17:46:40"), ('time(1792000000000000, "America/Chicago")', "12:46:40"),
    ('time(1792000000250000, "Europe/Moscow", {"tenths": true})', "20:46:40.2"), ('time(null, "UTC")', "—"),
    ('zoneName("America/Chicago")', "CT"), ('zoneName("Europe/Moscow")', "MSK"), ("zoneName(undefined)", "UTC"),
    ('words("NO_ENTRY")', "no entry"), ("words(null)", "—"),
    # plural forms and texts with values
    ('fill(ngettext("%(n)s new bar", "%(n)s new bars", 1), {"n": 1})', "1 new bar"),
    ('fill(ngettext("%(n)s new bar", "%(n)s new bars", 0), {"n": 0})', "0 new bars"),
    ('fill(ngettext("%(n)s new bar", "%(n)s new bars", 5), {"n": 5})', "5 new bars"),
    ('fill("a %(gone)s b", {})', "a undefined b"),
]  # fmt: skip

RUN = """async ([urls, calls]) => {
  const [format, texts] = await Promise.all(urls.map((url) => import(url)));
  const names = { ...format, ...texts };
  const run = new Map();
  const value = (text) => text === "undefined" ? undefined : text === "NaN" ? NaN : text === "Infinity" ? Infinity : JSON.parse(text);
  for (const [name, ...list] of calls) run.set(run.size, names[name](...list.map(value)));
  return [...run.values()];
}"""  # noqa: E501


def split(call: str) -> list[str]:
    """`f(a, {"b": 1})` → f, a, {"b": 1}: the page's policy forbids eval, so arguments travel as JSON."""
    name, _, rest = call.removesuffix(")").partition("(")
    found, depth, quoted, start = [name], 0, False, 0
    for i, sign in enumerate(rest):
        if sign == '"':
            quoted = not quoted
        if not quoted:
            depth += sign in "{(["
            depth -= sign in "})]"
            if sign == "," and depth == 0:
                found.append(rest[start:i].strip())
                start = i + 1
    return [*found, rest[start:].strip()]


def nested(call: str, run: Any) -> list[str]:
    """The arguments of a call, an inner call replaced by what it gives."""
    parts = split(call)
    inner = [part for part in parts[1:] if part.startswith("ngettext(")]
    for part in inner:
        (text,) = run([split(part)])
        parts[parts.index(part)] = '"' + text + '"'
    return parts


def test_the_number_table(open_page: Opener) -> None:
    """UI-34: signs, -0, zero, huge, unknown, NaN, plural forms; each renders exactly."""
    page = open_page("/sessions/")
    loaded = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    urls = [next(url for url in loaded if f"/desk/{name}." in url) for name in ("format", "texts")]

    def run(calls: list[list[str]]) -> list[str]:
        found: list[str] = page.evaluate(RUN, [urls, calls])
        return found

    assert len(CASES) >= 60
    found = run([nested(call, run) for call, _ in CASES])
    faults = [(call, text, wanted) for (call, wanted), text in zip(CASES, found, strict=True) if text != wanted]
    assert not faults, faults
