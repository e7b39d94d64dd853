"""What the oracle's account takes from one session into the next, and what a person may state (MES-RISK-22).

Told before the first limits and in force with them: every figure, and each hold that its own rule has not ended.
Known in part is not known.  Written from the rule's text; the product's own code is compared with it.
"""

from typing import TYPE_CHECKING

from marketdata.core.records import NO_TIME
from tests.oracle.rules.facts import Event
from tests.oracle.rules.holds import BITS
from trading.core import records as r

if TYPE_CHECKING:
    from tests.oracle.rules.desk import Desk

SOURCE, FIGURE, HOLD, STATED = 1, 2, 3, 4
# the order of the journal's numbers; the desk's own names
FIGURES = (
    "balance", "peak", "reference", "day_net", "day_peak", "day_base", "capital", "trading_day", "day_trades",
    "day_wins", "day_losses", "streak",
)  # fmt: skip
MOST = 2**61


def on_past(d: "Desk", e: Event) -> None:
    """One row of what is told."""
    if d.version == 0:
        d.past = e.ref
        if e.code == FIGURE and abs(e.value) < MOST:
            d.told[FIGURES[e.number]] = e.value
            setattr(d, FIGURES[e.number], e.value)
        elif e.code == HOLD:
            names = {BITS[code]: code for code in d.book.table}
            d.past_holds[names[e.number]] = None if e.until == NO_TIME else e.until
        return
    hears = "STATE_UNREADABLE" in d.holds and all(i.qty == 0 for i in d.instruments)
    balance, peak, reference, of_day = e.value, e.volume, e.qty, e.fee
    sane = all(abs(money) < MOST for money in (balance, peak, reference, of_day)) and peak >= balance
    if e.code != STATED or not hears or not sane:
        return
    d.stated = True
    d.money_off, d.money_taken = False, True  # a fill without a price is in the venue's money alone
    d.balance, d.peak, d.reference, d.day_net = balance, peak, reference, of_day
    d.balance_at_start = balance - d.realised + d.fees
    d.day_base = balance - of_day  # the day began there
    d.day_peak = max(balance, d.day_base)
    d.capital = min(balance, d.limits.capital_micros)


def open_account(d: "Desk") -> None:
    """With the first limits."""
    if set(d.told) != set(FIGURES):
        for name in d.told:
            setattr(d, name, 0)
        d.balance = d.reference = d.peak = d.day_peak = d.day_base = d.capital = d.limits.capital_micros
        if d.past != 0:
            d.past_holds["STATE_UNREADABLE"] = None
    else:
        d.capital = min(d.capital, d.limits.capital_micros)  # less to trade with counts at once, more tomorrow
    d.balance_at_start = d.balance
    d.told = {}


def raise_past(d: "Desk") -> None:
    """What stood and is not over, with its own end."""
    for code, until in d.past_holds.items():
        endless = until is None and code not in d.book.by_clock
        if endless or (until is not None and until > d.now):
            d.raise_hold(code, until)
    d.past_holds = {}


def left(d: "Desk", session: int, start: int) -> list[Event]:
    """The rows with which the session after this one opens, whose clock begins at `start`; stamped `start`.

    A condition is asked anew, a stop ends with its session, and the kill is the latch on disk: no session starts then.
    A pause by time keeps what was left of it where the clock begins again earlier; a lock keeps its hour.
    """
    back = max(0, d.now - start)
    rows = [Event(r.PAST, start, instrument=-1, code=SOURCE, ref=session)]
    for at, name in enumerate(FIGURES):
        rows.append(Event(r.PAST, start, instrument=-1, code=FIGURE, ref=session, number=at, value=getattr(d, name)))
    for code, until in d.holds.items():
        if d.book.table[code][1] == "CONDITION" or code in ("SESSION_STOPPED", "KILL_SWITCH"):
            continue
        if until is not None and code not in ("OPERATOR_LOCK", "NEWS"):
            until -= back
        end = NO_TIME if until is None else until
        rows.append(Event(r.PAST, start, instrument=-1, code=HOLD, ref=session, number=BITS[code], until=end))
    return rows
