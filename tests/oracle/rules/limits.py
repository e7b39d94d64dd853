"""The account against its limits, re-stated from MES-RISK-01 … -12: what is due, and which holds that raises."""

from fractions import Fraction
from typing import TYPE_CHECKING

from tests.oracle.rules.facts import PPM, S

if TYPE_CHECKING:
    from tests.oracle.rules.desk import Desk

REPRESENTABLE = 2**61
CONFIRM_MARKS = 3


def losses(d: "Desk", money: int) -> dict[str, tuple[int, int]]:
    """(loss, limit) of the limits that open money takes part in, if equity were `money`."""
    return {
        "EQUITY_KILL": (d.reference - money, d.limits.loss_total_micros_max),
        "DAILY_DRAWDOWN": (d.day_peak - money, d.limits.drawdown_day_micros_max),
    }


def due(d: "Desk") -> set[str]:
    """Every limit that the present state breaches, confirmed or not: what refuses an entry at once (MES-RISK-20)."""
    found = {code for code, (loss, limit) in losses(d, d.equity()).items() if loss >= limit}
    if -d.day_net >= d.limits.loss_day_micros_max:
        found.add("DAILY_LOSS")
    if is_near(d, -d.day_net, Fraction(d.limits.loss_day_micros_max)):
        found.add("DAILY_LOSS_NEAR")
    if d.peak - d.balance >= d.limits.drawdown_micros_max:
        found.add("ACCOUNT_DRAWDOWN")
    if d.balance < d.limits.balance_micros_min:
        found.add("MIN_BALANCE")
    return found


def check(d: "Desk", is_mark: bool) -> None:
    """Raise what is due; a breach by open money when it is confirmed (MES-RISK-11), the others at once."""
    if d.version == 0:
        return
    d.day_peak = max(d.day_peak, d.equity())
    readable(d)
    breached = due(d)
    booked = losses(d, d.balance)
    for code, (loss, limit) in losses(d, d.equity()).items():
        sure = booked[code][0] >= limit
        if code == "DAILY_DRAWDOWN":  # its peak holds open money itself: it is booked once nothing is open any more
            sure = all(i.qty == 0 for i in d.instruments)
        confirm(d, code, loss, limit, sure, is_mark)
    for code in ("ACCOUNT_DRAWDOWN", "DAILY_LOSS"):
        if code in breached:
            d.raise_hold(code)
    d.follow("DAILY_LOSS_NEAR", "DAILY_LOSS_NEAR" in breached)
    d.follow("MIN_BALANCE", "MIN_BALANCE" in breached)
    pause_after_losses(d)


def is_near(d: "Desk", loss: int, limit: Fraction) -> bool:
    """P-15, soft: whole micros of the limit's share, where it has one."""
    soft = d.limits.loss_day_soft_ppm_max
    return bool(soft > 0 and loss >= limit // 1 * soft // PPM)


def readable(d: "Desk") -> None:
    if abs(d.equity()) >= REPRESENTABLE:
        d.raise_hold("STATE_UNREADABLE")


def confirm(d: "Desk", code: str, loss: int, limit: int, sure: bool, is_mark: bool) -> None:
    """A breach by open money alone counts once it lasts a second or three marks in a row show it (MES-RISK-11)."""
    if loss < limit:
        d.breaches.pop(code, None)
        return
    since, marks = d.breaches.get(code, (d.now, 0))
    d.breaches[code] = since, marks + is_mark
    if sure or d.limits.bar_mode == 1 or marks + is_mark >= CONFIRM_MARKS or d.now - since >= S:
        d.raise_hold(code)


def pause_after_losses(d: "Desk") -> None:
    """What the last loss asked for; of shares the streak begins anew then (MOEX-RISK-06)."""
    if d.streak_until is not None:
        d.raise_hold("LOSS_STREAK", d.streak_until)
        d.streak_until = None
        d.streak = 0 if d.limits.streak_restarts == 1 else d.streak


def note_loss(d: "Desk") -> None:
    """One losing trade: the streak, and the pause that it asks for (MES-RISK-09, -12)."""
    d.losses += 1
    d.day_losses += 1
    d.streak += 1
    if 0 < d.limits.streak_hard <= d.streak:
        d.streak_until = d.now + d.limits.streak_hard_pause_ns
    elif 0 < d.limits.streak_soft <= d.streak:
        d.streak_until = d.now + d.limits.streak_soft_pause_ns
