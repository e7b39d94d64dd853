"""What was bought, kept for ever: one DBN file a month and series, beside it a sidecar that says what it is.

A part is held when its sidecar is there.  The file comes under a temporary name, is read to its end, gets its name, and
then its sidecar: a kill in between costs nothing, for the next run looks at what lies there before it buys.  Every
purchase is in the ledger before it is sent.  Called by the command; it knows no database and no key.
"""

import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketdata.core.units import MICROS, NANOS
from marketdata.databento.client import NOTHING, RETRIES, Quote, Refused, Vendor
from marketdata.databento.request import DatabentoError, Series, Span, months, series, without, words
from marketdata.databento.room import check, file_bytes
from marketdata.databento.verify import Found, Unsound, verify
from marketdata.store.partitions import file_hash, remove, sync, write_whole

FORMAT = 1
LEDGER = "ledger.jsonl"

Progress = Callable[[Span, Quote], None]  # a part that is held now
Billed = Callable[[int], None]  # micros that a request may cost, before it is sent


class Cancelled(DatabentoError):
    """Stopped between two parts, or between two attempts; what is held stays."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file that is held."""

    path: Path
    span: Span
    sha256: str
    size: int
    found: Found
    micros: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a request still lacks, a quote a part."""

    series: Series
    span: Span
    parts: list[tuple[Span, Quote]]
    held: int  # parts of the archive that are there already

    @property
    def total(self) -> Quote:
        """All parts together."""
        return sum((quote for _, quote in self.parts), NOTHING)


def dollars(micros: int) -> str:
    """Micros → 12.34, rounded up to the cent: a cost is never told too low."""
    cents = -(-micros // (MICROS // 100))
    return f"{cents // 100}.{cents % 100:02}"


def refuse_above(plan: Plan, cap_micros: int) -> None:
    """Raises DatabentoError when the plan costs more than the operator's cap (MES-DBN-05)."""
    if plan.total.micros > cap_micros:
        asked, cap = dollars(plan.total.micros), dollars(cap_micros)
        raise DatabentoError(f"it costs ${asked}, more than the cap of ${cap}: nothing was bought")


