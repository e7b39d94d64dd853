"""/backtests/new/ and /backtests/books/: choose, see what it takes, start.  Nothing is read of the data before Start
but its size."""

from typing import Any
from urllib.parse import urlencode

from django.db.models import F, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from desk import batch
from desk.audit import services as audit
from desk.backtests import runs, strategies
from desk.backtests.models import DONE, BacktestRun
from desk.backtests.pages import asking
from desk.backtests.pages.asking import Way, by_pace
from desk.backtests.pages.forms import BacktestForm, BooksForm
from desk.backtests.pages.sizing import size_of, tape_size_of
from desk.dashboard.rights import require

TASK = "desk.backtests.tasks.run_backtest"


def _finished(*, books: bool) -> QuerySet[BacktestRun]:
    rows = BacktestRun.objects.filter(state=DONE, books=books, finished_at__gt=F("started_at"))
    return rows.order_by("-id")


def _estimate(form: BacktestForm) -> dict[str, Any]:
    """Rows, memory, sessions; seconds by the last backtest's pace.  Raises NotStarted."""
    size = size_of(form, curve="minute")
    last = _finished(books=False).filter(total__gt=0).first()
    return {"size": size, "seconds": by_pace(last, 0 if last is None else last.total, size.rows)}


def _estimate_books(form: BooksForm) -> dict[str, Any]:
    """Events and span of the tape; seconds by the last such backtest's pace.  Raises NotStarted."""
    size = tape_size_of(form)
    last = _finished(books=True).first()
    done = 0 if last is None else int(last.figures.get("bars") or 0)
    return {"tape": size, "seconds": by_pace(last, done, size.events)}


def _begin(request: HttpRequest, form: BacktestForm | BooksForm) -> HttpResponse:
    """Raises NotStarted."""
    if isinstance(form, BooksForm):
        tape_size_of(form)
    else:
        size_of(form, curve="minute")
    asked, name = form.request(), request.user.get_username()
    made = runs.ask(form.data_set(), asked, name, lambda run_id: batch.send(TASK, run_id=run_id))
    detail = {"data_set": made.data_set_id, **asked._asdict()}
    audit.append(category="control", action="backtest_asked", actor=name, object=f"backtest {made.pk}", detail=detail)
    return redirect("backtest-run", run_id=made.pk)


BARS = Way(
    BacktestForm, "research/new.html", ("data", "config"), _estimate, _begin,
    lambda: {"offers": list(strategies.offered().values())},
)  # fmt: skip
BOOKS = Way(
    BooksForm, "research/new.html", ("data", "config"), _estimate_books, _begin,
    lambda: {"offers": list(strategies.policies().values()), "books": True},
)  # fmt: skip


@require_GET
@never_cache
def new(request: HttpRequest) -> HttpResponse:
    """A backtest over bars."""
    return asking.new(request, BARS)


@require_POST
def start(request: HttpRequest) -> HttpResponse:
    """Queue it."""
    return asking.start(request, BARS)


@require_GET
@never_cache
def books(request: HttpRequest) -> HttpResponse:
    """A backtest over books."""
    return asking.new(request, BOOKS)


@require_POST
def start_books(request: HttpRequest) -> HttpResponse:
    """Queue it."""
    return asking.start(request, BOOKS)


def fields_of(run: BacktestRun) -> dict[str, str]:
    """What a run was asked for, as the form's fields."""
    names = ("latency", "seconds") if run.books else ("first", "last")
    fields = {name: str(getattr(run, name)) for name in ("config", "symbol", "strategy", *names)}
    counts = {"seed": str(run.seed), "elsewhere": str(run.elsewhere)}
    return {"data": str(run.data_set_id or ""), **fields, "changes": "\n".join(run.changes), **counts}


def change_query(run: BacktestRun) -> str:
    """The address of the form with a run's fields."""
    return urlencode(fields_of(run))


@require_POST
def again(request: HttpRequest, run_id: int) -> HttpResponse:
    """The same once more, from the start."""
    require(request, "research")
    run = BacktestRun.objects.filter(pk=run_id).first()
    if run is None:
        raise Http404("no such backtest")
    back = redirect("backtest-run", run_id=run_id)
    return asking.again(request, BOOKS if run.books else BARS, fields_of(run), back)
