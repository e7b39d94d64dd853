"""What pre-flight asks of this floor: the code on the disk, and the last drill of the kill switch.

The pages call it, and the shell by `settings.PREFLIGHT_EVIDENCE`: the command stands a floor below.
"""

import desk.celery  # noqa: F401 - makes the desk's app the one that pre-flight asks the workers through
from desk.jitcache import code_hash
from desk.ops.selectors import last_drill
from trading.preflight import checks


def evidence() -> checks.Evidence:
    """Read anew at every call; a drill counts when it succeeded (K-07)."""
    drill = last_drill()
    proved = drill if drill is not None and drill["ok"] else {}
    return checks.Evidence(code_on_disk=code_hash(), drill_at=proved.get("finished_at"), drill_ms=proved.get("ms"))
