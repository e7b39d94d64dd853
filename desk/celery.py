"""The Celery application: queues, delivery rules, and nothing about what the tasks do.

Loops are acknowledged early and owned by a lease, never by the broker: a redelivered message finds the lease taken.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "desk.settings")
# Django's checks load every page: a second of a worker's start and 100 MB for good.  The web process loads them anyway.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

from desk import settings  # the environment must be set first
from trading.worker import LoopSupervisor

app = Celery("desk")
app.conf.update(
    broker_url=settings.REDIS_URL,
    result_backend=None,
    task_ignore_result=True,
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 7200, "socket_keepalive": True, "socket_timeout": 30},
    task_default_queue="default",
    task_routes={
        "marketdata.tasks.run_import": {"queue": "batch"},
        "marketdata.tasks.run_purchase": {"queue": "batch"},
        "trading.tasks.run_loop": {"queue": "loops"},
        "desk.backtests.tasks.run_backtest": {"queue": "batch"},
        "desk.backtests.tasks.run_search": {"queue": "batch"},
        "desk.backtests.tasks.run_parity": {"queue": "batch"},
        "trading.studies.tasks.lend_hand": {"queue": settings.STUDY_QUEUE},
        "desk.ops.tasks.run_drill": {"queue": "batch"},
        "desk.config.tasks.run_impact": {"queue": "batch"},
    },
    timezone="UTC",
)
app.set_default()  # threads of the web process ask the same app, not an unconfigured one
app.autodiscover_tasks()
app.steps["worker"].add(LoopSupervisor)
