"""A session's own conduct for people: orders against trades, patterns that a venue would ask about (T-07, T-08).

The figures are the journal's (`trading.run.conduct`); here instruments get their names and times their text.
"""

from typing import Any

from trading.control import session_folder
from trading.reports.tables import time_text
from trading.run.conduct.patterns import conduct_of
from trading.run.spec import load_spec


def conduct_rows(session_id: int) -> list[dict[str, Any]]:
    """One row a trading day, then one a pattern.  Raises SpecError (no such session), JournalBroken."""
    folder = session_folder(session_id)
    spec, report = load_spec(folder), conduct_of(folder)
    rows: list[dict[str, Any]] = []
    for day, counts in report.days.items():
        ratio = round(counts["orders"] / max(1, counts["traded"]) - 1, 2)  # RTS 9: without a trade the orders alone
        messages = round(counts["messages"] / max(1, counts["fills"]), 2)
        rows.append({"day": day, **counts, "orders_to_trades": ratio, "messages_a_fill": messages})
    for found in report.patterns:
        row = {"pattern": found.kind, "day": found.day, "at": time_text(found.ts_ns), "what": found.text}
        rows.append(row | {"symbol": spec.instruments[found.instrument].symbol, "orders": list(found.orders)})
    return rows
