"""Looks at a vendor's prices and purchases as batch jobs: priced, confirmed by a person, bought by month, checked.

The work is the archive's, the same that `manage.py databento` does, under its lock, ledger and cap.  Only the worker
sends the key.  What a person confirmed is the most that a purchase may cost, all its attempts and goings-on together:
it is noted before a request is sent.  Called by the data pages and by the Celery task.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Max
from django.utils import timezone

from marketdata.databento.archive import Archive, Cancelled, Plan, dollars
from marketdata.databento.client import GATEWAY, Quote, Vendor, read_key
from marketdata.databento.request import DatabentoError, Series, Span, series, span_of
from marketdata.feeds.port import FeedError
from marketdata.jobs.buying import ASKS, Purchase, VendorVoice, left_of, room_bytes
from marketdata.memory.disk import refusal
from marketdata.memory.guard import MemoryRefused
from marketdata.models import CANCELLED, DONE, FAILED, OPEN, RUNNING, VendorRun
from marketdata.services import cancel_job, end_job, open_job, take_job
from marketdata.store.report import ImportCancelled

GATEWAY_VARIABLE = "DATABENTO_GATEWAY"
PRICE_AGE_S_MAX = 1800  # a price that was asked longer ago is asked for again
GO_ON_AGE_S_MAX = 86_400  # behind a price that was asked longer ago nothing more is bought
Queue = Callable[[int], str]


class NotBuyable(Exception):
    """What may not be bought as it was asked; the text says why and what to do."""


def root() -> Path:
    """Where what was bought lies."""
    return Path(settings.VAR) / "databento"


def open_vendor() -> Vendor:
    """The account of this process's environment.  Raises DatabentoError."""
    return Vendor(read_key(), os.environ.get(GATEWAY_VARIABLE, GATEWAY))


def key_fault() -> str:
    """Why there is no key to ask with; empty when there is one."""
    try:
        read_key()
    except DatabentoError as error:
        return str(error)
    return ""


# looking


def find_run(run_id: int) -> VendorRun:
    """Raises VendorRun.DoesNotExist."""
    return VendorRun.objects.select_related("data_set", "priced").get(pk=run_id).looked()


def runs(count: int) -> list[VendorRun]:
    """The newest."""
    return [row.looked() for row in VendorRun.objects.select_related("data_set").order_by("-id")[:count]]


def open_runs() -> list[VendorRun]:
    """Those at work and those that wait."""
    rows = [row.looked() for row in VendorRun.objects.filter(state__in=OPEN).order_by("id")]
    return [row for row in rows if row.state in OPEN]


def series_of(row: VendorRun) -> Series:
    """What a run is about.  Raises DatabentoError."""
    return series(row.symbol, row.schema, row.dataset)


def plan_of(row: VendorRun) -> Plan:
    """What its look at the prices found.  Raises DatabentoError."""
    kept = row.plan
    parts = [(Span(start, end), Quote(*quote)) for start, end, *quote in kept["parts"]]
    return Plan(series_of(row), Span(kept["start_ns"], kept["end_ns"]), parts, kept["held"])


def why_not(row: VendorRun) -> str:
    """Why what was priced may not be bought; empty when a person may confirm it."""
    if row.purpose != VendorRun.PRICE or row.state != DONE:
        return "the price is not known yet"
    if not row.plan["parts"]:
        return "all of it is held already: there is nothing to buy"
    cost = plan_of(row).total.micros
    if cost > row.cap_micros:
        cap = dollars(row.cap_micros)
        return f"it costs ${dollars(cost)}, more than the cap of ${cap}: ask again for less, or with a higher cap"
    if _older(row, PRICE_AGE_S_MAX):
        return "the price is older than 30 minutes: ask for it again"
    return _no_room(row)


def _no_room(row: VendorRun) -> str:
    """Why the disk of this desk cannot take what was priced; empty when it can."""
    plan = plan_of(row)
    archive = Archive(root(), plan.series)
    try:
        return refusal("the purchase", room_bytes(plan, archive), archive.folder)
    except (DatabentoError, OSError) as error:
        return str(error)


def _older(priced: VendorRun, seconds: int) -> bool:
    """Whether a price was told longer ago."""
    return priced.finished_at is not None and priced.finished_at < timezone.now() - timedelta(seconds=seconds)


# asking


def ask_price(what: Series, start: str, end: str, cap_micros: int, by: str, queue: Queue) -> VendorRun:
    """A new look at the vendor's prices; the open one of the same request where there is one."""
    asked = _hash([VendorRun.PRICE, *dataclasses.astuple(what), start, end, cap_micros])
    fields = {**dataclasses.asdict(what), "start": start, "end": end, "cap_micros": cap_micros}
    return open_job(VendorRun, asked, queue, purpose=VendorRun.PRICE, by=by, **fields)


def ask_purchase(priced: VendorRun, typed: str, by: str, queue: Queue) -> VendorRun:
    """Buy what was priced, once: who presses twice gets the purchase that is under way.  `typed`: the amount as the
    person wrote it.  Raises NotBuyable."""
    if why := why_not(priced):
        raise NotBuyable(why)
    check_amount(priced, typed)
    newest = _newest(priced)
    if newest is not None and newest.looked().state not in OPEN:
        raise NotBuyable(_taken(newest))
    return _purchase(priced, None, by, queue)


