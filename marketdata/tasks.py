"""Celery tasks of this floor, thin: each calls one function.  A message that comes twice finds the run taken."""

from typing import Any

from celery import shared_task


@shared_task(name="marketdata.tasks.run_import", ignore_result=True, acks_late=False)
def run_import(*, run_id: int, **_: Any) -> str:
    """Import one file that a page asked for."""
    from marketdata import imports

    return imports.run(run_id)
