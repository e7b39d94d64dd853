"""What a person or the shell asks of the oracle's desk: commands, configuration, links, session windows."""

from typing import TYPE_CHECKING

from marketdata.core import records as m
from marketdata.core.sessions import WINDOW_CAPACITY
from risk.core import codes
from risk.core.records import LIMIT_FIELDS, SPEC_FIELDS
from tests.oracle.heritage import open_account, raise_past
from tests.oracle.rules.clock import clock
from tests.oracle.rules.facts import BY_OPERATOR, ENTRY, PRICE_MOST, Event, S
from tests.oracle.rules.holds import BITS
from tests.oracle.rules.protect import cancel_entries, demand_flat
from trading.core import records as r
from trading.core import states as why

if TYPE_CHECKING:
    from tests.oracle.rules.desk import Desk

MINUTE = 60 * S
NEWS_KEPT = 16  # windows of the event list that the desk remembers
# P-27: what two persons may let pass, by the number that their command carries
MAY_PASS = {getattr(codes, name): name for name in ("FILTERED", "COOLDOWN", "SPREAD", "DEPTH", "TRADES_DAY")}
KEEPS_OVERRIDES = (r.OVERRIDE, r.PRESENCE, r.MOVE_STOP, r.MOVE_TARGET)
# a larger value admits less
LESS = frozenset(
    """messages_reserved duplicate_ns slip_ticks_assumed cooldown_entry_ns cooldown_exit_ns move_hold_ns day_loss_open
    move_window_ns entries_window_ns costs_ppm
    streak_soft_pause_ns streak_hard_pause_ns spread_hold_ns reverse_wait_ns bucket_refill_ns""".split()  # noqa: SIM905
)
# neither more nor less: part of the version
NEITHER = frozenset(
    """capital_micros qty_entry stop_ticks target_ticks hold_ns_max entry_ttl_ns rules sizing stop_method
    stop_atr_ppm stop_reduced_ppm target_ratio_ppm bracket_anchor trail_ticks exit_confidence_ppm_min
    reverse_confidence_ppm_min hedge_beta_ppm spread_floor_ppm net_widen_ppm trail_anchor take_profit_ppm""".split()  # noqa: SIM905
)
# 0 switches these off, which admits everything
ZERO_IS_OFF = frozenset(
    """tier_ppm_max presence_ns_max errors_60s_max streak_soft streak_hard gross_ppm_max instrument_ppm_max
    bucket_capacity spread_ppm_max loss_day_share_ppm_max rvi_max probe_slow_ns hedge_every_ns
    loss_day_soft_ppm_max entries_max trades_day_max depth_ppm_max atr_ppm_max""".split()  # noqa: SIM905
)


def loosens(name: str, new: int, old: int) -> bool:
    """Whether a new value admits more than the old one."""
    if name in NEITHER:
        return False
    if name in ZERO_IS_OFF:
        return new != old and old != 0 and (new == 0 or new > old)
    return new < old if name in LESS or name.endswith("_min") else new > old


def on_command(d: "Desk", e: Event) -> None:
    """Reductions always work; `value` names the holds that a clearing is narrowed to (MES-RISK-13)."""
    if e.ref != 0:  # a person gave it
        d.present = d.now
        d.next_look = d.now
        d.clear_hold("PRESENCE")
    if e.code not in KEEPS_OVERRIDES:
        forget_overrides(d)
    refusal = 0
    if e.code == r.START:
        refusal = why_no_start(d)
        d.trading = d.trading or refusal == 0
    elif e.code in (r.PAUSE, r.CANCEL_ALL, r.FLATTEN_ALL):
        d.pause(e.value if e.code == r.PAUSE else 0)
        if e.code != r.PAUSE:
            cancel_all(d)
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
    elif e.code == r.LOCK:
        refusal = 0 if e.value > d.now else why.OVER
        if refusal == 0:
            d.raise_hold("OPERATOR_LOCK", e.value)
            cancel_all(d)
            close_all(d)
    elif e.code == r.PRESENCE:
        refusal = 0 if e.ref != 0 else why.NOBODY
    elif e.code in (r.MOVE_STOP, r.MOVE_TARGET):
        refusal = move(d, e)
    elif e.code == r.OVERRIDE:
        refusal = override(d, e)
    elif e.code == r.RESUME:
        refusal = d.resume(e.value)
    elif e.code == r.RESET_HALT:
        asked = e.value == 0 or e.value >> BITS["STATE_UNREADABLE"] & 1
        stated = d.stated or not asked or "STATE_UNREADABLE" not in d.holds
        refusal = why_none_named(d.book.by_reset, e.value)
        refusal = refusal or (why.NOT_FLAT if not d.is_flat() else 0)
        refusal = refusal or d.why_no_reset(e.value)
        refusal = refusal or (0 if stated else why.NOT_STATED)
        if refusal == 0:
            named = [c for c in d.book.by_reset if e.value == 0 or e.value >> BITS[c] & 1]
            if any(c in d.holds for c in named) or ("KILL_SWITCH" in named and d.latched):
                d.pause(0)  # nobody trades on by himself (K-05)
            d.stated = d.stated and not asked
            clear(d, d.book.by_reset, e.value)
    else:
        refusal = why.NO_SUCH_COMMAND
    code = r.RECEIPT_REFUSED if refusal else r.RECEIPT_DONE
    d.say(r.RECEIPT, m.ACCOUNT_SCOPE, code=code, value=e.code, number=e.ref, qty=refusal)


