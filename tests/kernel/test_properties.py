"""What must hold whatever happens: positions are sums of fills, under holds exposure never grows."""

import numpy as np
import pytest

from risk.core.holds import ENTRY_MASK, FLATTEN_MASK
from risk.core.records import MES
from tests.kernel.desk import Desk
from tests.kernel.tape import Tape
from trading.core import orders as life
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
        self.entries: set[int] = set()  # open entries
        self.exposure = 0  # held, and what open entries may still add

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
        self._no_growth(desk, kind, outputs, held_before)
        self._all_listed(desk)

    def _all_listed(self, desk: Desk) -> None:
        """Whoever looks for an open order looks through the list of them alone."""
        a = desk.account
        listed = a.open_slots[: a.open_count].tolist()
        assert listed == sorted(set(listed)) and not a.open_slots[a.open_count :].any()
        orders = desk.kernel.state.orders
        assert {k for k, o in enumerate(orders) if o.number > 0 and life.is_open(o.status)} <= set(listed)

    def _no_growth(self, desk: Desk, kind: int, outputs: list[np.record], held_before: int) -> None:
        """Under NO_ENTRY entries are on their way out, and only a fill that was under way may still add (P-02)."""
        open_entries = desk.live(r.ENTRY)
        exposure = abs(int(desk.position().qty)) + sum(int(o.qty - o.filled) for o in open_entries)
        if held_before and self.holds & int(ENTRY_MASK[MES]):
            for order in open_entries:
                leaving = order.request in (life.CANCELLING, life.QUERYING) or desk.now_ns < order.cancel_retry_ns
                assert leaving, "an entry that nobody cancels"
            told = [int(o.order_number) for o in outputs if o.kind == r.ORDER_STATE]
            if kind != r.FILL or told[0] in self.entries:
                assert exposure <= self.exposure
            elif desk.position().qty != 0:  # filled after its end, or both legs at once: protected or on the way out
                assert desk.live(r.STOP_LOSS) or desk.live(r.EXIT) or desk.now_ns < desk.position().exit_retry_ns
        self.entries = {int(o.number) for o in open_entries}
        self.exposure = exposure

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


@pytest.mark.parametrize("seed", SEEDS[::3])
def test_after_flatten_and_all_answers_nothing_is_held_and_nothing_works(seed: int) -> None:
    """MES-LIVE-11, K-02: whatever the desk was doing, an entry on its way included."""
    tape = Tape(seed)
    watch = Watch(tape.desk)
    tape.run(20 + 2 * seed, watch)
    for _ in range(60):
        if tape.desk.live(r.ENTRY):
            break
        tape.run(1, watch)
    tape.listen(tape.desk.command((r.FLATTEN_ALL, r.KILL)[seed % 2]))
    tape.settle()
    assert tape.desk.position().qty == 0 and tape.desk.live() == []


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
