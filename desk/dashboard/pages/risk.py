"""/sessions/<id>/risk/: how far every limit is, holds with what clears them, hedges and liquidity of shares, history.

Figures come from the picture that the sinks loop publishes, with its age: an old one is shown as old, and of a session
that is over the last one.  Holds that are past, and hedges, are rows of the ledger and the audit log.  Reading only.
"""

from typing import Any, NamedTuple

import msgspec
import redis
from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from desk.csvanswer import csv_answer
from desk.dashboard import sessions
from desk.dashboard.pages import hedges
from desk.dashboard.pages.reports import number
from risk.core.holds import BIT, BY_BIT, CLEARINGS, EFFECTS
from risk.core.records import MOEX
from trading import selectors
from trading.core import states
from trading.reports.held import HEDGES, account_label
from trading.run.streams import Board, StreamAway, make_client

STALE_S = 3.0
EVERY_ROW = 100_000  # of a file
# gauge → its name, and the hold that stands at its limit; without one the gate refuses what would go beyond
LIMITS = {
    "loss_day": (lazy("day loss"), "DAILY_LOSS"),
    "loss_total": (lazy("total loss"), "TOTAL_LOSS"),
    "drawdown_day": (lazy("fall from today's peak"), "DAILY_DRAWDOWN"),
    "drawdown": (lazy("fall from peak balance"), "ACCOUNT_DRAWDOWN"),
    "streak": (lazy("losses in a row"), "LOSS_STREAK"),
    "gross": (lazy("gross exposure, with working orders"), "EXPOSURE"),
    "index": (lazy("volatility index"), "RVI_HIGH"),
    "position": (lazy("position, with working orders"), ""),
    "orders_open": (lazy("open orders"), ""),
    "messages_60s": (lazy("messages in 60 s"), ""),
}
DOES = {
    "FLATTEN": lazy("closes what is held and refuses entries"),
    "NO_ENTRY": lazy("refuses entries"),
    "SCALE": lazy("halves entries"),
}
CLEARS = {
    "TIME": lazy("goes by itself, with time"),
    "TRADING_DAY": lazy("goes with the next trading day"),
    "CONDITION": lazy("goes by itself once its cause has gone"),
    "MODEL_RELOAD": lazy("goes when the model is loaded again"),
    "OPERATOR": lazy("a person lifts it"),
}
BY_NAME = {*selectors.named_bits(MOEX)}  # of shares: lifted by name alone


class Picture(NamedTuple):
    """What was published last.  `age_s`: of the loop that publishes, None: unknown; `fault`: why there is nothing."""

    values: dict[str, Any]
    age_s: float | None
    fault: str = ""


def picture(session: dict[str, Any]) -> Picture:
    """The session's own; empty where Redis does not answer or has lost it."""
    client = make_client(settings.REDIS_URL)
    try:
        raw = Board(client, session["key"]).published()
    except (StreamAway, redis.RedisError) as error:
        return Picture({}, None, f"Redis: {error}"[:200])
    finally:
        client.close()
    ages = [row["age_s"] for row in selectors.loop_rows(session["id"]) if row["id"] == "sinks"]
    return Picture({name: msgspec.json.decode(value) for name, value in raw.items()}, ages[0] if ages else None)


@require_GET
@never_cache
def latest(request: HttpRequest) -> HttpResponse:
    """That of the session which the Desk would show; without one, what will stand there."""
    found = sessions.latest_id()
    if found is not None:
        return redirect("session-risk", session_id=found)
    return render(request, "dashboard/risk.html", {"page": "risk", "now": timezone.now()})


@require_GET
@never_cache
def page(request: HttpRequest, session_id: int) -> HttpResponse:
    """Limits, holds, exposure and hedges, liquidity."""
    session = _session(session_id)
    seen, rules = picture(session), session["rules"]
    live = session["status"] not in (states.CREATED, *states.SESSION_OVER)
    known = bool(seen.values) and (not live or (seen.age_s is not None and seen.age_s <= STALE_S))
    now_us = seen.values.get("clock", {}).get("now_us")
    standing = selectors.standing_holds(session_id)
    history = selectors.hold_list(session_id, number(request.GET.get("before")))
    context: dict[str, Any] = {
        "page": "risk",
        "session": session,
        "seen": seen,
        "live": live,
        "stale": live and not known,
        "gauges": gauges(seen.values.get("risk", []), rules),
        "holds": [_hold(row, now_us if live else None) for row in standing],
        "label": account_label(standing),
        "history": history.rows,
        "older": history.next_before,
        "version": _version(session),
        "now": timezone.now(),
    }
    if rules == MOEX:
        context |= _shares(session, seen.values, number(request.GET.get("adjusted")))
    return render(request, "dashboard/risk.html", context)


