"""The operator's event list: windows of a venue in which nothing is entered (NEWS of MES-HOLD).  Times in ns UTC.

Written by `trading.news.services` alone.  A row is never changed: another window is another row.
"""

from django.db import models
from django.db.models import F, Q

from trading.models import VENUES, one_of


class NewsWindow(models.Model):
    """One window.  `starts_ns` is in it, `ends_ns` is not."""

    venue = models.CharField(max_length=10, choices=VENUES)
    starts_ns = models.BigIntegerField()
    ends_ns = models.BigIntegerField()
    title = models.CharField(max_length=120)
    source = models.CharField(max_length=200, help_text="page, shell, or the file that it came from")
    by = models.CharField(max_length=150)
    created_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("venue", "starts_ns", "ends_ns", "title"), name="news_window_once"),
            models.CheckConstraint(condition=Q(ends_ns__gt=F("starts_ns")), name="news_ends_after_start"),
            models.CheckConstraint(condition=~Q(title=""), name="news_has_title"),
            one_of("news_venue_known", "venue", VENUES),
        )
        indexes = (models.Index(fields=("venue", "ends_ns"), name="news_not_over"),)

    def __str__(self) -> str:
        return f"{self.venue} {self.title}"
