"""The compact status strip of pages without a socket: mode, state, holds, latch, loops and their ages, "as of".

Made from files and ledger rows; a database that does not answer is said, and never keeps a page from its KILL button.
"""

from typing import Any

from django import template
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from trading import selectors
from trading.run.latch import read_latch

register = template.Library()


def is_late(row: dict[str, Any]) -> bool:
    """Whether a loop's heartbeat is older than its lease allows, or unknown."""
    return row["age_s"] is None or row["age_s"] * 1000 > row["limit_ms"]


@register.inclusion_tag("dashboard/mini_strip.html", takes_context=True)
def mini_strip(context: Any) -> dict[str, Any]:
    """Of the newest session that runs; without one, says so."""
    shown: dict[str, Any] = {"latch": read_latch(settings.VAR), "now": timezone.now(), "user": context.get("user")}
    try:
        rows = selectors.running_sessions()
        if rows:
            found = selectors.strip_values(rows[0]["id"])
            held = [row for row in found["positions"] if row["qty"]]
            shown |= {
                "session": rows[0],
                "others": len(rows) - 1,
                "label": found["label"],
                "holds": found["holds"],
                "held": held,
                "loops": [row | {"late": is_late(row)} for row in found["loops"]],
            }
    except DatabaseError as error:
        shown["fault"] = str(error)
    return shown
