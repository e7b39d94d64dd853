"""Celery tasks of studies, thin: each calls one function.  A message that comes twice or late finds no place free."""

from typing import Any

from celery import shared_task

from trading.studies.exchange import LEND_HAND


@shared_task(name=LEND_HAND, ignore_result=True, acks_late=False)
def lend_hand(*, run_id: int, **_: Any) -> str:
    """Run trials of one study for a while."""
    from trading.studies import hand

    return hand.lend(run_id)
