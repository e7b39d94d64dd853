"""/sessions/N/parity/: a session and the same session as a backtest side by side, and the first thing that differs.

Whoever is signed in may read; an operator has it proved.  Nothing is replayed in the web.
"""

from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from desk import batch, presses
from desk.accounts.roles import may
from desk.audit import services as audit
from desk.backtests.models import DONE, OPEN, RUNNING, WAITING, ParityRun
from desk.backtests.pages.views import SILENT_S
from desk.backtests.parity import jobs
from desk.dashboard.pages.reports import number
from desk.dashboard.rights import require
from desk.presses import Words
from trading import selectors
from trading.reports.parity.tell import FILLS, ORDERS

TASK = "desk.backtests.tasks.run_parity"
PAGE = 50
LISTS = {"fills": FILLS, "orders": ORDERS}
MONEY = ("fee_micros", "gross_micros", "net_micros")
COUNTS = ("orders", "fills", "contracts")
NAMES = {
    "orders": "orders", "fills": "fills", "contracts": "contracts or lots", "fee_micros": "fees",
    "gross_micros": "gross of the fills", "net_micros": "net of the fills",
}  # fmt: skip


@require_GET
@never_cache
def parity(request: HttpRequest, session_id: int) -> HttpResponse:
    """What the last proof says; `?list=orders` its requests, `?from=50` further rows."""
    session, job = _session(session_id), jobs.last_of(session_id)
    name = request.GET.get("list", "fills")
    if name not in LISTS:
        raise Http404("no such list")
    context: dict[str, Any] = {
        "page": "sessions",
        "session": session,
        "job": None if job is None else job_values(job),
        "over": job is not None and job.state == DONE,
        "list": name,
        "may": may(request.user, "research"),
        "now": timezone.now(),
    }
    try:
        context |= _shown(session_id, name, number(request.GET.get("from")) or 0)
    except FileNotFoundError:
        pass  # nothing was proved yet
    except (OSError, ValueError, KeyError) as error:
        context["fault"] = f"{type(error).__name__}: {error}"
    return render(request, "research/parity.html", context)


def _session(session_id: int) -> dict[str, Any]:
    """Raises Http404."""
    try:
        return selectors.session_row(session_id)
    except ObjectDoesNotExist:
        raise Http404("no such session") from None


def _shown(session_id: int, name: str, first: int) -> dict[str, Any]:
    """Raises OSError, ValueError, KeyError for files that are not there or not whole."""
    values = jobs.read(session_id)
    if values["first"] is not None:
        values["first_us"] = values["first"]["ts_ns"] // 1000
    rows = jobs.rows_of(session_id, LISTS[name], first, PAGE + 1)
    return {
        "proof": values,
        "money": _money(values),
        "rows": rows[:PAGE],
        "first": first,
        "next": first + PAGE if len(rows) > PAGE else None,
        "lists": [("fills", values["fills"]), ("orders", values["orders"])],
    }


def _money(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows: what, the session's, the backtest's (None: not known), whether it is money and whether they differ."""
    told, made = values["sides"]["session"], values["sides"].get("backtest")
    rows = []
    for key in (*COUNTS, *MONEY):
        again = None if made is None else made[key]
        row = {"name": NAMES[key], "session": told[key], "backtest": again, "money": key in MONEY}
        rows.append(row | {"plain": key == "fee_micros", "differs": made is not None and again != told[key]})
    return rows


def job_values(row: ParityRun) -> dict[str, Any]:
    """What the page shows of a proof as a job.  Spans in µs."""
    silent = row.silent_s()
    return {
        "about": "",
        "open": row.state in OPEN,
        "waiting": row.state == WAITING,
        "state": row.state,
        "by": row.by,
        "share": min(1000, 1000 * row.done // row.total) if row.total else None,
        "words": row.words,
        "silent_us": silent * 1_000_000 if silent > SILENT_S else None,
        "cancel_asked_by": row.cancel_asked_by if row.state == RUNNING else "",
        "detail": row.detail,
        "finished_at": row.finished_at,
    }


@require_POST
def start(request: HttpRequest, session_id: int) -> HttpResponse:
    """Have it proved, or proved again."""
    require(request, "research")
    session, by = _session(session_id), request.user.get_username()
    made = jobs.ask(session_id, by, lambda run_id: batch.send(TASK, run_id=run_id))
    detail = {"session": session_id, "run": made.pk}
    audit.append(category="control", action="parity_asked", actor=by, object=f"session {session['key']}", detail=detail)
    return redirect("session-parity", session_id=session_id)


@require_POST
def cancel(request: HttpRequest, session_id: int) -> HttpResponse:
    """Ask a proof to end."""
    return presses.cancel(
        request,
        "research",
        "parity_cancelled",
        lambda: f"session {_session(session_id)['key']}",
        lambda by: jobs.cancel(session_id, by),
        Words(_("Cancel asked: nothing of it will be written."), _("Nothing to cancel: no comparison is under way.")),
        redirect("session-parity", session_id=session_id),
    )


@require_GET
@never_cache
def download(request: HttpRequest, session_id: int, file: str) -> HttpResponseBase:
    """One file of the proof as it was written."""
    _session(session_id)
    path = jobs.folder_of(session_id) / file
    if file not in jobs.FILES or not path.is_file():
        raise Http404("no such file")
    kind = "application/json" if file.endswith(".json") else "text/csv; charset=utf-8"
    answer = FileResponse(
        open(path, "rb"),  # noqa: SIM115 - the answer closes it
        as_attachment=True,
        filename=f"session-{session_id}-parity-{file}",
        content_type=kind,
    )
    answer["X-Content-Type-Options"] = "nosniff"
    return answer
