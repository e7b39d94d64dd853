"""Addresses of the alerts; included at the root by desk.urls."""

from django.urls import path

from desk.alerts.pages import views

urlpatterns = [
    path("alerts/", views.page, name="alerts"),
    path("alerts/acknowledge/", views.acknowledge_all, name="alerts-acknowledge"),
    path("alerts/test/", views.rehearse, name="alerts-test"),
    path("alerts/<int:alert_id>/acknowledge/", views.acknowledge, name="alert-acknowledge"),
]
