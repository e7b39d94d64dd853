"""All addresses of the desk.  Every one of them asks for a signed-in person unless its view says otherwise."""

from django.contrib import admin
from django.urls import include, path

admin.autodiscover()  # here and not with the apps: only who serves pages needs them

urlpatterns = [
    path("", include("desk.dashboard.urls")),
    path("", include("desk.accounts.urls")),
    path("", include("desk.control.urls")),
    path("", include("desk.data.urls")),
    path("", include("desk.backtests.pages.urls")),
    path("", include("desk.ops.pages.urls")),
    path("", include("desk.alerts.pages.urls")),
    path("admin/", admin.site.urls),
]

handler403 = "desk.dashboard.pages.errors.refused"
handler404 = "desk.dashboard.pages.errors.not_found"
