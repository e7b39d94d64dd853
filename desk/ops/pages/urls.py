"""Addresses of the Operations pages; included at the root by desk.urls."""

from django.urls import path

from desk.ops.pages import asking, metrics, views

urlpatterns = [
    path("ops/", views.operations, name="ops"),
    path("ops/latency/", views.latency, name="ops-latency"),
    path("ops/drills/", views.drills, name="ops-drills"),
    path("ops/drills/start/", views.start, name="ops-drill-start"),
    path("ops/drills/<int:run_id>/", views.drill, name="ops-drill"),
    path("ops/drills/<int:run_id>/cancel/", views.cancel, name="ops-drill-cancel"),
    path("ops/live/<int:session_id>/replace/", asking.replace, name="ops-replace"),
    path("ops/live/<int:session_id>/resync/", asking.resync, name="ops-resync"),
    path("metrics/", metrics.metrics, name="metrics"),
]
