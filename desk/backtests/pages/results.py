"""/results/N/: what a backtest came to, what speaks against it, its trades and its files.  Reading only."""

import time
from typing import Any

import polars as pl
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from desk.accounts.roles import may
from desk.backtests import prices, reading, runs
from desk.backtests.gate import gate_of
from desk.backtests.models import DONE, BacktestRun
from desk.backtests.pages.views import found_run, run_values
from desk.dashboard.pages.reports import number
from marketdata.core.units import micros_from_text
from trading.run.backtest.judged import WORDS

PAGE = 50
SIGNS = {"passed": ("ok", "●"), "failed": ("bad", "■"), "no_data": ("bad", "■"), "not_applicable": ("dim", "○")}


@require_GET
@never_cache
def result(request: HttpRequest, run_id: int) -> HttpResponse:
    """One result; `?from=50` further trades, `?day=2024-01-02` the prices of a day.  Gone files are told."""
    run = found_run(run_id)
    if run.state != DONE:
        raise Http404("no such result")
    context: dict[str, Any] = {
        "page": "research",
        "run": run_values(run),
        "fault": reading.fault_of(run),
        "may_delete": may(request.user, "delete"),
        "files": [{"name": name, "bytes": size, "sha256": digest} for name, (size, digest) in run.files.items()],
        "now": timezone.now(),
    }
    if not context["fault"]:
        context |= _shown(run, number(request.GET.get("from")) or 0, request.GET.get("day", ""))
    return render(request, "research/result.html", context, status=410 if context["fault"] else 200)


def _shown(run: BacktestRun, first: int, day: str) -> dict[str, Any]:
    """What the files say."""
    values, sums = reading.summary_of(run), reading.sums_of(run)
    rows = reading.page_of(run, first, PAGE)
    nets = reading.nets_of(rows)
    start = micros_from_text(values["capital"]["start"])
    return {
        "summary": values,
        "net_micros": micros_from_text(values["trades"]["net"]),
        "gross_micros": micros_from_text(values["trades"]["gross"]),
        "commission_micros": micros_from_text(values["costs"]["commission"]),
        "slippage_micros": micros_from_text(values["costs"]["slippage"]),
        "fall_micros": micros_from_text(values["drawdown"]["usd"]),
        "mean_micros": sums.mean_micros,
        "mean_words": _sentence(values["criticism"], "mean_net_low"),
        "verdicts": verdicts(values["criticism"]),
        "sharpe_words": _sentence(values["criticism"], "sharpe_low"),
        "break_even": _percents(values),
        "gate": gate_of(values, time.time_ns()),
        "stress": [{**row, "net_micros": micros_from_text(row["net"])} for row in values["criticism"]["cost_stress"]],
        "picture": reading.picture_of([run], start / 1_000_000),
        "bins": sums.bins,
        "heat": sums.heat,
        "city": reading.zone_name(run).rpartition("/")[2].replace("_", " "),
        "hours": [f"{hour:02d}" for hour in range(24)],
        "trades": [{**row, "net_micros": int(net)} for row, net in zip(rows.to_dicts(), nets, strict=True)],
        "prices": _prices(run, sums, rows, day),
        "trade_count": sums.trades,
        "first": first,
        "next": first + PAGE if sums.trades > first + PAGE else None,
    }


def _prices(run: BacktestRun, sums: reading.Sums, rows: pl.DataFrame, asked: str) -> dict[str, Any] | None:
    """The day that is asked for, if trades reach so far, else that of the first in the list; None without trades."""
    if not sums.days:
        return None
    usual = rows["entry_time"][0] if len(rows) else sums.reach[1]
    days, day = sums.days, prices.chosen_day(sums.reach, usual, asked)
    return {
        **prices.day_picture(run, reading.trades_on(run, day), day),
        "day": day,
        "before": max((item for item in days if item < day), default=None),
        "after": min((item for item in days if item > day), default=None),
    }


def _percents(values: dict[str, Any]) -> dict[str, Any] | None:
    """Win rates in percent: the one at which the bracket earns nothing, and the one there was (MES-COST-05); None
    where the bracket has none, or the result is of an older desk."""
    found, won = values.get("break_even", {}), values["trades"]["win_rate"]
    if found.get("after") is None:
        return None
    shares = {"after": 100 * found["after"], "before": 100 * found["before"], "won": 100 * (won or 0.0)}
    return {**shares, "assumes": found.get("assumes", "")}


def _sentence(criticism: dict[str, Any], name: str) -> str:
    """What a row of the criticism says; empty where there is none of that name."""
    return next((str(row["sentence"]) for row in criticism["rows"] if row["name"] == name), "")


def verdicts(criticism: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the criticism: what stands in the way first, what has no bound last."""
    order = [*SIGNS]
    rows = []
    for row in criticism["rows"]:
        tone, sign = SIGNS.get(row["state"], ("dim", "·"))
        rows.append(
            {
                **row,
                "tone": tone,
                "sign": sign,
                "word": WORDS.get(row["state"], "told").lower(),
                "blocks": row["name"] in criticism["blocked_by"],
            }
        )
    rows.sort(key=lambda row: (not row["blocks"], order.index(row["state"]) if row["state"] in order else len(order)))
    return rows


@require_GET
@never_cache
def download(request: HttpRequest, run_id: int, name: str) -> HttpResponseBase:
    """One file of a result as it was written."""
    run = found_run(run_id)
    if name not in runs.files_of(run) or run.state != DONE:
        raise Http404("no such file")
    if fault := reading.fault_of(run):
        return HttpResponse(f"Result {run_id} cannot be given: {fault}.\n", status=410, content_type="text/plain")
    kind = "application/json" if name.endswith(".json") else "text/csv; charset=utf-8"
    answer = FileResponse(
        open(runs.folder_of(run) / name, "rb"),  # noqa: SIM115 - the answer closes it
        as_attachment=True,
        filename=f"backtest-{run_id}-{name}",
        content_type=kind,
    )
    answer["X-Content-Type-Options"] = "nosniff"
    return answer
