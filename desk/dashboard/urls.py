"""Addresses of the pages and of the commands."""

from django.urls import path

from desk.dashboard import api, kill, views
from desk.dashboard.live import chart, replay
from desk.dashboard.pages import reports, risk, starting, why

urlpatterns = [
    path("", views.root, name="root"),
    path("welcome/", starting.welcome, name="welcome"),
    path("preflight/", starting.preflight, name="preflight"),
    path("desk/", views.desk, name="desk"),
    path("desk/<int:session_id>/", views.desk, name="desk-session"),
    path("sessions/", reports.session_list, name="sessions"),
    path("sessions/all.csv", reports.sessions_csv, name="sessions-csv"),
    path("sessions/new/", starting.new_session, name="new-session"),
    path("sessions/<int:session_id>/", reports.report, name="session"),
    path("sessions/<int:session_id>/replay/", replay.replay, name="session-replay"),
    path("risk/", risk.latest, name="risk"),
    path("sessions/<int:session_id>/risk/", risk.page, name="session-risk"),
    path("sessions/<int:session_id>/risk/hedges.csv", risk.hedges_csv, name="session-hedges-csv"),
    path("sessions/<int:session_id>/why/", why.page, name="session-why"),
    path("sessions/<int:session_id>/why/rules.csv", why.rules_csv, name="session-why-csv"),
    path("sessions/<int:session_id>/command/", views.session_command, name="session-command"),
    path("sessions/<int:session_id>/trades/<int:seq>/", reports.trade, name="trade"),
    path("sessions/<int:session_id>/<slug:name>.csv", reports.session_csv, name="session-csv"),
    path("api/commands/", api.give, name="commands"),
    path("api/commands/<uuid:key>/", api.state, name="command"),
    path("api/bars/<int:session_id>/", chart.bars, name="bars"),
    path("api/marks/<int:session_id>/", chart.marks, name="marks"),
    path("api/sessions/", chart.session_rail, name="session-rail"),
    path("kill/", kill.kill, name="kill"),
]
