"""What must hold whatever happens: positions are sums of fills, under holds exposure never grows."""

import numpy as np
import pytest

from risk.core.holds import ENTRY_MASK, FLATTEN_MASK
from risk.core.records import MES
from tests.kernel.desk import Desk
from tests.kernel.tape import Tape
from trading.core import records as r
from trading.core.kernel import run
from trading.run.replica import Kernel

SEEDS = range(40)


class Watch:
    """The invariants, checked after every event.  `signed` is the independent sum of fills."""

    def __init__(self, desk: Desk) -> None:
        self.signed = 0
        self.cash_micros = 0
        self.holds = int(desk.account.holds)
        self.ref = int(desk.account.venue_ref)

    def __call__(self, desk: Desk, kind: int, outputs: list[np.record]) -> None:
        self._ledger(desk, kind)
        position = int(desk.position().qty)
        held_before = self.holds & int(ENTRY_MASK[MES])
        for o in outputs:
            if o.kind != r.SUBMIT:
                continue
            if o.role == r.ENTRY:
                assert held_before == 0 and position == 0, "no entry under a hold or on top of a position"
            else:
                assert int(o.side) * position < 0 and int(o.qty) <= abs(position), "an exit can only reduce"
        self.holds = int(desk.account.holds)
        if self.holds & int(FLATTEN_MASK[MES]) and position != 0:
            assert desk.position().closing == 1

    def _ledger(self, desk: Desk, kind: int) -> None:
        if kind == r.FILL and desk.account.venue_ref > self.ref:
            self.ref = int(desk.account.venue_ref)
        fills = int(desk.account.fills)
        assert fills >= 0
        a, p = desk.account, desk.position()
        assert a.balance_micros == 10_000_000_000 + a.realised_micros - a.fees_micros
        assert p.qty * p.cost_ticks >= 0
        if p.qty == 0:
            assert p.cost_ticks == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_invariants_over_a_random_life(seed: int) -> None:
    tape = Tape(seed)
    tape.run(400, Watch(tape.desk))
    fills = [o for o in tape.desk.sent if o.kind == r.TRADE_CLOSED]
    net = sum(int(o.value) for o in fills)
    if tape.desk.position().qty == 0:
        assert tape.desk.account.balance_micros == 10_000_000_000 + net, f"seed {seed}: Σ trades = change of balance"


@pytest.mark.parametrize("seed", range(6))
def test_the_batch_loop_decides_as_step_does(seed: int) -> None:
    """`run` takes short cuts where nothing can follow; state and numbering must be those of `step`, to the bit."""
    tape = Tape(seed)
    tape.run(400)
    batch = Kernel()
    count = run(batch.state, batch.params, np.concatenate(tape.desk.given), batch.out)
    assert batch.snapshot() == tape.desk.kernel.snapshot()
    assert count == len(tape.desk.sent)


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert Tape(7).run(300) == Tape(7).run(300)
    assert Tape(7).run(300) != Tape(8).run(300)


def test_the_tapes_reach_the_whole_life() -> None:
    """The property test would be worth little if its tapes never traded."""
    seen: set[int] = set()
    for seed in SEEDS:
        tape = Tape(seed)
        tape.run(200)
        seen |= {int(o.kind) for o in tape.desk.sent}
    wanted = {r.SUBMIT, r.CANCEL, r.MODIFY, r.DECISION, r.HOLD_RAISED, r.HOLD_CLEARED, r.ORDER_STATE, r.TRADE_CLOSED}
    assert wanted <= seen
