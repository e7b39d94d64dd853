"""/data/import/: choose a file, see what it takes, start; then watch, cancel, go on.  All works without JavaScript.

A file is named by a folder of `settings.IMPORT_FOLDERS` and its place there, never by a path.  The work is the batch
worker's, by `marketdata.imports`, the same code as the command's.
"""

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from desk import batch, presses
from desk.accounts.roles import may
from desk.audit import services as audit
from desk.dashboard.pages.reports import number
from desk.dashboard.rights import require
from desk.data.forms import ALL, ImportForm, fields_of, symbol_of
from desk.presses import Words
from marketdata import imports, selectors
from marketdata.feeds.port import FeedError
from marketdata.models import CANCELLED, RUNNING, WAITING, ImportRun
from marketdata.services import estimate_import, instruments_of
from marketdata.store.folders import FILES_MAX, NAMES_MAX, find, shown
from marketdata.store.report import Estimate

TASK = "marketdata.tasks.run_import"
PAGE = 50
ABSENT_MAX = 10  # folders that cannot be read and are named
SILENT_S = 30  # without a word for longer: it is said
NAMED = ("folder", "file", "symbol")  # shown by themselves


class NotStarted(Exception):
    """An import that may not begin; the text says why."""


@require_GET
@never_cache
def choose(request: HttpRequest) -> HttpResponse:
    """Step one lists the files; with a file in the address, step two shows how it is read and what it will take."""
    require(request, "import")
    if request.GET.get("file"):
        return _file_page(request, ImportForm(_with_guess(request.GET.dict())))
    found = selectors.importable()
    asked = request.GET.get("q", "")[:100]
    words = asked.lower().split()
    files = [item for item in found.files if all(word in f"{item.folder}/{item.file}".lower() for word in words)]
    first = number(request.GET.get("from")) or 0
    context: dict[str, Any] = {
        "page": "data",
        "files": [item._asdict() | {"query": _query(item.folder, item.file)} for item in files[first : first + PAGE]],
        "total": len(files),
        "next": first + PAGE if first + PAGE < len(files) else None,
        "first": first,
        "q": asked,
        "cut": found.cut,
        "absent": found.absent[:ABSENT_MAX],
        "absent_more": max(0, len(found.absent) - ABSENT_MAX),
        "odd": found.odd,
        "files_max": FILES_MAX,
        "names_max": NAMES_MAX,
        "folders": [shown(folder) for folder in settings.IMPORT_FOLDERS],
        "now": timezone.now(),
    }
    return render(request, "data/choose.html", context)


def _query(folder: str, file: str) -> str:
    return urlencode({"folder": folder, "file": file})


def _with_guess(given: dict[str, str]) -> dict[str, str]:
    """A file that was just chosen is of the instrument that its name speaks of."""
    return given if "symbol" in given else {**given, "symbol": symbol_of(given.get("file", ""))}


def _file_page(request: HttpRequest, form: ImportForm, fault: str = "") -> HttpResponse:
    """How the file is read, the estimate, and Start; or why not."""
    size: Estimate | None = None
    folder, file = str(form["folder"].value() or ""), str(form["file"].value() or "")
    try:
        find(settings.IMPORT_FOLDERS, folder, file)
    except FeedError as error:
        fault = str(error)
    if not form.is_valid():
        if request.method == "GET" and "symbol" not in request.GET:
            form.errors.clear()  # nothing was typed yet: the instrument is asked for, not missed
    elif not fault:
        try:
            size = _estimate(form)
        except NotStarted as refusal:
            fault = str(refusal)
    context: dict[str, Any] = {
        "page": "data",
        "form": form,
        "file": file,
        "folder": folder,
        "fault": fault,
        "size": size,
        "held": _held(form) if size is not None else [],
        "refused": _refusal(size),
        "open": imports.open_runs(),
        "now": timezone.now(),
    }
    return render(request, "data/file.html", context, status=422 if fault or form.errors else 200)


def _estimate(form: ImportForm) -> Estimate:
    """Raises NotStarted with the reader's one sentence."""
    asked = form.request()
    try:
        return estimate_import(imports.source_of(asked), asked.options)
    except FeedError as error:
        raise NotStarted(str(error)) from None
    except OSError as error:
        raise NotStarted(f"{asked.file}: {error.strerror or error}") from None


def _held(form: ImportForm) -> list[str]:
    """The instruments that the file names, where it is one of several."""
    try:
        return instruments_of(imports.source_of(form.request()))
    except (FeedError, OSError):
        return []  # the estimate says what is wrong with it


def _refusal(size: Estimate | None) -> str:
    """Why an import of this size may not start; empty when it may."""
    return str(size.import_verdict["reason"]) if size is not None else ""


