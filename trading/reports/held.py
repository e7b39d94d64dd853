"""What pages say of holds beside the table's own words: what a hold is about, and the label of the account."""

from typing import Any

from marketdata.core.instruments import INSTRUMENTS
from trading.core.watch.told import stages_of
from trading.models import HoldEvent

# symbols of hedges: their round trips are money and no trades: not in win rate, count or average (MOEX-HEDGE-05)
HEDGES = [symbol for symbol, listed in INSTRUMENTS.items() if listed.hedge == 1]


def about(row: HoldEvent) -> str:
    """The instrument of an instrument's hold, the stages that are slow of LATENCY, else nothing."""
    if row.instrument < 0:
        return stages_of(row.value) if row.code == "LATENCY" else ""
    listed = (row.session.spec or {}).get("instruments", [])
    return listed[row.instrument]["symbol"] if row.instrument < len(listed) else ""


def account_label(holds: list[dict[str, Any]]) -> str:
    """The label of the strongest of these, strongest first; an instrument's does not count (MOEX-TERM-04)."""
    return next((str(hold["label"]) for hold in holds if hold["scope"] == "account"), "ACTIVE")
