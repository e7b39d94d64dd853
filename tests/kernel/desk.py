"""A kernel with a demo configuration and short verbs to feed it: the harness of the kernel's tests.

Nothing is faked: events go through the real `Kernel.apply`, which numbers them as the risk loop does.
"""

from collections.abc import Sequence

import numpy as np

from marketdata.core.records import ACCOUNT_SCOPE, BUY, NO_TICK, QUOTE, new_events
from marketdata.core.sessions import NORMAL
from risk.core.holds import BY_BIT
from risk.core.records import LIMIT_INDEX, SPEC_INDEX
from trading.core import records as r
from trading.run.replica import Kernel

T0 = 1_772_600_000_000_000_000
S = 1_000_000_000
LIMITS = {
    "capital_micros": 10_000_000_000,
    "bar_mode": 0,
    "quote_age_ns_max": 2 * S,
    "score_age_ns_max": 2 * S,
    "last_age_ns_max": S,
    "recon_age_ns_max": 24 * 3600 * S,
    "qty_max": 5,
    "value_micros_max": 1_000_000_000_000,
    "collar_ppm_max": 10_000,
    "collar_ticks_max": 20,
    "spread_ticks_max": 4,
    "stop_ticks_min": 4,
    "stop_ticks_max": 16,
    "move_ticks_max": 60,
    "move_window_ns": 10 * S,
    "move_hold_ns": 30 * S,
    "position_max": 3,
    "margin_micros_max": 5_000_000_000,
    "loss_trade_micros_max": 50_000_000,
    "loss_day_micros_max": 500_000_000,
    "loss_total_micros_max": 1_000_000_000,
    "slip_ticks_assumed": 1,
    "duplicate_ns": S,
    "messages_1s_max": 20,
    "messages_60s_max": 200,
    "messages_reserved": 30,
    "orders_open_max": 20,
    "score_ppm_min": 100_000,
    "confidence_ppm_min": 550_000,
    "qty_entry": 1,
    "stop_ticks": 8,
    "target_ticks": 16,
    "hold_ns_max": 0,
    "entry_ttl_ns": 10 * S,
    "cooldown_entry_ns": 5 * S,
    "cooldown_exit_ns": 5 * S,
    "ack_timeout_ns": 5 * S,
    "naked_ns_max": 3 * S,
    "rules": 0,
    "sizing": 0,
    "half_keep_one": 1,
    "tier_ppm_max": 0,
    "stop_method": 0,
    "stop_atr_ppm": 1_500_000,
    "stop_reduced_ppm": 750_000,
    "target_ratio_ppm": 0,
    "bracket_anchor": 0,
    "trail_ticks": 0,
    "exit_confidence_ppm_min": 550_000,
    "reverse_confidence_ppm_min": 0,
    "reverse_wait_ns": 30 * S,
    "reversals_max": 2,
    "balance_micros_min": 0,
    "drawdown_day_micros_max": 750_000_000,
    "drawdown_micros_max": 900_000_000,
    "day_loss_open": 0,
    "streak_soft": 0,
    "streak_soft_pause_ns": 900 * S,
    "streak_hard": 0,
    "streak_hard_pause_ns": 1800 * S,
    "streak_restarts": 0,
    "spread_hold_ns": 0,
    "presence_ns_max": 0,
    "errors_60s_max": 10,
    "gross_ppm_max": 0,
    "instrument_ppm_max": 0,
    "loss_stop_ppm_max": 0,
    "participation_ppm_max": 0,
    "bucket_capacity": 0,
    "bucket_refill_ns": 0,
    "spread_ppm_max": 0,
    "allow_short": 1,
    "loss_day_share_ppm_max": 0,
    "rvi_max": 0,
    "rvi_clear_max": 0,
    "rvi_age_ns_max": 0,
    "probe_slow_ns": 0,
    "probe_good_ns": 0,
    "probe_lost_ns": 0,
    "hedge_every_ns": 0,
    "hedge_min_net_ppm": 100_000,
    "hedge_max_cost_ppm": 800,
    "hedge_beta_ppm": 1_000_000,
    "loss_day_soft_ppm_max": 0,
    "entries_max": 0,
    "entries_window_ns": 0,
    "trades_day_max": 0,
    "depth_ppm_max": 0,
    "atr_ppm_min": 0,
    "atr_ppm_max": 0,
    "costs_ppm": 500,
    "spread_floor_ppm": 10_000,
    "net_widen_ppm": 500_000,
    "trail_anchor": 0,
    "take_profit_ppm": 0,
}
SPEC = {
    "tick_value_micros": 1_250_000,
    "fee_micros": 420_000,
    "fee_ppm": 0,
    "margin_micros": 50_000_000,
    "tick_nanos": 250_000_000,
    "lot": 1,
    "tradable": 1,
    "hedge": 0,
}


