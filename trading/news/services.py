"""The event list as rows: windows are added one by one or from a file, and taken out with a reason.

Adding reduces, so nothing but the right to is asked; taking one out raises risk, its page asks for a step-up.  Every
change leaves an audit row.  The rights were checked by the caller: the pages and `manage.py news`.
"""

from typing import Any, NamedTuple

from django.db import transaction
from django.utils import timezone

from trading.configs import tell_audit
from trading.models import VENUES
from trading.news.csvfile import Row, read, window
from trading.news.models import NewsWindow

VENUE_NAMES = tuple(name for name, _ in VENUES)
PAGE = 50


class Added(NamedTuple):
    """How many windows are new, and how many stood already."""

    new: int
    known: int


def add(rows: list[Row], *, by: str, source: str) -> Added:
    """Store windows; one that stands already is left as it is."""
    own: dict[str, Any] = {"source": source[:200], "by": by, "created_at": timezone.now()}  # of this call alone
    with transaction.atomic():
        NewsWindow.objects.bulk_create([NewsWindow(**row._asdict(), **own) for row in rows], ignore_conflicts=True)
        new = NewsWindow.objects.filter(**own).count()
        if new:
            detail = {"source": source, "windows": new, "first": min(rows, key=lambda r: r.starts_ns)._asdict()}
            tell_audit("control", "news_added", by, "news", detail)
    return Added(new, len(rows) - new)


def add_one(starts: str, ends: str, venue: str, title: str, *, by: str, source: str, zone: str = "") -> Added:
    """Store one window as a person wrote it.  Raises ValueError with one sentence."""
    return add([window(starts, ends, venue, title, VENUE_NAMES, zone)], by=by, source=source)


def import_csv(data: bytes, *, by: str, source: str) -> Added:
    """Store a file's windows, all or none.  Raises csvfile.NewsRefused with every bad line."""
    return add(read(data, VENUE_NAMES), by=by, source=source)


def remove(window_id: int, *, by: str, reason: str) -> NewsWindow:
    """Take a window out of the list.  A session that was told of it keeps it until it ends.  Raises DoesNotExist."""
    with transaction.atomic():
        row = NewsWindow.objects.select_for_update().get(id=window_id)
        detail: dict[str, Any] = values(row) | {"reason": reason}
        row.delete()
        tell_audit("control", "news_removed", by, f"news {window_id}", detail)
    row.id = window_id
    return row


def values(row: NewsWindow) -> dict[str, Any]:
    """Plain values of a window for pages, commands and the audit."""
    names = ("id", "venue", "starts_ns", "ends_ns", "title", "source", "by")
    shown = {name: getattr(row, name) for name in names}
    return shown | {"starts_us": row.starts_ns // 1000, "ends_us": row.ends_ns // 1000}


def listed(first: int = 0, limit: int = PAGE) -> tuple[list[dict[str, Any]], int | None]:
    """Windows from the `first` on, the latest start first, and where the next page begins; None at the end.

    By no clock: a simulated session's time is another than the wall's.
    """
    found = list(NewsWindow.objects.order_by("-starts_ns", "-id")[first : first + limit + 1])
    return [values(row) for row in found[:limit]], first + limit if len(found) > limit else None
