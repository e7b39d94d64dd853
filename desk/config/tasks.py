"""Celery tasks of configuration, thin: each calls one function.  A message that comes twice finds the run taken."""

from typing import Any

from celery import shared_task


@shared_task(name="desk.config.tasks.run_impact", ignore_result=True, acks_late=False)
def run_impact(*, run_id: int, place: str = "", **_: Any) -> str:
    """Replay the last sessions under one version; `place`: whose runtime folder has their journals."""
    from desk.config import previews

    return previews.run(run_id, place)
