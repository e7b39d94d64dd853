"""Address of the one page that releases a kill; included at the root by desk.urls."""

from django.urls import path

from desk.control import unlock

urlpatterns = [path("kill/unlock/", unlock.unlock, name="unlock")]
