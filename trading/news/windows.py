"""What of the event list the kernel is told, and when: the windows of the next days, merged, as NEWS events.

The kernel has room for 16 and holds entries back when one finds none (`trading.core.watch.notices`), so the far ones
wait here.  A window that was told is never taken back: one that is removed meanwhile still holds until it ends.
Called at a session's start and by `teller`; nothing is written.
"""

import numpy as np

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.units import NANOS
from trading.core.records import NEWS
from trading.news.models import NewsWindow
from trading.run.journal.recovery import account_event
from trading.run.spec import SessionSpec

AHEAD_NS = 7 * 86_400 * NANOS
ROOM = 12  # of the kernel's 16: a change of the list finds room beside what was told

Span = tuple[int, int]


def ahead(venue: str, now_ns: int) -> list[Span]:
    """(start, end) of the venue's windows that are not over and begin within AHEAD_NS, at most ROOM, in order.

    Those that touch are one: what the kernel keeps is when nothing is entered, not why.
    """
    rows = NewsWindow.objects.filter(venue=venue, ends_ns__gt=now_ns, starts_ns__lt=now_ns + AHEAD_NS)
    spans: list[Span] = []
    for starts_ns, ends_ns in rows.order_by("starts_ns", "ends_ns").values_list("starts_ns", "ends_ns"):
        if spans and starts_ns <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], ends_ns)
        else:
            spans.append((starts_ns, ends_ns))
    return spans[:ROOM]


def venue_of(spec: SessionSpec) -> str:
    """Whose list counts in a session: that of its instruments' venue."""
    return INSTRUMENTS[spec.instruments[0].symbol].venue


def news_events(spans: list[Span], now_ns: int) -> list[np.ndarray]:
    """One NEWS EVENT (1,) for each."""
    events = []
    for starts_ns, ends_ns in spans:
        event = account_event(NEWS, 0, now_ns, value=starts_ns)
        event["until_ns"] = ends_ns
        events.append(event)
    return events


def opening_news(spec: SessionSpec, now_ns: int) -> list[np.ndarray]:
    """The list as a session starts, at its time or, before that is known, where its clock begins."""
    at_ns = max(spec.created_ns, now_ns)
    return news_events(ahead(venue_of(spec), at_ns), at_ns)
