"""/optimisation/: what searches and walk-forwards found, how likely it is luck, and what they left.  Reading only.

Searches and walk-forwards are started and cancelled by `searching`.
"""

from typing import Any
from urllib.parse import urlencode

import polars as pl
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from desk.accounts.roles import may
from desk.backtests import searches, studies
from desk.backtests.models import DONE, SEARCH
from desk.backtests.pages.results import verdicts
from desk.backtests.pages.searching import search_values
from desk.backtests.studies import Study
from marketdata.core.instruments import INSTRUMENTS

BEST = 50
SQUARES_MAX = 60  # values of a parameter in a heat map
HIDDEN = ("stage", "kind", "config_hash")  # of the table of trials; the file has them


@require_GET
@never_cache
def optimisation(request: HttpRequest) -> HttpResponse:
    """All studies, the one last written first."""
    found, jobs = [studies.read(name) for name in studies.names()], searches.open_ones()
    context: dict[str, Any] = {
        "page": "research",
        "rows": [_row(one) | {"at_work": one.name in {job.name for job in jobs}} for one in found],
        "jobs": [search_values(job) for job in jobs],
        "may": may(request.user, "research"),
        "folder": studies.folder(),
        "now": timezone.now(),
    }
    return render(request, "research/studies.html", context)


def _row(found: Study) -> dict[str, Any]:
    values = found.values or {}
    best = values.get("best") or {}
    row: dict[str, Any] = {
        **{name: found.identity.get(name) for name in ("strategy", "data", "method", "objective", "symbol")},
        "name": found.name,
        "purpose": found.purpose,
        "trials": found.trials,
        "done": found.values is not None,
        "fault": found.fault,
        "score": best.get("score"),
        "blocked": None,
    }
    if found.values is not None and found.purpose == SEARCH:
        row["blocked"] = (values.get("criticism") or {}).get("blocked_by")
    elif found.values is not None:
        row |= {"score": (values.get("walk") or {}).get("score"), "gate": values["gate"]["passed"]}
    return row


def _found(name: str) -> Study:
    """Raises Http404 for what is neither in the folder nor asked for."""
    found = studies.study(name)
    if found is not None:
        return found
    job = searches.last_of(name)
    if job is None:
        raise Http404("no such study")
    return Study(name, job.purpose, {}, 0, None, [], "")  # asked for: nothing of it is written yet


@require_GET
@never_cache
def study(request: HttpRequest, name: str) -> HttpResponse:
    """One search or one walk-forward; `?x=…&y=…` choose the two parameters of the heat map."""
    found = _found(name)
    identity, job = found.identity, searches.last_of(name)
    context: dict[str, Any] = {
        "page": "research",
        "study": _row(found),
        "job": None if job is None else search_values(job),
        "over": job is not None and job.state == DONE,
        "fault": found.fault,
        "files": found.files,
        "identity": [(_named(key), _told(value)) for key, value in identity.items() if key != "space"],
        "space": [{"path": item["path"], "values": item["values"]} for item in identity.get("space", [])],
        "values": found.values,
        "may": may(request.user, "research"),
        "now": timezone.now(),
    }
    if found.values is not None:
        listed = INSTRUMENTS.get(str(identity.get("symbol")))
        currency = listed.currency if listed is not None else ""
        context |= _search(found, request) if found.purpose == SEARCH else _walk(found.values, currency)
    return render(request, "research/study.html", context)


def _named(key: str) -> str:
    """What a part of a search's identity is called."""
    return {"trials": _("trials, at most")}.get(key, key.replace("_", " "))


def _search(found: Study, request: HttpRequest) -> dict[str, Any]:
    values, trials = found.values or {}, studies.trials_of(found)
    best = values["best"]
    shown: dict[str, Any] = {"kind": SEARCH, "best": best}
    if values["criticism"] is not None:
        shown |= {"verdicts": verdicts(values["criticism"]), "blocked": values["criticism"]["blocked_by"]}
    if best is not None:
        chosen = found.identity["settings"] | best["set"]
        lines = "\n".join(f"{path}={_word(value)}" for path, value in chosen.items())
        asked = {"strategy": found.identity["strategy"], "symbol": found.identity["symbol"], "changes": lines}
        shown["again"] = urlencode(asked)
    if trials is not None:
        axes, lines_drawn = studies.picture(found.identity["space"], trials)
        shown |= {
            "heads": [name.replace("_", " ") for name in trials.columns if name not in HIDDEN],
            "rows": [[_short(cell) for cell in row] for row in trials.head(BEST).drop(HIDDEN, strict=False).rows()],
            "axes": axes,
            "lines": lines_drawn,
            "width": studies.WIDTH,
            "height": studies.HEIGHT,
            **_landscape(found.identity["space"], trials, request),
        }
    return shown


