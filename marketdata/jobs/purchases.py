"""Looks at a vendor's prices and purchases as batch jobs: priced, confirmed by a person, bought by month, checked.

The work is the archive's, the same that `manage.py databento` does, under its lock, ledger and cap.  Only the worker
sends the key.  What a person confirmed is the most that a purchase may cost, all its attempts and goings-on together:
it is noted before a request is sent.  Called by the data pages and by the Celery task.
"""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from marketdata.core.instruments import INSTRUMENTS
from marketdata.databento.archive import Archive, Cancelled, Part, Plan, changed, dollars
from marketdata.databento.client import GATEWAY, Quote, Vendor, read_key
from marketdata.databento.joined import file_name, join
from marketdata.databento.request import DatabentoError, Series, Span, series, span_of, without
from marketdata.feeds.dbn import root_of
from marketdata.feeds.port import FeedError
from marketdata.imports import Voice
from marketdata.memory.guard import MemoryRefused
from marketdata.models import CANCELLED, DONE, FAILED, OPEN, RUNNING, VendorRun
from marketdata.services import cancel_job, end_job, import_history, open_job, take_job
from marketdata.store.report import STORED_SCHEMAS, ImportCancelled

GATEWAY_VARIABLE = "DATABENTO_GATEWAY"
PRICE_AGE_S_MAX = 1800  # a price that was asked longer ago is asked for again
ASKS, BUYS, STORES = "asks for prices", "buys", "puts into the store"
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
    if row.finished_at is not None and row.finished_at < timezone.now() - timedelta(seconds=PRICE_AGE_S_MAX):
        return "the price is older than 30 minutes: ask for it again"
    return ""


# asking


def ask_price(what: Series, start: str, end: str, cap_micros: int, by: str, queue: Queue) -> VendorRun:
    """A new look at the vendor's prices; the open one of the same request where there is one."""
    asked = _hash([VendorRun.PRICE, *dataclasses.astuple(what), start, end, cap_micros])
    fields = {**dataclasses.asdict(what), "start": start, "end": end, "cap_micros": cap_micros}
    return open_job(VendorRun, asked, queue, purpose=VendorRun.PRICE, by=by, **fields)


def ask_purchase(priced: VendorRun, typed: str, by: str, queue: Queue) -> VendorRun:
    """Buy what was priced.  `typed`: the amount as the person wrote it.  Raises NotBuyable."""
    if why := why_not(priced):
        raise NotBuyable(why)
    check_amount(priced, typed)
    return _purchase(priced, plan_of(priced).total.micros, 0, by, queue)


def check_amount(priced: VendorRun, typed: str) -> None:
    """Raises NotBuyable unless a person typed what it costs."""
    wanted = dollars(plan_of(priced).total.micros)
    if typed.strip().lstrip("$").strip() != wanted:
        raise NotBuyable(f"type the amount as it stands there, {wanted}: what was typed is another")


def go_on(row: VendorRun, by: str, queue: Queue) -> VendorRun:
    """Go on with a purchase that ended early, for what is left of the confirmed amount.  Raises NotBuyable."""
    if row.purpose != VendorRun.PURCHASE or row.state not in (FAILED, CANCELLED) or row.priced is None:
        raise NotBuyable("only a purchase that was stopped goes on")
    newest = row.priced.purchases.order_by("-id").first()
    if newest is not None and newest.pk != row.pk:
        raise NotBuyable(f"run {newest.pk} went on with it already")
    return _purchase(row.priced, row.cap_micros, row.spent_micros, by, queue)


def _purchase(priced: VendorRun, cap_micros: int, spent_micros: int, by: str, queue: Queue) -> VendorRun:
    what = series_of(priced)
    made = open_job(
        VendorRun,
        _hash([VendorRun.PURCHASE, *dataclasses.astuple(what)]),  # one purchase of a series at a time
        queue,
        purpose=VendorRun.PURCHASE,
        by=by,
        start=priced.start,
        end=priced.end,
        plan=priced.plan,
        priced=priced,
        cap_micros=cap_micros,
        spent_micros=spent_micros,
        total=plan_of(priced).total.records,
        **dataclasses.asdict(what),
    )
    if made.priced_id != priced.pk:
        raise NotBuyable(f"purchase {made.pk} of {what.symbol} {what.schema} is under way: wait for it")
    return made


def cancel(run_id: int, by: str) -> bool:
    """Ask a run to end: a purchase ends after its present month, which is kept.  False: it is over."""
    return cancel_job(VendorRun, run_id, by)


