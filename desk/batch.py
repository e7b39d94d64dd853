"""The one way into the batch queue: is anybody there, then the job.

Called by the pages whose work takes long, each of which keeps its own row of the job and closes it when the queue is
away, and by studies on many workers, which know it by the settings SEND_JOB and COUNT_WORKERS alone.
"""

from django.conf import settings
from redis import RedisError

from marketdata.jobs import places
from trading.run.streams import make_client

SOON_S, SILENT_S = 0.4, 1.5  # a broker waits out its time whoever answers: only silence is waited for longer


def send(task: str, **fields: object) -> str:
    """Put a job into the queue; why it could not be, empty when it was.  Asked first whether anybody is there:
    Celery's own client waits for seconds before it gives up.  The job is told which runtime folder it is of."""
    from kombu.exceptions import OperationalError

    from desk.celery import app  # the web does not load Celery before somebody queues a job

    try:
        with make_client(settings.REDIS_URL) as client:
            client.ping()
        app.send_task(task, kwargs={**fields, "place": places.here()}, retry=False)
    except (RedisError, OperationalError) as error:
        return str(error)
    return ""


def workers() -> tuple[int, str]:
    """How many workers of the batch queue answer; and why they could not be asked, empty when they were."""
    from kombu.exceptions import OperationalError

    from desk.celery import app
    from trading.worker import answering

    try:
        with make_client(settings.REDIS_URL) as client:
            client.ping()
        return answering(app, "batch", SOON_S) or answering(app, "batch", SILENT_S), ""
    except (RedisError, OperationalError, OSError) as error:
        return 0, str(error)
