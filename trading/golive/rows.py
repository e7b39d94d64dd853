"""What a stored report of the gate says, as one hash: a row that somebody changed is found out (MOEX-GATE-02)."""

import json
from datetime import UTC
from decimal import Decimal
from typing import Any

from trading.golive.lineage import digest
from trading.golive.models import GateReport

MES, MOEX = "mes", "moex"  # gates, named as their rulebooks
SAID = ("gate", "profile", "lineage", "account_id", "passed", "rehearsal", "rows", "figures", "inputs", "by")


def hash_of(row: GateReport) -> str:
    """SHA-256 (hex) over all that a report says; another one than the row's own: somebody changed it."""
    said = {name: getattr(row, name) for name in SAID}
    return digest(stable(json.loads(json.dumps(said | {"made_at": row.made_at.astimezone(UTC).isoformat()}))))


def stable(values: Any) -> Any:
    """JSON values as every database gives them back: PostgreSQL keeps numbers as decimals, so it returns 1e16 as an
    integer and -0.0 as 0.0.  A float without a fraction is the integer of the decimal that it is written as."""
    if isinstance(values, dict):
        return {name: stable(value) for name, value in values.items()}
    if isinstance(values, list):
        return [stable(value) for value in values]
    return int(Decimal(repr(values))) if isinstance(values, float) and values.is_integer() else values
