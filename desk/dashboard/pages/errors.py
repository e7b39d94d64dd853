"""Pages for what is refused or not there.  They name the person and the session in the strip, so they read rows.

Django draws them in a thread of its own, whose connection no request opens or closes: one that the database has cut
would be used for ever, and every refusal would become a 500.
"""

from collections.abc import Callable

from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse
from django.views import defaults


def _drawn(page: Callable[..., HttpResponse], request: HttpRequest, exception: Exception) -> HttpResponse:
    close_old_connections()
    try:
        return page(request, exception)
    finally:
        close_old_connections()


def refused(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403: who asked may not."""
    return _drawn(defaults.permission_denied, request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404: nothing stands at this address."""
    return _drawn(defaults.page_not_found, request, exception)
