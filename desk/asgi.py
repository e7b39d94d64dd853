"""The web process's entrance: HTTP to Django, the one socket to its consumer.

A socket is opened only by a page of this desk (Origin and Host agree) and only with a session cookie; who signed in and
with what right is the consumer's question.  Started by Daphne.
"""

import gc
import os

gc.disable()  # until all is loaded: nothing that is loaded is garbage, and looking for it is a fifth of the work

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "desk.settings")

from django.core.asgi import get_asgi_application  # noqa: E402

http_application = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402  (Django must be set up first)
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.urls import get_resolver, path  # noqa: E402

from desk.dashboard.consumers import DeskConsumer  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": http_application,
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter([path("ws/desk/", DeskConsumer.as_asgi())]))
        ),
    }
)

# Every page is loaded before the first visitor, and what is loaded stays for good: walking these 300,000 objects in a
# collection of all generations would hold every socket's frame for a fifth of a second.
_ = get_resolver().url_patterns
gc.freeze()
gc.enable()