def override(d: "Desk", e: Event) -> int:
    """P-27: one reason of one instrument may pass once, for a minute at most.  0, or why not."""
    if e.ref == 0:
        return why.NOBODY
    if e.instrument not in [i.index for i in d.instruments if i.tick_value is not None]:
        return why.NO_INSTRUMENT
    if e.value not in MAY_PASS:
        return why.NOT_OVERRIDABLE
    if e.until <= d.now:
        return why.OVER
    if e.until - d.now > MINUTE:
        return why.TOO_LONG
    i = d.instruments[e.instrument]
    if i.override and d.now < i.override_until:
        return why.OVERRIDDEN
    i.override, i.override_until, i.override_ref = MAY_PASS[e.value], e.until, e.ref
    return 0


def forget_overrides(d: "Desk") -> None:
    for i in d.instruments:
        i.override, i.override_until, i.override_ref = "", 0, 0


def why_none_named(codes: tuple[str, ...], narrowed: int) -> int:
    named = narrowed == 0 or any(narrowed >> BITS[code] & 1 for code in codes)
    return 0 if named else why.NONE_NAMED


def why_no_start(d: "Desk") -> int:
    if d.version == 0:
        return why.NO_LIMITS
    if "SESSION_STOPPED" in d.holds:
        return why.STOPPED
    return why.LATCHED if d.latched else 0


def move(d: "Desk", e: Event) -> int:
    """A stop comes closer and never through the market; a target goes anywhere on its side of it.  0, or why not."""
    held = [i for i in d.instruments if i.index == e.instrument and i.qty != 0]
    if not held:
        return why.NOTHING_HELD
    i = held[0]
    if i.closing or i.stop is None:
        return why.LEAVING
    if not 0 < e.value <= PRICE_MOST:
        return why.NO_PRICE
    quoted, oldest = i.book_ok and d.limits.bar_mode != 1, d.limits.quote_age_ns_max
    if quoted and (i.quote_ts is None or oldest is None or d.now - i.quote_ts > oldest):
        return why.MARKET_UNKNOWN  # nobody knows on which side of the market it would be
    out = (i.bid if i.qty > 0 else i.ask) if quoted else i.mark
    if out is None:
        return why.MARKET_UNKNOWN
    if e.code == r.MOVE_STOP:
        if e.value <= i.stop if i.qty > 0 else e.value >= i.stop:
            return why.NOT_CLOSER
        if e.value >= out if i.qty > 0 else e.value <= out:
            return why.THROUGH_MARKET
        i.stop, i.trailed = e.value, True
        i.stop_mover, i.stop_refused = e.ref, None
        return 0
    if e.value == i.target:
        return why.NOT_MOVED
    if e.value <= out if i.qty > 0 else e.value >= out:
        return why.THROUGH_MARKET
    if any(o.role == ENTRY for o in d.live(i.index)):
        return why.ENTRY_WORKS
    i.before = i.before if i.mover else i.target
    i.target, i.mover, i.refused = e.value, e.ref, None
    return 0


def cancel_all(d: "Desk") -> None:
    for i in d.instruments:
        cancel_entries(d, i)


def close_all(d: "Desk") -> None:
    """What is held, and what an open entry may still make."""
    for i in d.instruments:
        if i.qty != 0 or any(o.role == ENTRY for o in d.live(i.index)):
            demand_flat(d, i, BY_OPERATOR)


