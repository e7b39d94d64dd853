"""Addresses of the pages that release what was halted, that tell a session what only a person knows, that let a rule
pass, of its statements, of the go-live gate and of the event list; included at the root by desk.urls.
"""

from django.urls import path

from desk.control import gate, news, override, remedies, reset, statements, unlock

urlpatterns = [
    path("kill/unlock/", unlock.unlock, name="unlock"),
    path("sessions/<int:session_id>/reset/", reset.reset, name="reset"),
    path("sessions/<int:session_id>/state/", remedies.page, {"name": "state"}, name="session-state"),
    path("sessions/<int:session_id>/transfer/", remedies.page, {"name": "transfer"}, name="session-transfer"),
    path("sessions/<int:session_id>/abandon/", remedies.page, {"name": "abandon"}, name="session-abandon"),
    path("sessions/<int:session_id>/lock/", remedies.page, {"name": "lock"}, name="session-lock"),
    path("sessions/<int:session_id>/pause/", remedies.page, {"name": "pause"}, name="session-pause"),
    path("sessions/<int:session_id>/override/", override.page, name="session-override"),
    path("sessions/<int:session_id>/statements/", statements.page, name="session-statements"),
    path("sessions/<int:session_id>/statements/<int:statement_id>/settle/", statements.settle, name="statement-settle"),
    path("gate/", gate.page, name="gate"),
    path("gate/<int:report_id>/", gate.report, name="gate-report"),
    path("gate/override/", gate.override, name="gate-override"),
    path("news/", news.page, name="news"),
    path("news/<int:window_id>/remove/", news.remove, name="news-remove"),
]