class Archive:
    """The parts of one series under `root`."""

    def __init__(self, root: Path, what: Series) -> None:
        self.root, self.series = root, what
        self.folder = root / what.dataset / what.schema / what.symbol

    @contextmanager
    def locked(self) -> Iterator[None]:
        """For whoever buys: one process at a time.  Raises DatabentoError while another does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / ".lock", "wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DatabentoError(f"another download of {self.series.symbol} is running: wait for it") from None
            yield

    def parts(self) -> list[Part]:
        """What is held, in order of time.  Raises DatabentoError on a sidecar that cannot be read."""
        return sorted((_read(path, self.series) for path in self.folder.glob("*.json")), key=lambda part: part.span)

    def plan(
        self,
        vendor: Vendor,
        span: Span,
        progress: Callable[[int, int], None] = lambda done, months: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Plan:
        """The parts of `span` that are missing, each with what the vendor asks for it.  Buys nothing.  Raises Cancelled
        between two questions."""
        held = [part.span for part in self.parts()]
        missing = [month for hole in without(span, held) for month in months(hole)]
        parts: list[tuple[Span, Quote]] = []
        progress(0, len(missing))
        for part in missing:
            if cancelled():
                raise Cancelled("stopped; nothing was bought")
            parts.append((part, vendor.quote(self.series, part)))
            progress(len(parts), len(missing))
        return Plan(self.series, span, parts, len(held))

    def update_span(self, available: Span) -> Span | None:
        """From the end of what is held to the end of what there is (MES-DBN-08); None when nothing is new.
        Raises DatabentoError when nothing is held."""
        held = self.parts()
        if not held:
            raise DatabentoError(f"nothing of {self.series.symbol} {self.series.schema} is held: download it first")
        start = max(part.span.end_ns for part in held)
        return Span(start, available.end_ns) if start < available.end_ns else None

    def download(
        self,
        plan: Plan,
        vendor: Vendor,
        cap_micros: int,
        by: str,
        progress: Progress = lambda span, quote: None,
        cancelled: Callable[[], bool] = lambda: False,
        billed: Billed = lambda micros: None,
    ) -> list[Part]:
        """Buy what the plan lists, under the lock.  A damaged part is bought again only while all attempts together
        stay within `cap_micros`.  `billed` is told what a request may cost before it is sent, and takes it back when
        the vendor refused it.  A part without room on the disk is not asked for.  Raises DatabentoError, OSError; then
        the parts before it are held."""
        refuse_above(plan, cap_micros)
        left = cap_micros
        done: list[Part] = []
        with self.locked():
            held = self._held_since(plan)
            for span, quote in plan.parts:
                if cancelled():
                    raise Cancelled(f"stopped; {len(done)} parts are held, the same request goes on with the next")
                if span in held:
                    done.append(held[span])
                    progress(span, quote)
                    continue
                check(f"the month from {words(span.start_ns)}", file_bytes([quote]), self.folder)
                part, spent = self._fetch(vendor, span, quote, left, by, cancelled, billed)
                left -= spent
                done.append(part)
                progress(span, quote)
        return done

    def _held_since(self, plan: Plan) -> dict[Span, Part]:
        """Parts of the plan that somebody bought since it was made.  Under the lock.  Raises DatabentoError when only a
        piece of one was: it would be paid twice."""
        held = {part.span: part for part in self.parts()}
        for span, _ in plan.parts:
            if span not in held and any(a.start_ns < span.end_ns and a.end_ns > span.start_ns for a in held):
                raise DatabentoError(
                    f"a piece of the month from {words(span.start_ns)} was bought meanwhile: ask for the price again"
                )
        return {span: held[span] for span, _ in plan.parts if span in held}

    def _fetch(
        self,
        vendor: Vendor,
        span: Span,
        quote: Quote,
        left: int,
        by: str,
        cancelled: Callable[[], bool],
        billed: Billed,
    ) -> tuple[Part, int]:
        """One part and the micros that may have been billed for it."""
        path = self.folder / _name(span)
        if (there := self._taken_over(path, span, quote)) is not None:
            self._note("held", span, quote, by, found="on disk")
            return there, 0
        part = path.with_name(f".{path.name}.part")
        spent = 0
        for attempt in range(RETRIES + 1):
            if spent + quote.micros > left:
                raise DatabentoError(
                    f"{words(span.start_ns)}: another attempt would pass the cap: it is not bought again"
                )
            remove(part)
            self._note("asked", span, quote, by)
            billed(quote.micros)
            try:
                vendor.fetch(self.series, span, part)
                found = verify(part, self.series, span, quote.records)
            except (Refused, Unsound) as error:
                self._note("failed", span, quote, by, why=str(error))
                refused = isinstance(error, Refused) and error.status >= 400
                spent += 0 if refused else quote.micros  # what broke off, or is damaged, may have been billed
                if refused:
                    billed(-quote.micros)
                again = not isinstance(error, Refused) or error.again
                if not again or attempt == RETRIES or cancelled():
                    raise DatabentoError(f"{words(span.start_ns)}: {error}") from None
                vendor.wait(error.delay_s(attempt) if isinstance(error, Refused) else 2.0**attempt)
                continue
            held = self._keep(part, path, span, found, quote.micros)
            self._note("held", span, quote, by, sha256=held.sha256)
            return held, spent + quote.micros
        raise AssertionError("unreachable")

    def _taken_over(self, path: Path, span: Span, quote: Quote) -> Part | None:
        """A whole file that a killed run had got already, under its name or the temporary one."""
        for there in (path, path.with_name(f".{path.name}.part")):
            if there.exists():
                try:
                    return self._keep(there, path, span, verify(there, self.series, span, quote.records), quote.micros)
                except Unsound:
                    remove(there)
        return None

    def _keep(self, part: Path, path: Path, span: Span, found: Found, micros: int) -> Part:
        sync(part)
        os.replace(part, path)
        sync(path.parent)
        held = Part(path, span, file_hash(path), path.stat().st_size, found, micros)
        sidecar = {
            "format": FORMAT,
            **dataclasses.asdict(self.series),
            "stype_in": self.series.stype_in,
            "start_ns": span.start_ns,
            "end_ns": span.end_ns,
            "file": path.name,
            "sha256": held.sha256,
            "size": held.size,
            "micros": micros,
            "found": dataclasses.asdict(found),
        }
        write_whole(path.with_name(path.name.replace(".dbn.zst", ".json")), json.dumps(sidecar, indent=1).encode())
        return held

    def _note(self, event: str, span: Span, quote: Quote, by: str, **more: Any) -> None:
        """One line in the ledger, durable before the purchase is sent."""
        line = {
            "at": words(time.time_ns()),
            "event": event,
            "by": by,
            **dataclasses.asdict(self.series),
            "start": words(span.start_ns),
            "end": words(span.end_ns),
            "micros": quote.micros,
            "records": quote.records,
            **more,
        }
        with open(self.root / LEDGER, "ab") as file:
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _name(span: Span) -> str:
    """Names start and end exactly: a part that was cut at what there was then is another file than the whole month."""
    return (
        f"{span.start_ns // NANOS}.{span.start_ns % NANOS:09}-{span.end_ns // NANOS}.{span.end_ns % NANOS:09}.dbn.zst"
    )


def _read(path: Path, what: Series) -> Part:
    try:
        kept = json.loads(path.read_bytes())
        if kept["format"] != FORMAT or (kept["dataset"], kept["schema"], kept["symbol"]) != (
            what.dataset,
            what.schema,
            what.symbol,
        ):
            raise DatabentoError(f"{path} is the sidecar of another series: was it moved?")
        return Part(
            path.with_name(kept["file"]),
            Span(kept["start_ns"], kept["end_ns"]),
            kept["sha256"],
            kept["size"],
            Found(**kept["found"]),
            kept["micros"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DatabentoError(f"{path} cannot be read ({error!r}): move it and its file aside") from None


def archives(root: Path) -> list[Archive]:
    """Every series of which something is held.  Raises DatabentoError."""
    folders = sorted({path.parent for path in root.glob("*/*/*/*.json")})
    return [Archive(root, series(f.name, f.parent.name, f.parent.parent.name)) for f in folders]


def changed(part: Part) -> str:
    """Why a held file is not the one that was verified; "" when it is.  Raises OSError."""
    same = file_hash(part.path) == part.sha256
    return "" if same else f"{part.path.name} is not the file that was bought: its hash is another"


def recheck(part: Part, what: Series) -> str:
    """Why a held file is no longer what it was, read to its end again; "" when it is."""
    try:
        if fault := changed(part):
            return fault
        if verify(part.path, what, part.span) != part.found:
            return f"{part.path.name} does not hold what its sidecar says"
    except (Unsound, OSError) as error:
        return str(error)
    return ""