def clear(d: "Desk", codes: tuple[str, ...], narrowed: int) -> None:
    """The named holds, each with the re-basing of its own row and no other."""
    for code in codes:
        if narrowed != 0 and not narrowed >> BITS[code] & 1:
            continue
        if code == "KILL_SWITCH":
            d.latched = False
        if code in d.holds and code == d.book.name("EQUITY_KILL"):
            d.reference = d.equity()
        if code in d.holds and code == "ACCOUNT_DRAWDOWN":
            d.peak = d.balance
        if code in d.holds and code == "REPEATED_ENTRIES":
            d.entered.clear()  # a person looked at them
        d.clear_hold(code)


def on_notice(d: "Desk", e: Event) -> None:
    """What the other loops, the operator's lists and the books say."""
    if e.kind == r.MODEL:
        if e.code == r.MODEL_BLOCKED:
            d.raise_hold("MODEL_BLOCKED")
        elif e.code == r.MODEL_READY:
            for code in d.ends_with_a_set(e):
                d.clear_hold(code)
    elif e.kind == r.ERROR:
        d.on_error(e)
        d.errors += [d.now] * max(1, e.value)
        d.errors = [at for at in d.errors if d.now - at <= MINUTE]
        if d.version != 0 and 0 < d.limits.errors_60s_max <= len(d.errors):
            d.raise_hold("ERROR_STORM")
    elif e.kind == r.NEWS:
        d.news = [window for window in d.news if window[1] > d.now]
        if e.until > max(e.value, d.now) and (e.value, e.until) not in d.news:
            if len(d.news) == NEWS_KEPT:  # what cannot be remembered holds at once, until its end
                d.raise_hold("NEWS", e.until)
            else:
                d.news.append((e.value, e.until))
            clock(d, True)
    elif e.kind == r.TRANSFER:  # moves everything alike and is no part of the day (MES-RISK-01)
        d.balance += e.value
        d.balance_at_start += e.value
        d.reference += e.value
        d.peak += e.value
        d.day_peak += e.value
        d.day_base += e.value
    else:
        d.on_other(e)


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
    elif e.code == r.LINK_CONTRACT:
        told = range(len(d.instruments)) if e.instrument == m.ACCOUNT_SCOPE else (e.instrument,)
        d.inactive = d.inactive.difference(told) if e.value == 1 else d.inactive.union(told)
        d.follow("CONTRACT_ROLL", len(d.inactive) > 0)


def on_config(d: "Desk", e: Event) -> None:
    """One staged value; an instrument's specification takes effect at once, before the start and while flat only."""
    if e.instrument == m.ACCOUNT_SCOPE:
        d.staged[LIMIT_FIELDS[e.code]] = e.value
    elif not d.trading and d.is_flat() and 0 <= e.code < len(SPEC_FIELDS):
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
        open_account(d)
    else:
        forget_overrides(d)
    d.next_look = d.now
    if first:
        raise_past(d)
    say_version(d, e.ref)


def restrict(d: "Desk", e: Event) -> None:
    """P-25: at once; the end of a restriction loosens, so it waits for flat as a looser limit does."""
    if 0 <= e.instrument < len(d.instruments):
        i = d.instruments[e.instrument]
        if e.value == 1:
            d.lifting.discard(i.index)
            d.hold_on(i, "RESTRICTED", True)
        elif "RESTRICTED" in i.holds:
            d.lifting.add(i.index)


def loosen_when_flat(d: "Desk") -> None:
    if d.is_flat():
        for index in sorted(d.lifting):
            d.hold_on(d.instruments[index], "RESTRICTED", False)
        d.lifting.clear()
    if d.waits_for_flat and d.is_flat():
        for name, value in d.pending.items():
            setattr(d.limits, name, value)
        forget_overrides(d)
        d.waits_for_flat = False
        d.next_look = d.now
        say_version(d, d.pending_version)


def say_version(d: "Desk", version: int) -> None:
    d.say(r.CONFIG_ACTIVE, m.ACCOUNT_SCOPE, number=version, value=int(d.waits_for_flat))


def on_window(d: "Desk", e: Event) -> None:
    """Windows come sorted; an old one is known already, the oldest goes when the table is full."""
    if d.windows and e.value < d.windows[-1][1]:
        return
    d.windows = [*d.windows, (e.value, e.until, e.code, e.ref)][-WINDOW_CAPACITY:]