@require_POST
def start(request: HttpRequest) -> HttpResponse:
    """Estimate once more and queue the import."""
    require(request, "import")
    form = ImportForm(request.POST)
    if not form.is_valid():
        return _file_page(request, form)
    try:
        made = _begin(request, form)
    except NotStarted as refusal:
        return _file_page(request, form, str(refusal))
    if len(made) == 1:
        return redirect("data-run", run_id=made[0].pk)
    words = _("%(count)s imports wait for one another: %(symbols)s.")
    messages.success(request, words % {"count": len(made), "symbols": ", ".join(run.symbol for run in made)})
    return redirect("data")


def _begin(request: HttpRequest, form: ImportForm) -> list[ImportRun]:
    """One run, or of a file of several instruments one each.  Raises NotStarted."""
    size = _estimate(form)
    if why := _refusal(size):
        raise NotStarted(why)
    asked = form.request()
    if asked.symbol != ALL:
        return [_ask(request, asked, size)]
    symbols = _held(form)
    if not symbols:
        raise NotStarted(_("The file names no instrument of this desk: choose the one it is of."))
    return [_ask(request, asked._replace(symbol=symbol), size) for symbol in symbols]


def _ask(request: HttpRequest, asked: imports.Request, size: Estimate) -> ImportRun:
    """Queue one import, and note it."""
    name = request.user.get_username()
    made = imports.ask(asked, size.rows, name, lambda run_id: batch.send(TASK, run_id=run_id))
    detail = {"folder": asked.folder, "file": asked.file, "symbol": asked.symbol, "options": asked.options}
    audit.append(category="control", action="import_asked", actor=name, object=f"import {made.pk}", detail=detail)
    return made


# a run


@require_GET
@never_cache
def run(request: HttpRequest, run_id: int) -> HttpResponse:
    """One import: how far it is, or what came of it."""
    found = _find(run_id)
    asked = {name: value for name, value in fields_of(imports.request_of(found)).items() if value}
    context: dict[str, Any] = {
        "page": "data",
        "run": run_values(found),
        "change": f"{reverse('data-import')}?{urlencode(asked)}",
        "may": may(request.user, "import"),
        "now": timezone.now(),
    }
    return render(request, "data/run.html", context)


def _find(run_id: int) -> ImportRun:
    try:
        return imports.find_run(run_id)
    except ImportRun.DoesNotExist:
        raise Http404("no such import") from None


def run_values(run: ImportRun) -> dict[str, Any]:
    """What the pages show of a run."""
    waiting, working = run.state == WAITING, run.state == RUNNING
    how = fields_of(imports.request_of(run))
    return {
        "id": run.pk,
        "file": run.file,
        "folder": run.folder,
        "symbol": run.symbol,
        "options": [f"{name} {value}" for name, value in how.items() if value and name not in NAMED],
        "state": run.state,
        "open": waiting or working,
        "waiting": waiting,
        "before": imports.before(run) if waiting else 0,
        "by": run.by,
        "asked_at": run.asked_at,
        "finished_at": run.finished_at,
        "done": run.done,
        "total": run.total,
        "share": min(1000, 1000 * run.done // run.total) if run.total else None,
        "rate": run.rate,
        "left_us": None if (left := imports.left_s(run)) is None else left * 1_000_000,
        "silent_us": silent * 1_000_000 if (silent := run.silent_s()) > SILENT_S else None,
        "more": working and run.done >= run.total > 0,
        "cancel_asked_by": run.cancel_asked_by if working else "",
        "detail": run.detail,
        "resumes": run.done > 0 and (run.state == CANCELLED or run.detail.endswith(ImportRun.GO_ON)),
        "data_set": run.data_set_id,
    }


@require_POST
def cancel(request: HttpRequest, run_id: int) -> HttpResponse:
    """Ask an import to end."""
    words = Words(
        _("Cancel asked: the import ends after its present block and keeps whole months."),
        _("Nothing to cancel: the import is over."),
    )
    return presses.cancel(
        request,
        "import",
        "import_cancelled",
        lambda: f"import {_find(run_id).pk}",
        lambda by: imports.cancel(run_id, by),
        words,
        redirect("data-run", run_id=run_id),
    )


@require_POST
def again(request: HttpRequest, run_id: int) -> HttpResponse:
    """The same once more: it goes on after the last whole month."""

    def make() -> HttpResponse:
        form = ImportForm(fields_of(imports.request_of(_find(run_id))))
        if not form.is_valid():
            raise NotStarted(_("This file is no longer offered: choose it again."))
        return redirect("data-run", run_id=_begin(request, form)[0].pk)

    return presses.again(request, "import", make, NotStarted, redirect("data-run", run_id=run_id))
