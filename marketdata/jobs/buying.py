"""A purchase at work: prices asked once more, months bought and checked, put together, stored.

Nothing is paid that costs more than it did when a person confirmed it, whatever time has passed since.  Runs in the
batch worker, under the archive's lock, ledger and cap.  Called by `marketdata.jobs.purchases`.
"""

import dataclasses
import shutil
from collections.abc import Callable
from typing import Any

from django.db.models import F

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.units import MICROS
from marketdata.databento.archive import Archive, Cancelled, Part, Plan, changed
from marketdata.databento.client import Quote, Vendor
from marketdata.databento.joined import file_name, join
from marketdata.databento.request import DatabentoError, Series, Span, without, words
from marketdata.databento.room import check, needed_bytes
from marketdata.feeds.dbn import root_of
from marketdata.imports import Voice
from marketdata.models import RUNNING, VendorRun
from marketdata.services import import_history
from marketdata.store.report import STORED_SCHEMAS

ASKS, BUYS, JOINS, STORES = "asks for prices", "buys", "joins the months", "puts into the store"


class VendorVoice(Voice):
    """What a run at work says and hears."""

    kind = VendorRun

    def at(self, step: str, done: int, total: int) -> None:
        """A new step, of so many records or questions."""
        VendorRun.objects.filter(pk=self.run_id, state=RUNNING).update(step=step, done=done, total=total, rate=0)
        self.restart()
        self.progress(done)


def left_of(plan: Plan, archive: Archive) -> list[tuple[Span, Quote]]:
    """What of a plan is not held yet: a part of it is held whole or not at all.  Raises DatabentoError when somebody
    bought a piece of a part meanwhile: what is missing was then not priced so."""
    held = [part.span for part in archive.parts()]
    missing = without(plan.span, held)
    left = [
        (span, quote)
        for span, quote in plan.parts
        if any(hole.start_ns <= span.start_ns and span.end_ns <= hole.end_ns for hole in missing)
    ]
    for hole in without(plan.span, [*held, *(span for span, _ in left)]):
        raise DatabentoError(
            f"a piece of what was priced is held by now, and {words(hole.start_ns)} to {words(hole.end_ns)} is missing:"
            " ask for the price again, it counts only what is missing"
        )
    return left


class Purchase:
    """One purchase at work."""

    def __init__(self, row: VendorRun, plan: Plan, archive: Archive, voice: VendorVoice) -> None:
        self._row, self._voice, self._done = row, voice, 0
        self._what, self._plan, self._archive = plan.series, plan, archive

    def work(self, vendor: Callable[[], Vendor]) -> dict[str, Any]:
        """Buy what is still missing, then put the whole span into the store; fields of the ended row."""
        if left := left_of(self._plan, self._archive):
            self._buy(left, vendor())
        parts = self._parts()
        report = {"parts": [_told(part) for part in parts]}
        VendorRun.objects.filter(pk=self._row.pk).update(report=report)
        if why := unstorable(self._what):
            return {"report": report, "detail": why}
        return {"report": report, **self._store(parts)}

    def _buy(self, left: list[tuple[Span, Quote]], vendor: Vendor) -> None:
        """The parts at the vendor's price of now, when the disk has room for all that comes of them."""
        check("the purchase", room_bytes(self._plan, self._archive), self._archive.folder)
        fresh = self._asked_anew(left, vendor)
        self._voice.at(BUYS, 0, sum(quote.records for _, quote in fresh))
        rest = dataclasses.replace(self._plan, parts=fresh)
        allowed = self._row.cap_micros - self._row.spent_micros
        self._archive.download(rest, vendor, allowed, self._row.by, self._bought, self._stopped, self._billed)

    def _asked_anew(self, left: list[tuple[Span, Quote]], vendor: Vendor) -> list[tuple[Span, Quote]]:
        """Each part with its price and records of now: hours may have passed in the queue, months before somebody goes
        on (MES-DBN-05).  Raises DatabentoError where a price rose."""
        fresh: list[tuple[Span, Quote]] = []
        self._voice.at(ASKS, 0, len(left))
        for span, confirmed in left:
            if self._voice.cancelled():
                raise Cancelled(f"stopped before anything more was bought; {VendorRun.GO_ON}")
            quote = vendor.quote(self._what, span)
            if quote.micros > confirmed.micros:
                raise DatabentoError(
                    f"the month from {words(span.start_ns)} costs ${_exactly(quote.micros)} now, and"
                    f" ${_exactly(confirmed.micros)} were confirmed: nothing more was bought; ask for the price again"
                )
            fresh.append((span, quote))
            self._voice.progress(len(fresh))
        return fresh

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
        with self._archive.locked():
            work = self._archive.folder / ".join"  # of the series: what a killed worker left goes with the next
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            try:
                path = parts[0].path
                if len(parts) > 1:
                    path = work / file_name(parts, self._what)
                    self._voice.at(JOINS, 0, records)
                    if not join(parts, self._what, path, self._voice.cancelled, self._voice.progress):
                        raise Cancelled(f"stopped; all files are held; {VendorRun.GO_ON}")
                self._voice.at(STORES, 0, records)
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


def room_bytes(plan: Plan, archive: Archive) -> int:
    """What the disk must have for what of a plan is not held yet, and for its way into the store."""
    inside = [part for part in archive.parts() if part.span.start_ns < plan.span.end_ns]
    held = [part.size for part in inside if part.span.end_ns > plan.span.start_ns]
    left = [quote for _, quote in left_of(plan, archive)]
    return needed_bytes(left, held, stored=not unstorable(plan.series))


def unstorable(what: Series) -> str:
    """Why a series is held and not put into the store; empty when it is."""
    if what.schema not in STORED_SCHEMAS:
        return f"the store does not take {what.schema}: the files are held in var/databento"
    if root_of(what.symbol) not in INSTRUMENTS:
        return f"{root_of(what.symbol)} is no instrument of this desk: the files are held in var/databento"
    return ""


def _exactly(micros: int) -> str:
    """Dollars to the last micro: a price that rose by less than a cent shows."""
    return f"{micros // MICROS}.{micros % MICROS:06}"


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
