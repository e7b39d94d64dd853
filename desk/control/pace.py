"""How many commands a minute one person may give: 30 (MOEX-SEC-05).  Flatten, kill and stop never wait.

Counted in the web process, by the monotonic clock: a reduction must not depend on the database.  Called by the views
that give commands, before they look at anything else.
"""

import threading
import time
from collections import defaultdict, deque

COMMANDS_MAX = 30
WINDOW_S = 60.0
EXEMPT = ("flatten", "kill", "stop")
SENTENCE = f"more than {COMMANDS_MAX} commands in a minute: wait a little; Flatten, Stop and KILL are never held up"

_given: dict[object, deque[float]] = defaultdict(deque)
_lock = threading.Lock()


def take(person: object, kind: str, now_s: float | None = None) -> bool:
    """Count one command of a person (any hashable); False when the minute is full.  Exempt kinds are not counted."""
    if kind in EXEMPT:
        return True
    now = time.monotonic() if now_s is None else now_s
    with _lock:
        times = _given[person]
        while times and now - times[0] >= WINDOW_S:
            times.popleft()
        if len(times) >= COMMANDS_MAX:
            return False
        times.append(now)
        return True
