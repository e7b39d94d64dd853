"""The Celery task of this room, thin.  A message that comes twice finds the run taken."""

from typing import Any

from celery import shared_task


@shared_task(name="desk.backtests.tasks.run_backtest", ignore_result=True, acks_late=False)
def run_backtest(*, run_id: int, place: str = "", **_: Any) -> str:
    """Run one backtest that a page asked for."""
    from desk.backtests import runs
    from desk.backtests.models import BacktestRun
    from marketdata.jobs import places

    return places.run(BacktestRun, run_id, place, runs.run)


@shared_task(name="desk.backtests.tasks.run_search", ignore_result=True, acks_late=False)
def run_search(*, run_id: int, place: str = "", **_: Any) -> str:
    """Run one search of parameters that a page asked for."""
    from desk.backtests import searches
    from desk.backtests.models import SearchRun
    from marketdata.jobs import places

    return places.run(SearchRun, run_id, place, searches.run)


@shared_task(name="desk.backtests.tasks.run_parity", ignore_result=True, acks_late=False)
def run_parity(*, run_id: int, place: str = "", **_: Any) -> str:
    """Hold one session against itself as a backtest."""
    from desk.backtests.models import ParityRun
    from desk.backtests.parity import jobs
    from marketdata.jobs import places

    return places.run(ParityRun, run_id, place, jobs.run)
