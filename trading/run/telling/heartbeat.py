"""Books that stay away while a traded session is open: hold HEARTBEAT (MOEX-MON-05).

Looked at by the risk loop, which is there when the feed loop is not, against what its kernel has seen: so a takeover
forgets nothing, and a replay finds the event in the journal.  Ends once books flow and INTEGRITY does not stand.
"""

import numpy as np

from marketdata.core.records import NO_TIME
from marketdata.core.sessions import AFTER_HOURS, window_at
from risk.core.holds import BIT
from risk.core.records import MOEX
from trading.core.records import CONDITION
from trading.run.journal.recovery import account_event
from trading.run.replica import Kernel

BEATS = 3  # missed in a row
_HEARTBEAT, _INTEGRITY = BIT["HEARTBEAT"], BIT["INTEGRITY"]
_NOTHING = account_event(CONDITION, _HEARTBEAT, NO_TIME)[:0]


class Heartbeat:
    """`every_ns`: how often a book is due; `begun_ns`: when the session began.  Session clock."""

    def __init__(self, every_ns: int, begun_ns: int) -> None:
        self._every_ns, self._begun_ns = every_ns, begun_ns

    def due(self, kernel: Kernel, now_ns: int) -> np.ndarray:
        """The CONDITION that brings the kernel to what is so at session time `now_ns`; (0,) where it is there."""
        account, params = kernel.state.account[0], kernel.params
        if account.rules != MOEX or account.version == 0 or params.limits[0].bar_mode == 1:
            return _NOTHING
        at = window_at(params.windows, account.window_count, now_ns)
        if at < 0 or params.windows[at].phase == AFTER_HOURS:
            return _NOTHING  # outside of a session nobody owes a book
        seen_ns = int(kernel.state.positions["quote_ts_ns"][: int(account.instruments)].max())
        silent_ns = now_ns - max(seen_ns, self._begun_ns, int(params.windows[at].start_ns))
        standing = bool(int(account.holds) >> _HEARTBEAT & 1)
        if not standing and silent_ns >= BEATS * self._every_ns:
            return _said(True, silent_ns, now_ns)
        flowing = seen_ns != NO_TIME and now_ns - seen_ns <= self._every_ns
        if standing and flowing and not int(account.holds) >> _INTEGRITY & 1:
            return _said(False, 0, now_ns)
        return _NOTHING


def _said(on: bool, silent_ns: int, now_ns: int) -> np.ndarray:
    event = account_event(CONDITION, _HEARTBEAT, now_ns, value=int(on))
    event["qty"] = silent_ns
    return event
