"""The answer to "why" as text: lines for a terminal, rows for a file, plain values for JSON.

Names carry their unit, values are exact: times ISO 8601 in UTC, money and limits in the journal's own integers beside
the words for people.  Called by `manage.py why` and by the page's CSV.
"""

from typing import Any

from trading.reports.tables import time_text, words
from trading.reports.why.answer import Decided, Row, Why
from trading.reports.why.words import money_word, ppm_word, side_word

HEAD = (
    "place", "rule", "control", "verdict", "reached", "reason", "saw", "limit", "unit", "limit_value", "used_value",
    "left_value",
)  # fmt: skip
SIGNS = {"passes": "●", "refuses": "■", "let pass": "▲", "not asked": "—"}


def stamp(us: int) -> str:
    """µs → ISO 8601 in UTC."""
    return time_text(us * 1000)


def table(found: Why) -> list[list[str]]:
    """One row a gauge, and one for each rule without one; or the causes of a silence.  The heading first."""
    if found.decided is None:
        return [["cause", "text"], *([cause.code, words(cause.text)] for cause in found.quiet)]
    rows = [list(HEAD)]
    for row in found.decided.rows:
        start = [str(row.place), row.rule, row.control, row.verdict, str(row.reached).lower(), row.reason]
        start.append(words(row.saw))
        rows += [start + _gauge(gauge) for gauge in row.gauges] or [[*start, "", "", "", "", ""]]
    return rows


def _gauge(gauge: dict[str, Any]) -> list[str]:
    return [gauge["name"], gauge["unit"], *(str(gauge[name]) for name in ("value", "used_value", "left_value"))]


def values(found: Why) -> dict[str, Any]:
    """Everything, for JSON."""
    plain = found._asdict() | {"quiet": [cause._asdict() for cause in found.quiet]}
    if found.decided is not None:
        decided = found.decided._asdict()
        decided["rows"] = [row._asdict() for row in found.decided.rows]
        decided["refusing"] = None if found.decided.refusing is None else found.decided.refusing._asdict()
        plain["decided"] = decided
    return plain


def lines(found: Why) -> list[str]:
    """For a terminal."""
    if found.decided is None:
        at = found.last_us if found.asked_us is None else found.asked_us
        said = [f"no decision within a minute of {stamp(at)}"]
        said += [f"  {cause.code}: {cause.text}" for cause in found.quiet]
    else:
        said = _decided(found.decided)
    for name, place in (("previous", found.previous), ("next", found.following)):
        said.append(f"{name} decision: " + (f"journal {place[0]}, {stamp(place[1])}" if place else "none near"))
    return said


def headline(d: Decided) -> str:
    """Taken or refused, in one line."""
    what = f"{side_word(d.side)} {d.qty} {d.symbol}"
    if d.code == 0:
        return f"taken: {what}, order {d.order_number}{_override(d)}"
    control = f" ({d.refusing.control})" if d.refusing is not None else ""
    return f"refused: {what}: {d.verdict}{control}{_override(d)}"


def _override(d: Decided) -> str:
    return f"; {d.overridden} was let pass by two persons, command {d.override_ref}" if d.overridden else ""


def _decided(d: Decided) -> list[str]:
    said = [f"{stamp(d.ts_us)}  journal {d.seq}  {headline(d)}"]
    said += [f"  {d.sentence}"] if d.sentence else []
    score = f"  score {ppm_word(d.score_ppm)}, confidence {ppm_word(d.confidence_ppm).lstrip('+')}"
    said.append(score + (", a reversal that goes on" if d.continued else ""))
    said.append(f"  configuration {d.version or 'none'}, inputs {d.inputs_sha256}")
    holds = ", ".join(f"{row['code']}{' (due)' if row['due'] else ''}" for row in d.holds)
    said.append(f"  holds: {holds or 'none'}; position {d.position}; working orders {len(d.orders)}")
    money = {name: "not known" if v is None else money_word(v, "") for name, v in d.money.items()}
    said.append("  " + "; ".join(f"{name.removesuffix('_micros')} {text.strip()}" for name, text in money.items()))
    if not d.same:
        return [*said, "  REPLAY DIFFERS from the journal: other code, or a damaged journal; no margins are shown"]
    if not d.proven:
        return [*said, "  the rules, asked again, do not give the recorded answer: no margins are shown"]
    return said + [line for row in d.rows for line in _rule(row)]


def _rule(row: Row) -> list[str]:
    said = row.verdict if row.reached or row.verdict == "not asked" else f"not reached, {row.verdict}"
    first = f"  {row.place:>2} {SIGNS[row.verdict]} {row.rule:<16} {said:<22} {row.reason or row.saw}"
    first += f": {row.saw}" if row.reason else ""
    return [first, *(f"       {gauge['sentence']}" for gauge in row.gauges)]