def _hash(values: list[object]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


# running


class VendorVoice(Voice):
    """What a run at work says and hears."""

    kind = VendorRun

    def at(self, step: str, done: int, total: int) -> None:
        """A new step, of so many records or questions."""
        VendorRun.objects.filter(pk=self.run_id, state=RUNNING).update(step=step, done=done, total=total, rate=0)
        self.restart()
        self.progress(done)


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
                ended = _Purchase(row, speaks).work(vendor)
    except (Cancelled, ImportCancelled) as stopped:
        end_job(VendorRun, run_id, CANCELLED, detail=str(stopped))
    except (DatabentoError, FeedError, MemoryRefused) as refusal:
        end_job(VendorRun, run_id, FAILED, detail=str(refusal))
    except OSError as error:
        words = f"{error.filename or row.symbol}: {error.strerror or error}; {VendorRun.GO_ON}"
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


class _Purchase:
    """One purchase at work."""

    def __init__(self, row: VendorRun, voice: VendorVoice) -> None:
        self._row, self._voice, self._done = row, voice, 0
        self._what, self._plan = series_of(row), plan_of(row)
        self._archive = Archive(root(), self._what)

    def work(self, vendor: Callable[[], Vendor]) -> dict[str, Any]:
        """Buy what is still missing, then put the whole span into the store; fields of the ended row."""
        missing = without(self._plan.span, [part.span for part in self._archive.parts()])
        left = [(span, quote) for span, quote in self._plan.parts if span in _cut(missing, self._plan)]
        self._voice.at(BUYS, 0, sum(quote.records for _, quote in left))
        if left:
            rest = dataclasses.replace(self._plan, parts=left)
            allowed = self._row.cap_micros - self._row.spent_micros
            self._archive.download(rest, vendor(), allowed, self._row.by, self._bought, self._stopped, self._billed)
        parts = self._parts()
        report = {"parts": [_told(part) for part in parts]}
        VendorRun.objects.filter(pk=self._row.pk).update(report=report)
        if why := unstorable(self._what):
            return {"report": report, "detail": why}
        return {"report": report, **self._store(parts)}

    def _bought(self, span: Span, quote: Quote) -> None:
        self._done += quote.records
        self._voice.progress(self._done)

    def _billed(self, micros: int) -> None:
        """Before a request is sent: what it may cost is spent, whatever comes of it."""
        VendorRun.objects.filter(pk=self._row.pk).update(spent_micros=F("spent_micros") + micros)

    def _stopped(self) -> bool:
        self._voice.progress(self._done)
        return self._voice.cancelled()

    def _parts(self) -> list[Part]:
        """The held parts of the span, each still the file that was bought.  Raises DatabentoError."""
        span = self._plan.span
        parts = [
            part
            for part in self._archive.parts()
            if part.span.start_ns < span.end_ns and part.span.end_ns > span.start_ns
        ]
        for part in parts:
            if fault := changed(part):
                raise DatabentoError(fault)
        return parts

    def _store(self, parts: list[Part]) -> dict[str, Any]:
        """One data set of all parts."""
        records = sum(part.found.records for part in parts)
        self._voice.at(STORES, 0, records)
        with self._archive.locked():
            work = root() / f".join-{self._row.pk}"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            try:
                path = parts[0].path
                if len(parts) > 1:
                    path = work / file_name(parts, self._what)
                    if not join(parts, self._what, path, self._stopped):
                        raise Cancelled(f"stopped; all files are held; {VendorRun.GO_ON}")
                stored = import_history(
                    path,
                    symbol=root_of(self._what.symbol),
                    options={},
                    schema=self._what.schema,
                    progress=self._voice.progress,
                    cancelled=self._voice.cancelled,
                    by=self._row.by,
                    origin={"purchase": self._row.pk, "series": self._what.symbol, "files": len(parts)},
                )
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return {"data_set": stored, "done": records, "total": records}


def _cut(missing: list[Span], plan: Plan) -> set[Span]:
    """The plan's parts that lie inside what is missing: a part is held whole or not at all."""
    return {
        part
        for part, _ in plan.parts
        if any(hole.start_ns <= part.start_ns and part.end_ns <= hole.end_ns for hole in missing)
    }


def unstorable(what: Series) -> str:
    """Why a series is held and not put into the store; empty when it is."""
    if what.schema not in STORED_SCHEMAS:
        return f"the store does not take {what.schema}: the files are held in var/databento"
    if root_of(what.symbol) not in INSTRUMENTS:
        return f"{root_of(what.symbol)} is no instrument of this desk: the files are held in var/databento"
    return ""


def _told(part: Part) -> dict[str, Any]:
    """A line of the report."""
    return {
        "file": part.path.name,
        "start_ns": part.span.start_ns,
        "end_ns": part.span.end_ns,
        "records": part.found.records,
        "first_us": part.found.first_ns // 1000,
        "last_us": part.found.last_ns // 1000,
        "version": part.found.version,
        "rolls": part.found.rolls,
        "partial": part.found.partial,
        "size": part.size,
        "sha256": part.sha256,
        "micros": part.micros,
    }
