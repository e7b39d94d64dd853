"""Addresses of the backtest pages; included at the root by desk.urls."""

from django.urls import path

from desk.backtests.pages import comparing, deleting, results, searching, starting, studies, views
from desk.backtests.parity import pages as parity

urlpatterns = [
    path("backtests/", views.backtests, name="backtests"),
    path("backtests/new/", starting.new, name="backtest-new"),
    path("backtests/books/", starting.books, name="books-new"),
    path("backtests/books/start/", starting.start_books, name="books-start"),
    path("backtests/start/", starting.start, name="backtest-start"),
    path("backtests/<int:run_id>/", views.run, name="backtest-run"),
    path("backtests/<int:run_id>/cancel/", views.cancel, name="backtest-cancel"),
    path("backtests/<int:run_id>/again/", starting.again, name="backtest-again"),
    path("results/<int:run_id>/", results.result, name="result"),
    path("results/<int:run_id>/delete/", deleting.delete, name="result-delete"),
    path("results/<int:run_id>/<str:name>", results.download, name="result-file"),
    path("compare/", comparing.compare, name="result-compare"),
    path("optimisation/", studies.optimisation, name="optimisation"),
    path("optimisation/new/", searching.new, name="search-new"),
    path("optimisation/start/", searching.start, name="search-start"),
    path("optimisation/new/walk/", searching.walk, name="walk-new"),
    path("optimisation/start/walk/", searching.start_walk, name="walk-start"),
    path("optimisation/<str:name>/", studies.study, name="study"),
    path("optimisation/<str:name>/cancel/", searching.cancel, name="search-cancel"),
    path("optimisation/<str:name>/again/", searching.go_on, name="search-again"),
    path("optimisation/<str:name>/<str:file>", studies.download, name="study-file"),
    path("sessions/<int:session_id>/parity/", parity.parity, name="session-parity"),
    path("sessions/<int:session_id>/parity/start/", parity.start, name="session-parity-start"),
    path("sessions/<int:session_id>/parity/cancel/", parity.cancel, name="session-parity-cancel"),
    path("sessions/<int:session_id>/parity/<str:file>", parity.download, name="session-parity-file"),
]