def check_amount(priced: VendorRun, typed: str) -> None:
    """Raises NotBuyable unless a person typed what it costs."""
    wanted = dollars(plan_of(priced).total.micros)
    if typed.strip().lstrip("$").strip() != wanted:
        raise NotBuyable(f"type the amount as it stands there, {wanted}: what was typed is another")


def go_on(row: VendorRun, by: str, queue: Queue) -> VendorRun:
    """Go on with a purchase that ended early, for what is left of the confirmed amount.  Raises NotBuyable."""
    if row.purpose != VendorRun.PURCHASE or row.state not in (FAILED, CANCELLED) or row.priced is None:
        raise NotBuyable("only a purchase that was stopped goes on")
    newest = _newest(row.priced)
    if newest is not None and newest.pk != row.pk:
        raise NotBuyable(f"run {newest.pk} went on with it already")
    try:
        left = left_of(plan_of(row), Archive(root(), series_of(row)))
    except DatabentoError as refusal:
        raise NotBuyable(str(refusal)) from None
    if left and _older(row.priced, GO_ON_AGE_S_MAX):
        raise NotBuyable("its price is older than a day: ask for the price again, it counts only what is missing")
    return _purchase(row.priced, row, by, queue)


def _purchase(priced: VendorRun, after: VendorRun | None, by: str, queue: Queue) -> VendorRun:
    """A purchase of what was priced, the first or the one that follows `after`: never two that follow the same."""
    what = series_of(priced)

    def first(run_id: int) -> str:
        """Asked when the row stands, of which one a series can be open: what came between is over, and is seen here."""
        if (newest := _newest(priced, run_id)) != after:
            VendorRun.objects.filter(pk=run_id).delete()
            raise NotBuyable(_taken(newest))
        return queue(run_id)

    made = open_job(
        VendorRun,
        _hash([VendorRun.PURCHASE, *dataclasses.astuple(what)]),  # one purchase of a series at a time
        first,
        purpose=VendorRun.PURCHASE,
        by=by,
        start=priced.start,
        end=priced.end,
        plan=priced.plan,
        priced=priced,
        cap_micros=plan_of(priced).total.micros,
        spent_micros=priced.purchases.aggregate(most=Max("spent_micros"))["most"] or 0,  # each has that of those before
        total=plan_of(priced).total.records,
        **dataclasses.asdict(what),
    )
    if made.priced_id != priced.pk:
        raise NotBuyable(f"purchase {made.pk} of {what.symbol} {what.schema} is under way: wait for it")
    return made


def _newest(priced: VendorRun, but: int = 0) -> VendorRun | None:
    """The last purchase of what was priced."""
    return priced.purchases.exclude(pk=but).order_by("-id").first()


def _taken(run: VendorRun | None) -> str:
    number = "another run" if run is None else f"run {run.pk}"
    return f"{number} bought it already, or began to: open that run, and go on there if it was stopped"


def cancel(run_id: int, by: str) -> bool:
    """Ask a run to end: a purchase ends after its present month, which is kept.  False: it is over."""
    return cancel_job(VendorRun, run_id, by)


def _hash(values: list[object]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


# running


def run(run_id: int, voice: type[VendorVoice] = VendorVoice, vendor: Callable[[], Vendor] = open_vendor) -> str:
    """Do the work of a waiting run in this process.  Returns the state in which it ended, "" if it was not waiting."""
    if (taken := take_job(VendorRun, run_id)) != RUNNING:
        return taken
    row = VendorRun.objects.get(pk=run_id)
    ended: dict[str, Any] = {}
    try:
        with voice(run_id) as speaks:
            if row.purpose == VendorRun.PRICE:
                ended = _price(row, vendor(), speaks)
            else:
                ended = Purchase(row, plan_of(row), Archive(root(), series_of(row)), speaks).work(vendor)
    except (Cancelled, ImportCancelled) as stopped:
        end_job(VendorRun, run_id, CANCELLED, detail=str(stopped))
    except (DatabentoError, FeedError, MemoryRefused) as refusal:
        end_job(VendorRun, run_id, FAILED, detail=str(refusal))
    except OSError as error:
        words = f"{error.filename or row.symbol}: {error.strerror or error}; {row.instead}"
        end_job(VendorRun, run_id, FAILED, detail=words)
    except Exception as error:
        end_job(VendorRun, run_id, FAILED, detail=f"{type(error).__name__}: {error}")
        raise
    else:
        end_job(VendorRun, run_id, DONE, **ended)
    return str(VendorRun.objects.values_list("state", flat=True).get(pk=run_id))


def _price(row: VendorRun, vendor: Vendor, voice: VendorVoice) -> dict[str, Any]:
    """Fields of the ended row: what is missing, each month with its price, and the days that the vendor calls bad."""
    what = series_of(row)
    span = span_of(row.start, row.end, vendor.available(what), datetime.now(UTC).date())

    def tell(done: int, months: int) -> None:
        if done == 0:
            voice.at(ASKS, 0, months)
        voice.progress(done)

    plan = Archive(root(), what).plan(vendor, span, tell, voice.cancelled)
    degraded = vendor.degraded(what, span)
    kept = {
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "held": plan.held,
        "parts": [[*part, *dataclasses.astuple(quote)] for part, quote in plan.parts],
        "degraded": degraded,
    }
    return {"plan": kept, "done": len(plan.parts), "total": len(plan.parts)}