@require_GET
@never_cache
def hedges_csv(request: HttpRequest, session_id: int) -> HttpResponse:
    """Every adjustment of the hedging task."""
    session = _session(session_id)
    rows = hedges.adjustments(session_id, session["key"], limit=EVERY_ROW).rows
    return csv_answer(f"{session['key']}-hedges.csv", hedges.table(rows))


def _session(session_id: int) -> dict[str, Any]:
    try:
        return selectors.session_row(session_id)
    except ObjectDoesNotExist:
        raise Http404("no such session") from None


def _version(session: dict[str, Any]) -> int | None:
    """The active version of the session's profile: where a limit is tightened."""
    rows = selectors.active_versions()
    return next((row["id"] for row in rows if row["profile"] == session["profile"]), None)


def gauges(rows: list[dict[str, Any]], rules: int) -> list[dict[str, Any]]:
    """Gauges of the picture, the nearest first, each with what happens at its limit."""
    made = []
    for row in sorted(rows, key=lambda row: -(1e9 if row["pct"] is None else row["pct"])):
        name, code = LIMITS.get(row["id"], (row["id"].replace("_", " "), ""))
        hold = BY_BIT[rules].get(BIT[code]) if code else None
        pct = row["pct"]
        made.append(
            row
            | {
                "name": name,
                "tone": "bad" if pct is None or pct >= 100 else "warn" if pct >= 80 else "",
                "bar": 100 if pct is None else min(100, pct),
                "hold": None if hold is None else hold.code,
                "does": "" if hold is None else DOES[EFFECTS[hold.effect]],
                "clears": "" if hold is None else CLEARS[CLEARINGS[hold.clearing]],
            }
        )
    return made


def _hold(row: dict[str, Any], now_us: int | None) -> dict[str, Any]:
    """A standing hold with what it does, what clears it, and how long until then."""
    left_us = None
    if row["until_us"] is not None and now_us is not None:
        left_us = max(0, row["until_us"] - now_us)
    by_name = row["clearing"] == "OPERATOR" and (row["label"] == "HALTED" or row["code"] in BY_NAME)
    return row | {
        "does": DOES[row["effect"]],
        "clears": CLEARS[row["clearing"]],
        "left_us": left_us,
        "by": "name" if by_name else "resume" if row["clearing"] == "OPERATOR" else "",
    }


def _shares(session: dict[str, Any], values: dict[str, Any], before: int | None) -> dict[str, Any]:
    """Exposure against the hedging task's thresholds, its record, and the liquidity forecasts (MOEX-LIQ-01)."""
    record = hedges.adjustments(session["id"], session["key"], before)
    exposure = values.get("exposure")
    names = values.get("instruments", {})
    liquidity = []
    for place, item in sorted(names.items(), key=lambda pair: int(pair[0])):
        quote = values.get(f"quote:{place}", {})
        if item["symbol"] in HEDGES:
            continue  # a hedge is no part of it
        liquidity.append({"symbol": item["symbol"], **_share(quote.get("liquidity_ppm")), "book": quote.get("ok")})
    return {
        "shares": True,
        "future": next((name for name in session["symbols"] if name in HEDGES), None),
        "exposure": None if exposure is None else exposure | _ratios(exposure),
        "adjustments": record.rows,
        "earlier": record.next_before,
        "trips": hedges.trips(session["id"]),
        "liquidity": liquidity,
        "mean": _share(values.get("account", {}).get("liquidity_ppm")),
    }


def _share(ppm: int | None) -> dict[str, Any]:
    """A forecast as 0.00 … 1.00, its bar of 100, and a word that says the same."""
    if ppm is None:
        return {"value": None, "bar": 0, "word": _("not known")}
    word = _("thin") if ppm < 300_000 else _("fair") if ppm < 700_000 else _("deep")
    return {"value": ppm / 1e6, "bar": round(ppm / 10_000), "word": word}


def _ratios(exposure: dict[str, Any]) -> dict[str, Any]:
    """|N|/G and |N| as parts of their thresholds, 0 … 100 of a bar; on above both (MOEX-HEDGE-01)."""
    net, gross = abs(exposure["net_micros"]), exposure["gross_micros"]
    ratio_ppm = 1_000_000 * net // gross if gross else None
    on_ppm, on_micros = exposure["ratio_on_ppm"], exposure["net_on_micros"]
    return {
        "ratio_pct": None if ratio_ppm is None else ratio_ppm / 10_000,
        "ratio_on_pct": on_ppm / 10_000,
        "ratio_bar": min(100, 100 * (ratio_ppm or 0) // on_ppm) if on_ppm else 0,
        "net_bar": min(100, 100 * net // on_micros) if on_micros else 0,
        "with_micros": exposure["net_micros"] + exposure["hedge_micros"],
        "beta": exposure["beta_ppm"] / 1e6,
    }
