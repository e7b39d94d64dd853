"""What time does to the oracle's desk: roll, ends of TIME holds, phases, news, presence; feed, links, deadlines.

Time is the event's own; all of this happens before the event does, whatever the event is (MES-RISK-14, -15, MES-EOD).
"""

from typing import TYPE_CHECKING

from tests.oracle.rules.facts import (
    AFTER_HOURS,
    AGGRESSIVE_EXIT,
    CLOSE_ONLY,
    ENTRY,
    MUST_BE_FLAT,
    NOTHING,
    REDUCED,
)

if TYPE_CHECKING:
    from tests.oracle.rules.desk import Desk


def clock(d: "Desk", looks: bool) -> None:
    """Bring the desk to the present moment.

    `looks`: the desk looks at its positions although nothing changed (a timer, a new window).
    """
    roll(d)
    for code, until in d.ending():
        if d.now >= until:
            d.clear_hold(code)
    d.phase = next((w[2] for w in d.windows if w[0] <= d.now < w[1]), AFTER_HOURS)
    d.follow("AFTER_HOURS", d.phase == AFTER_HOURS)
    d.follow("CLOSE_ONLY", d.phase == CLOSE_ONLY)
    d.follow("EOD", d.phase in (AGGRESSIVE_EXIT, MUST_BE_FLAT))
    d.follow("EOD_REDUCED", d.phase == REDUCED)
    for start, end in d.news:
        if start <= d.now < end:
            d.raise_hold("NEWS", end)
    presence(d)
    d.look_at_clock()
    if looks or d.now >= d.next_look:
        if d.phase == MUST_BE_FLAT and any(i.qty != 0 for i in d.instruments):
            d.raise_hold("NOT_FLAT_AT_CUTOFF")
        d.next_look = next_moment(d)


def next_moment(d: "Desk") -> int:
    """When time alone next changes something: the end of a hold, a phase, news, presence."""
    moments = [until for _, until in d.ending()]
    moments += [edge for window in d.windows for edge in window[:2]] + [edge for span in d.news for edge in span]
    if d.present is not None and d.limits.presence_ns_max:
        moments.append(d.present + d.limits.presence_ns_max)
    return min((at for at in moments if at > d.now), default=2**62)


def roll(d: "Desk") -> None:
    """MES-RISK-14: on the first event of a new trading day; an account's day never goes back."""
    day = next((w[3] for w in reversed(d.windows) if w[0] <= d.now), 0)
    if day <= d.trading_day:
        return
    d.trading_day, d.day_net = day, 0
    d.streak = d.streak if d.book.rules else 0  # of shares the roll ends no streak (MOEX-RISK-03)
    d.day_trades = d.day_wins = d.day_losses = 0
    d.day_peak = d.day_base = d.equity()
    if d.version != 0:
        d.capital = min(d.equity(), d.limits.capital_micros)
    d.breaches.clear()
    for i in d.instruments:
        i.override, i.override_until, i.override_ref = "", 0, 0
    for code in d.book.by_roll:
        d.clear_hold(code)
    if d.version != 0:  # of what the new day has lost (P-15)
        d.follow("DAILY_LOSS_NEAR", "DAILY_LOSS_NEAR" in d.due())


def presence(d: "Desk") -> None:
    """MES-HOLD-PRESENCE: no activity for so long, or none known."""
    if d.version == 0:
        return
    most = d.limits.presence_ns_max
    d.follow("PRESENCE", most > 0 and (d.present is None or d.now - d.present >= most))


def feed(d: "Desk") -> None:
    """P-04: silence for too long, or a gap."""
    if d.version != 0:
        silent = d.feed_ts is None or d.now - d.feed_ts > d.limits.quote_age_ns_max
        d.follow("FEED_STALE", silent or d.gap)


def links(d: "Desk") -> None:
    """The desk's own links, its reconciliation and its limits."""
    d.follow("NO_LIMITS", d.version == 0)
    d.follow("NOT_RECONCILED", d.unreconciled())
    d.follow("EXECUTION_AWAY", not d.links["execution"])
    d.follow("DATABASE_AWAY", not d.links["database"])
    d.follow("STREAM_FULL", not d.links["stream"])


def on_timer(d: "Desk") -> None:
    """Once a second of the session's clock."""
    clock(d, True)
    feed(d)
    links(d)
    d.check(False)
    if d.version == 0:
        return
    d.watch()
    for o in d.live():
        if o.role == ENTRY and o.until is not None and d.now >= o.until:
            d.ask_cancel(o)
        if o.request != NOTHING and d.now - o.sent > d.limits.ack_timeout_ns:
            d.ask_query(o)
