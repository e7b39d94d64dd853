"""Addresses of the data pages; included at the root by desk.urls."""

from django.urls import path

from desk.data import buying, days, deleting, importing, views

urlpatterns = [
    path("data/", views.data_sets, name="data"),
    path("data/all.csv", views.all_csv, name="data-csv"),
    path("data/import/", importing.choose, name="data-import"),
    path("data/import/start/", importing.start, name="data-import-start"),
    path("data/imports/<int:run_id>/", importing.run, name="data-run"),
    path("data/imports/<int:run_id>/cancel/", importing.cancel, name="data-run-cancel"),
    path("data/imports/<int:run_id>/again/", importing.again, name="data-run-again"),
    path("data/databento/", buying.vendor, name="data-vendor"),
    path("data/databento/<int:run_id>/", buying.run, name="data-vendor-run"),
    path("data/databento/<int:run_id>/buy/", buying.buy, name="data-vendor-buy"),
    path("data/databento/<int:run_id>/cancel/", buying.cancel, name="data-vendor-cancel"),
    path("data/databento/<int:run_id>/again/", buying.again, name="data-vendor-again"),
    path("data/<int:data_set_id>/", views.data_set, name="data-set"),
    path("data/<int:data_set_id>/delete/", deleting.delete, name="data-set-delete"),
    path("data/<int:data_set_id>/day.json", days.points, name="data-day"),
    path("data/<int:data_set_id>/day.csv", days.points_csv, name="data-day-csv"),
    path("data/<int:data_set_id>/<slug:name>.csv", views.table_csv, name="data-set-csv"),
]
