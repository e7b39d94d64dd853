"""The Celery task of this room, thin.  A message that comes twice finds the run taken."""

from typing import Any

from celery import shared_task


@shared_task(name="desk.backtests.tasks.run_backtest", ignore_result=True, acks_late=False)
def run_backtest(*, run_id: int, **_: Any) -> str:
    """Run one backtest that a page asked for."""
    from desk.backtests import runs

    return runs.run(run_id)


@shared_task(name="desk.backtests.tasks.run_search", ignore_result=True, acks_late=False)
def run_search(*, run_id: int, **_: Any) -> str:
    """Run one search of parameters that a page asked for."""
    from desk.backtests import searches

    return searches.run(run_id)


@shared_task(name="desk.backtests.tasks.run_parity", ignore_result=True, acks_late=False)
def run_parity(*, run_id: int, **_: Any) -> str:
    """Hold one session against itself as a backtest."""
    from desk.backtests.parity import jobs

    return jobs.run(run_id)