def _landscape(space: list[dict[str, Any]], trials: pl.DataFrame, request: HttpRequest) -> dict[str, Any]:
    """Importance of the parameters, and the heat map of two: those of the address, else the two most important ones.

    Of parameters with more than SQUARES_MAX values there is none, whatever the address asks.
    """
    weights = studies.weights(space, trials)
    small = [path for path, _ in weights if len(_values_of(space, path)) <= SQUARES_MAX]
    x, y = request.GET.get("x", ""), request.GET.get("y", "")
    if x == y or x not in small or y not in small:
        x, y = small[:2] if len(small) >= 2 else ("", "")
    return {"weights": weights, "map": studies.heat(space, trials, x, y), "choices": small}


def _values_of(space: list[dict[str, Any]], path: str) -> list[object]:
    return next(list(item["values"]) for item in space if item["path"] == path)


def _short(text: str | None) -> str:
    """A cell of a table: decimals beyond the fourth are for the file."""
    if text is None or "." not in text:
        return text or ""
    try:
        return f"{float(text):.4f}".rstrip("0").rstrip(".")
    except ValueError:
        return text


def _word(value: object) -> str:
    """A value as a changed one is written."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _walk(values: dict[str, Any], currency: str) -> dict[str, Any]:
    """Folds with the reasons of infeasible ones, the joined tests, and the gate with the evidence that a walk gives."""
    gate = values["gate"]["rows"]
    blocked = [row["name"] for row in gate if row["weight"] == "required" and row["state"] not in PASSING]
    return {
        "kind": values["study"]["purpose"],
        "currency": currency,
        "folds": [fold | {"net": _plain(fold["test"]["net"])} for fold in values["folds"]],
        "walk": values["walk"],
        "efficiency": _plain(values["efficiency"]),
        "outside": _outside(values["out_of_sample"] or {}, currency),
        "holdout": values["holdout"],
        "combined": values["combined"],
        "verdicts": verdicts({"rows": values["criticism"], "blocked_by": []}),
        "gate_rows": verdicts({"rows": gate, "blocked_by": blocked}),
        "gate_passed": values["gate"]["passed"],
    }


MONEY, SHARES = ("net", "drawdown", "cost"), ("drawdown_share", "win_rate", "worst_day")  # of the joined tests


def _outside(values: dict[str, Any], currency: str) -> dict[str, object]:
    """The joined tests by name, each with its unit; what is undefined is its reason."""
    found: dict[str, object] = {}
    for name, value in values.items():
        shown = _plain(value)
        if not isinstance(value, dict) and value is not None and name in (*MONEY, *SHARES):
            shown = f"{float(value):,.2f} {currency}" if name in MONEY else f"{100 * float(value):.1f} %"
        if name != "returns":
            found[name.replace("_", " ")] = "—" if shown is None else shown
    return found


PASSING = ("passed", "not_applicable")


def _plain(value: object) -> object:
    """A figure of a file, as long as it can be read; an undefined one is its reason."""
    if isinstance(value, dict):
        return value.get("why")
    return _short(str(value)) if isinstance(value, float | str) else value


def _told(value: object) -> object:
    """What was searched, in words: the parts of a group each by its name, however deep they lie; None for none."""
    if isinstance(value, dict):
        parts = [(str(name).replace("_", " "), part, _told(part)) for name, part in value.items()]
        words = [f"{name}: {told}" if isinstance(part, dict) else f"{name} {told}" for name, part, told in parts]
        return ("; " if any(isinstance(part, dict) for part in value.values()) else ", ").join(words) or None
    if isinstance(value, list | tuple):
        return ", ".join(str(_told(part)) for part in value) or None
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return value if value != "" else None


@require_GET
@never_cache
def download(request: HttpRequest, name: str, file: str) -> HttpResponseBase:
    """One file of a study as it was written."""
    found = _found(name)
    if file not in found.files:
        raise Http404("no such file")
    kind = "application/json" if file.endswith(".json") else "text/csv; charset=utf-8"
    answer = FileResponse(
        open(studies.folder() / found.name / file, "rb"),  # noqa: SIM115 - the answer closes it
        as_attachment=True,
        filename=f"{found.name}-{file}",
        content_type=kind,
    )
    answer["X-Content-Type-Options"] = "nosniff"
    return answer
