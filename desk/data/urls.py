"""Addresses of the data pages; included at the root by desk.urls."""

from django.urls import path

from desk.data import deleting, importing, views

urlpatterns = [
    path("data/", views.data_sets, name="data"),
    path("data/all.csv", views.all_csv, name="data-csv"),
    path("data/import/", importing.choose, name="data-import"),
    path("data/import/start/", importing.start, name="data-import-start"),
    path("data/imports/<int:run_id>/", importing.run, name="data-run"),
    path("data/imports/<int:run_id>/cancel/", importing.cancel, name="data-run-cancel"),
    path("data/imports/<int:run_id>/again/", importing.again, name="data-run-again"),
    path("data/<int:data_set_id>/", views.data_set, name="data-set"),
    path("data/<int:data_set_id>/delete/", deleting.delete, name="data-set-delete"),
    path("data/<int:data_set_id>/<slug:name>.csv", views.table_csv, name="data-set-csv"),
]
