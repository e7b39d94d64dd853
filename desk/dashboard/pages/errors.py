"""Pages for what is refused or not there.  They name the person and the session in the strip, so they read rows.

Django draws them in a thread of its own, whose connection no request opens or closes: one that the database has cut
would be used for ever, and every refusal would become a 500.
"""

from collections.abc import Callable

from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.views import defaults


def _leave_stale_connections() -> None:
    """As Django between requests, but never under a transaction that is open: who opened it goes on after the page."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


def _drawn(page: Callable[..., HttpResponse], request: HttpRequest, exception: Exception) -> HttpResponse:
    _leave_stale_connections()
    try:
        return page(request, exception)
    finally:
        _leave_stale_connections()


def refused(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403: who asked may not."""
    return _drawn(defaults.permission_denied, request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404: nothing stands at this address."""
    return _drawn(defaults.page_not_found, request, exception)
