"""The one way into the queues of jobs: is anybody there, then the job; and who takes the trials of studies.

Called by the pages whose work takes long, each of which keeps its own row of the job and closes it when the queue is
away, and by studies on many workers, which know it by the settings SEND_JOB and COUNT_WORKERS alone.  Which queue a job
goes into, `desk.celery` says.
"""

from django.conf import settings
from redis import RedisError

from marketdata.jobs import places
from trading.run.streams import make_client

SOON_S, SILENT_S = 0.4, 1.5  # a broker waits out its time whoever answers: only silence is waited for longer


def send(task: str, **fields: object) -> str:
    """Put a job into its queue; why it could not be, empty when it was.  Asked first whether anybody is there:
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
    """How many workers of the queue of studies answer; and why they could not be asked, empty when they were."""
    from kombu.exceptions import OperationalError

    from desk.celery import app
    from trading.worker import answering

    try:
        with make_client(settings.REDIS_URL) as client:
            client.ping()
        return answering(app, settings.STUDY_QUEUE, SOON_S) or answering(app, settings.STUDY_QUEUE, SILENT_S), ""
    except (RedisError, OperationalError, OSError) as error:
        return 0, str(error)
