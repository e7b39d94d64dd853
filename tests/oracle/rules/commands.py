"""What a person or the shell asks of the oracle's desk: commands, configuration, links, session windows."""

from typing import TYPE_CHECKING

from marketdata.core import records as m
from marketdata.core.sessions import WINDOW_CAPACITY
from risk.core.records import LIMIT_FIELDS, SPEC_FIELDS
from tests.oracle.rules.facts import BY_OPERATOR, ENTRY, Event
from tests.oracle.rules.holds import BITS, BY_RESET, BY_RESUME
from tests.oracle.rules.protect import close
from trading.core import records as r

if TYPE_CHECKING:
    from tests.oracle.rules.desk import Desk

# a larger value admits less
LESS = {
    "messages_reserved", "duplicate_ns", "slip_ticks_assumed", "cooldown_entry_ns", "cooldown_exit_ns", "move_hold_ns",
}  # fmt: skip
# neither more nor less: part of the version
NEITHER = {"capital_micros", "bar_mode", "qty_entry", "stop_ticks", "target_ticks", "hold_ns_max", "entry_ttl_ns"}


def loosens(name: str, new: int, old: int) -> bool:
    """Whether a new value admits more than the old one."""
    if name in NEITHER:
        return False
    return new < old if name in LESS or name.endswith("_min") else new > old


def on_command(d: "Desk", e: Event) -> None:
    """Reductions always work; `value` names the holds that a clearing is narrowed to (MES-RISK-13)."""
    done = True
    if e.code == r.START:
        done = d.version != 0 and "SESSION_STOPPED" not in d.holds and not d.latched
        d.trading = d.trading or done
    elif e.code in (r.PAUSE, r.CANCEL_ALL, r.FLATTEN_ALL):
        d.raise_hold("OPERATOR_PAUSE")
        if e.code == r.CANCEL_ALL:
            for o in d.live():
                if o.role == ENTRY:
                    d.ask_cancel(o)
        if e.code == r.FLATTEN_ALL:
            close_all(d)
    elif e.code == r.STOP_SESSION:
        d.trading = False
        d.raise_hold("SESSION_STOPPED")
        close_all(d)
    elif e.code == r.KILL:
        d.latched = True
        d.raise_hold("KILL_SWITCH")
        close_all(d)
    elif e.code == r.RESUME:
        clear(d, BY_RESUME, e.value)
    elif e.code == r.RESET_HALT:
        done = d.is_flat()
        if done:
            d.latched = False
            if "TOTAL_LOSS" in d.holds:
                d.reference = d.equity()
            clear(d, BY_RESET, e.value)
    else:
        done = False
    d.say(r.RECEIPT, m.ACCOUNT_SCOPE, code=r.RECEIPT_DONE if done else r.RECEIPT_REFUSED, value=e.code)


def close_all(d: "Desk") -> None:
    for i in d.instruments:
        if i.qty != 0:
            close(i, BY_OPERATOR)


def clear(d: "Desk", codes: tuple[str, ...], narrowed: int) -> None:
    for code in codes:
        if narrowed == 0 or narrowed >> BITS[code] & 1:
            d.clear_hold(code)


def on_link(d: "Desk", e: Event) -> None:
    """A lost execution link is unreconciled until the next reconciliation ends."""
    if e.code == r.LINK_EXECUTION:
        d.links["execution"] = e.value == 1
        d.reconciled = d.reconciled and e.value == 1
    elif e.code == r.LINK_DATABASE:
        d.links["database"] = e.value == 1
    elif e.code == r.LINK_STREAM:
        d.links["stream"] = e.value == 1
    elif e.code == r.LINK_LATCH:
        d.latched = e.value != 0


def on_config(d: "Desk", e: Event) -> None:
    """One staged value; an instrument's specification takes effect at once, before trading only."""
    if e.instrument == m.ACCOUNT_SCOPE:
        d.staged[LIMIT_FIELDS[e.code]] = e.value
    elif not d.trading and 0 <= e.code < len(SPEC_FIELDS):
        d.set_spec(e.instrument, e.code, e.value)


def on_commit(d: "Desk", e: Event) -> None:
    """The first version whole; of later ones the tighter part at once, the looser part when everything is flat."""
    first = d.version == 0
    d.waits_for_flat = False
    for name, new in d.staged.items():
        old = getattr(d.limits, name)
        if first or old is None or not loosens(name, new, old):
            setattr(d.limits, name, new)
        elif new != old:
            d.waits_for_flat = True
        d.pending[name] = new
    d.pending_version = d.version = e.ref
    if first:
        d.balance = d.balance_at_start = d.reference = d.limits.capital_micros
    say_version(d, e.ref)


def loosen_when_flat(d: "Desk") -> None:
    if d.waits_for_flat and d.is_flat():
        for name, value in d.pending.items():
            setattr(d.limits, name, value)
        d.waits_for_flat = False
        say_version(d, d.pending_version)


def say_version(d: "Desk", version: int) -> None:
    d.say(r.CONFIG_ACTIVE, m.ACCOUNT_SCOPE, number=version, value=int(d.waits_for_flat))


def on_window(d: "Desk", e: Event) -> None:
    """Windows come sorted; an old one is known already, the oldest goes when the table is full."""
    if d.windows and e.value < d.windows[-1][1]:
        return
    d.windows = [*d.windows, (e.value, e.until, e.code, e.ref)][-WINDOW_CAPACITY:]