class Desk:
    """Drives one kernel; `sent` collects every output in order."""

    def __init__(self, limits: dict[str, int] | None = None, ready: bool = True) -> None:
        self.kernel = Kernel()
        self.now_ns = T0
        self.ref = 0
        self.sent: list[np.record] = []
        self.given: list[np.ndarray] = []  # every input, as it was applied
        self.limits = LIMITS | (limits or {})
        if ready:
            self.configure()
            self.connect()
            self.command(r.START)
            self.quote(20_000, 20_001)
            self.event(r.TIMER)

    @property
    def account(self) -> np.record:
        return self.kernel.state.account[0]

    def position(self, instrument: int = 0) -> np.record:
        return self.kernel.state.positions[instrument]

    def event(self, kind: int, wait_ns: int = 1, **fields: int) -> list[np.record]:
        """Apply one event `wait_ns` later; returns its outputs."""
        self.now_ns += wait_ns
        events = new_events(1)
        events["kind"] = kind
        events["ts_ns"] = events["ts_venue_ns"] = self.now_ns
        for name, value in fields.items():
            events[name] = value
        rows = self.kernel.apply(events)
        self.given.append(events)
        outputs = [rows[i] for i in range(1, len(rows))]
        self.sent.extend(outputs)
        return outputs

    def configure(self, version: int = 1) -> list[np.record]:
        outputs = self.configure_limits(version)
        window = {"code": NORMAL, "value": T0 - S, "until_ns": T0 + 10**15, "ref": 20260304}
        self.event(r.WINDOW_SET, instrument=ACCOUNT_SCOPE, **window)
        return outputs

    def configure_limits(self, version: int = 1) -> list[np.record]:
        for name, value in self.limits.items():
            self.event(r.CONFIG, instrument=ACCOUNT_SCOPE, code=LIMIT_INDEX[name], value=value)
        if version == 1:
            self.add_instrument(0)
        return self.event(r.CONFIG_COMMIT, instrument=ACCOUNT_SCOPE, ref=version)

    def add_instrument(self, instrument: int) -> None:
        """One more of the same kind; before START only."""
        for name, value in SPEC.items():
            self.event(r.CONFIG, instrument=instrument, code=SPEC_INDEX[name], value=value)

    def connect(self) -> None:
        for link in (r.LINK_EXECUTION, r.LINK_DATABASE, r.LINK_STREAM):
            self.event(r.LINK, instrument=ACCOUNT_SCOPE, code=link, value=1)
        self.reconcile()

    def reconcile(self, positions: Sequence[tuple[int, int]] = (), orders: Sequence[int] = ()) -> list[np.record]:
        """The broker's truth: (instrument, signed qty) rows and working order numbers."""
        out = self.event(r.RECON, instrument=ACCOUNT_SCOPE, code=r.RECON_BEGIN)
        for instrument, qty in positions:
            side = 1 if qty > 0 else -1
            out += self.event(r.RECON, instrument=instrument, code=r.RECON_POSITION, side=side, qty=abs(qty))
        for number in orders:
            out += self.event(r.RECON, instrument=0, code=r.RECON_ORDER, order_number=number)
        return out + self.event(r.RECON, instrument=ACCOUNT_SCOPE, code=r.RECON_END, ref=self.ref)

    def quote(self, bid: int, ask: int, **fields: int) -> list[np.record]:
        return self.event(QUOTE, bid_tick=bid, ask_tick=ask, bid_qty=5, ask_qty=5, **fields)

    def score(self, side: int = BUY, confidence: int = 700_000, **fields: int) -> list[np.record]:
        fields.setdefault("ts_venue_ns", self.now_ns)
        return self.event(r.SCORE, side=side, score_ppm=side * 500_000, confidence_ppm=confidence, **fields)

    def command(self, code: int, **fields: int) -> list[np.record]:
        return self.event(r.COMMAND, instrument=ACCOUNT_SCOPE, code=code, ref=77, **fields)

    def answer(self, kind: int, number: int, **fields: int) -> list[np.record]:
        self.ref += 1
        return self.event(kind, order_number=number, ref=self.ref, **fields)

    def ack(self, number: int) -> list[np.record]:
        return self.answer(r.ACK, number)

    def fill(self, number: int, price: int, qty: int | None = None) -> list[np.record]:
        order = self.order(number)
        left = int(order.qty - order.filled) if qty is None else qty
        fee = 420_000 * left
        return self.answer(r.FILL, number, side=int(order.side), qty=left, price_tick=price, fee_micros=fee)

    def order(self, number: int) -> np.record:
        for order in self.kernel.state.orders:
            if order.number == number:
                return order
        raise AssertionError(f"no order {number}")

    def live(self, role: int = 0) -> list[np.record]:
        """Live orders, of one role or of all."""
        found = [o for o in self.kernel.state.orders if o.number > 0 and o.status in (0, 1, 5)]
        return [o for o in found if role in (0, o.role)]

    def enter(self, side: int = BUY, price: int | None = None) -> int:
        """Score → entry filled → both bracket legs acknowledged.  Returns the entry's number."""
        sent = self.score(side)
        numbers = [int(o.order_number) for o in sent if o.kind == r.SUBMIT]
        assert numbers, "the gate refused the entry"
        p = self.position()
        touch = p.ask_tick if side == BUY else p.bid_tick
        self.ack(numbers[0])
        self.fill(numbers[0], int(touch) if price is None else price)
        for order in self.live():
            self.ack(int(order.number))
        return numbers[0]


def kinds(outputs: Sequence[np.record]) -> list[str]:
    return [r.KIND_NAMES[int(o.kind)] for o in outputs]


def decision(outputs: Sequence[np.record]) -> int:
    return next(int(o.code) for o in outputs if o.kind == r.DECISION)


def standing(desk: Desk) -> set[str]:
    """Codes of the account holds that stand."""
    rows = BY_BIT[int(desk.account.rules)]
    return {hold.code for bit, hold in rows.items() if desk.account.holds >> bit & 1}


def sent(outputs: Sequence[np.record], kind: int, role: int = 0) -> list[np.record]:
    """Outputs of one kind, of one role or of all."""
    return [o for o in outputs if o.kind == kind and role in (0, o.role)]


__all__ = ["LIMITS", "NO_TICK", "SPEC", "T0", "Desk", "S", "decision", "kinds"]
