"""What a stored report of the gate says, as one hash: a row that somebody changed is found out (MOEX-GATE-02)."""

import json
from datetime import UTC

from trading.golive.lineage import digest
from trading.golive.models import GateReport

MES, MOEX = "mes", "moex"  # gates, named as their rulebooks
SAID = ("gate", "profile", "lineage", "account_id", "passed", "rehearsal", "rows", "figures", "inputs", "by")


def hash_of(row: GateReport) -> str:
    """SHA-256 (hex) over all that a report says; another one than the row's own: somebody changed it."""
    said = {name: getattr(row, name) for name in SAID}
    return digest(json.loads(json.dumps(said | {"made_at": row.made_at.astimezone(UTC).isoformat()})))
