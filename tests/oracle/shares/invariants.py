"""What must hold after every event of every life of shares: own orders within their limits, holds by their own rules,
nothing held that neither a stop covers nor an exit takes out.
"""

from tests.oracle.invariants import Broken, Watch
from tests.oracle.rules.facts import Event, S
from tests.oracle.rules.holds import BITS
from tests.oracle.shares import exposure
from tests.oracle.shares.desk import SharesDesk
from trading.core import records as r


class SharesWatch(Watch):
    """Checks one life of a desk of shares."""

    def _entered(self, instrument: int, qty: int) -> None:
        """An entry from flat, within its own limit and with what works already within those of the account."""
        d, limits = self.desk, self.desk.limits
        assert isinstance(d, SharesDesk)
        i = d.instruments[instrument]
        if i.qty != 0 or not self.seen.trading or qty > min(limits.qty_max, limits.position_max):
            raise Broken("an entry on a position, before the start, or too large")
        loss = qty * i.plan_stop * (i.tick_value or 0)
        day = max(0, d.lost_today(d.equity()))
        if loss > d.day_limit() - day or loss > limits.loss_total_micros_max - max(0, d.reference - d.equity()):
            raise Broken("an entry whose stop breaks a loss limit")
        if limits.gross_ppm_max and 10**6 * exposure.gross(d) > d.capital * limits.gross_ppm_max:
            raise Broken("an entry that breaks the gross limit")
        if limits.instrument_ppm_max and 10**6 * exposure.term(d, i) > d.capital * limits.instrument_ppm_max:
            raise Broken("an entry that breaks the limit of its instrument")

    def _may_clear(self, code: str, until: int | None, e: Event) -> bool:
        """A resume ends the pause, or what it names (MOEX-RISK-06); a pause with an end ends then."""
        if code == "OPERATOR_PAUSE" and until is not None and self.desk.now >= until:
            return True
        if e.kind == r.COMMAND and e.code == r.RESUME:
            named = bool(e.value >> BITS[code] & 1) if e.value else code == "OPERATOR_PAUSE"
            if code == "DAILY_LOSS" and named:
                return True
            if self.desk.book.table[code][1] == "OPERATOR":
                return named
        return super()._may_clear(code, until, e)

    def _apart(self, k: int, first: int) -> int:
        """Three attempts at once, then one a second (MOEX-ROUTE-03)."""
        return 0 if self.exits[k] < 3 else S
