"""What pages say of holds beside the table's own words: what a hold is about, and the label of the account."""

from typing import Any

from trading.core.watch.told import stages_of
from trading.models import HoldEvent


def about(row: HoldEvent) -> str:
    """The instrument of an instrument's hold, the stages that are slow of LATENCY, else nothing."""
    if row.instrument < 0:
        return stages_of(row.value) if row.code == "LATENCY" else ""
    listed = (row.session.spec or {}).get("instruments", [])
    return listed[row.instrument]["symbol"] if row.instrument < len(listed) else ""


def account_label(holds: list[dict[str, Any]]) -> str:
    """The label of the strongest of these, strongest first; an instrument's does not count (MOEX-TERM-04)."""
    return next((str(hold["label"]) for hold in holds if hold["scope"] == "account"), "ACTIVE")
