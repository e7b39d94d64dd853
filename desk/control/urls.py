"""Addresses of the pages that release what was halted: a kill, a halt by name; included at the root by desk.urls."""

from django.urls import path

from desk.control import reset, unlock

urlpatterns = [
    path("kill/unlock/", unlock.unlock, name="unlock"),
    path("sessions/<int:session_id>/reset/", reset.reset, name="reset"),
]
