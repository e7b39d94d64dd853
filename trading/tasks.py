"""Celery tasks, thin: each calls one function.  Loops are acknowledged early and owned by their lease, not the broker.

A message that comes twice, late or to the wrong worker finds the lease taken and ends.  torch is imported inside the
task that needs it, never in a process that forks.
"""

from typing import Any

from celery import shared_task


@shared_task(name="trading.tasks.run_loop", acks_late=False, ignore_result=True, expires=3)
def run_loop(*, session_id: int, key: str, loop: str, **_: Any) -> str:
    """Hold one loop of one session in this worker's thread until it ends; "busy" when somebody holds it."""
    from trading.worker import HOLDER

    return HOLDER.hold(session_id, key, loop)
