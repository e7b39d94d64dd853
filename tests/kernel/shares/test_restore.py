"""What a restored desk makes of the broker's positions: MOEX-RISK-13 less its first half, which asks to adopt them."""

from marketdata.core.records import BUY
from risk.core.holds import BIT
from tests.kernel.desk import sent, standing
from tests.kernel.shares.test_conditions import two
from trading.core import records as r
from trading.run.replica import Kernel


def test_the_brokers_position_is_never_added_to_a_restored_one_moex_risk_13() -> None:
    """Restored from a snapshot, linked anew: the same position is agreed on, another held, told, never adopted."""
    desk = two()
    desk.enter(BUY)
    held = int(desk.position(0).qty)
    working = [int(order.number) for order in desk.live()]
    desk.kernel = Kernel.restore(desk.kernel.snapshot())
    desk.event(r.LINK, code=r.LINK_EXECUTION, value=0)
    desk.event(r.LINK, code=r.LINK_EXECUTION, value=1)
    assert desk.account.reconciled == 0 and held > 0
    desk.reconcile([(0, held)], working)
    assert desk.account.reconciled == 1 and int(desk.position(0).qty) == held
    assert "RECON_MISMATCH" not in standing(desk)
    out = desk.reconcile([(0, 3 * held), (1, held)], working)
    told = [(int(o.value), int(o.volume)) for o in sent(out, r.HOLD_RAISED) if o.code == BIT["RECON_MISMATCH"]]
    assert told[:1] == [(3 * held, held)], "what the broker has, and what we have: the audit log's row"
    assert desk.account.reconciled == 0 and "RECON_MISMATCH" in standing(desk)
    assert (int(desk.position(0).qty), int(desk.position(1).qty)) == (held, 0)
