"""Celery tasks of this floor, thin: each calls one function.  A message that comes twice finds the run taken."""

from typing import Any

from celery import shared_task


@shared_task(name="marketdata.tasks.run_import", ignore_result=True, acks_late=False)
def run_import(*, run_id: int, place: str = "", **_: Any) -> str:
    """Import one file that a page asked for."""
    from marketdata import imports
    from marketdata.jobs import places
    from marketdata.models import ImportRun

    return places.run(ImportRun, run_id, place, imports.run)


@shared_task(name="marketdata.tasks.run_purchase", ignore_result=True, acks_late=False)
def run_purchase(*, run_id: int, place: str = "", **_: Any) -> str:
    """Ask a vendor's prices, or buy what a person confirmed."""
    from marketdata.jobs import places, purchases
    from marketdata.models import VendorRun

    return places.run(VendorRun, run_id, place, purchases.run)
