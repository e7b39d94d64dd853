"""/metrics/: the numbers of the Operations page as text that a collector reads (Prometheus, version 0.0.4).

Read by who is signed in, or with the token of the settings (DESK_METRICS_TOKEN) as a bearer; without a token nobody
else.  Each part is asked for by itself, as on the page: one that does not answer is told as such, the others stand.
Seconds and bytes are base units; what is not known is left out, never zero.  Reads only (MOEX-DATA-17).
"""

import math
from collections.abc import Callable, Iterator
from secrets import compare_digest
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from desk.accounts.roles import may_read
from desk.ops import selectors
from desk.ops.pages import health
from desk.ops.pages.summary import stages
from desk.ops.pages.universe import engines
from trading.core import states
from trading.models import Order

CONTENT = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "scalpdesk_"
GAUGE, COUNTER = "gauge", "counter"
FAMILIES = {  # name: (kind, help)
    "section_up": (GAUGE, "1 while this part of the desk answers"),
    "loop_beat_age_seconds": (GAUGE, "Age of a loop's last heartbeat"),
    "loop_running": (GAUGE, "1 while a holder runs the loop"),
    "loop_restarts_total": (COUNTER, "Restarts of a loop"),
    "loop_figure": (GAUGE, "What a loop shows of itself, in the unit of its name"),
    "hop_seconds": (GAUGE, "How long a hop took to answer just now, or the age of what it sent last"),
    "hop_ok": (GAUGE, "1 while a hop answers within its limit"),
    "queue_entries": (GAUGE, "Entries of a stream or queue"),
    "queue_capacity": (GAUGE, "Entries that it may hold"),
    "queue_age_seconds": (GAUGE, "Age of the oldest entry; of a stream that nobody takes from, of the newest"),
    "process_up": (GAUGE, "1 while the supervisor's program runs"),
    "process_resident_bytes": (GAUGE, "Resident memory of a program"),
    "process_uptime_seconds": (GAUGE, "Since when it runs"),
    "disk_bytes": (GAUGE, "What is free, and what the desk keeps"),
    "orders_total": (COUNTER, "Orders of a running session, as its ledger has them"),
    "stage_seconds": (GAUGE, "A stage of the order path in the last benchmark"),
    "universe_age_seconds": (GAUGE, "Age of the live data engine's picture"),
    "universe_members": (GAUGE, "Shares by state"),
    "universe_gate_held": (GAUGE, "1 while INTEGRITY holds entries"),
    "universe_rotations_total": (COUNTER, "Places that were changed"),
    "universe_cached_books": (GAUGE, "Books in the current cache"),
    "universe_evictions_total": (COUNTER, "Books that left the cache, by cause"),
    "universe_resident_bytes": (GAUGE, "Resident memory of the process that owns the rings"),
    "universe_event_seconds": (GAUGE, "What an event costs the engine"),
    "universe_market": (GAUGE, "Market indicators: volatility a year, liquidity of usual, index 0 to 1"),
    "instrument_spread_ratio": (GAUGE, "Spread of a share"),
    "instrument_liquidity_ratio": (GAUGE, "Liquidity of usual, r"),
    "instrument_volatility_ratio": (GAUGE, "Volatility of 30 minutes, a year"),
    "instrument_samples": (GAUGE, "Samples of its metrics"),
    "instrument_book_age_seconds": (GAUGE, "Age of its last book"),
    "instrument_active": (GAUGE, "1 while it may be entered"),
}


class Sample(NamedTuple):
    """One number of a family; None: not known, and not told."""

    name: str
    value: float | int | None
    labels: dict[str, str]


@login_not_required
@require_GET
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """All numbers; 401 for who is neither signed in nor shows the token."""
    if not (may_read(request.user) or _shows_token(request)):
        words = _("Sign in, or show the token of the desk's settings (DESK_METRICS_TOKEN) as a bearer.")
        return HttpResponse(words, status=401, content_type=CONTENT, headers={"WWW-Authenticate": "Bearer"})
    return HttpResponse(text_of(list(samples())), content_type=CONTENT)


def _shows_token(request: HttpRequest) -> bool:
    kind, _blank, given = request.headers.get("Authorization", "").partition(" ")
    wanted = settings.METRICS_TOKEN
    return bool(wanted) and kind.lower() == "bearer" and compare_digest(given.strip().encode(), wanted.encode())


def samples() -> Iterator[Sample]:
    """Of every part that answers, and which do."""
    parts: dict[str, tuple[Callable[[], list[dict[str, Any]]], Callable[[dict[str, Any]], Iterator[Sample]]]] = {
        "loops": (health.loops, _loop),
        "hops": (health.hops, _hop),
        "queues": (health.queues, _queue),
        "processes": (health.processes, _process),
        "disk": (health.disk, _disk),
        "orders": (_orders, _order),
        "latency": (lambda: stages(selectors.last_run("bench")), _stage),
        "universe": (engines, _engine),
    }
    for name, (ask, tell) in parts.items():
        found = health.section(ask)
        yield Sample("section_up", int(not found.fault), {"section": name})
        for row in found.rows:
            yield from tell(row)


def _loop(row: dict[str, Any]) -> Iterator[Sample]:
    of = {"loop": row["name"]}
    yield Sample("loop_beat_age_seconds", row["age_s"], of)
    yield Sample("loop_running", int(row["state"] == "running"), of)
    yield Sample("loop_restarts_total", row["restarts"], of)
    for name, value in (row["detail"] or {}).items():
        inner = value if isinstance(value, dict) else {"": value}
        for part, number in inner.items():
            if isinstance(number, int | float):
                yield Sample("loop_figure", number, of | {"figure": f"{name}_{part}" if part else name})


def _hop(row: dict[str, Any]) -> Iterator[Sample]:
    yield Sample("hop_seconds", _seconds(row["ms"]), {"hop": row["hop"]})
    yield Sample("hop_ok", int(row["ok"]), {"hop": row["hop"]})


def _queue(row: dict[str, Any]) -> Iterator[Sample]:
    of = {"queue": row["queue"]}
    yield Sample("queue_entries", row["length"], of)
    yield Sample("queue_capacity", row["cap"], of)
    yield Sample("queue_age_seconds", _seconds(row["age_ms"]), of)


def _process(row: dict[str, Any]) -> Iterator[Sample]:
    of = {"process": row["name"]}
    yield Sample("process_up", int(row["ok"]), of)
    yield Sample("process_resident_bytes", _bytes(row["memory_mb"]), of)
    yield Sample("process_uptime_seconds", row["up_s"], of)


def _disk(row: dict[str, Any]) -> Iterator[Sample]:
    yield Sample("disk_bytes", _bytes(row["mb"]), {"what": row["what"]})


def _orders() -> list[dict[str, Any]]:
    rows = Order.objects.exclude(session__status__in=states.SESSION_OVER).values_list("session__key")
    return [{"session": key, "count": count} for key, count in rows.annotate(Count("id")).order_by("session__key")]


def _order(row: dict[str, Any]) -> Iterator[Sample]:
    yield Sample("orders_total", row["count"], {"session": row["session"]})


def _stage(row: dict[str, Any]) -> Iterator[Sample]:
    scale = {"ns": 1e-9, "µs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0}.get(row["unit"].split()[0])
    if scale is not None:
        for name, quantile in (("p50", "0.5"), ("p99", "0.99")):
            yield Sample("stage_seconds", row[name] * scale, {"stage": row["name"], "quantile": quantile})


def _engine(row: dict[str, Any]) -> Iterator[Sample]:
    of, market = {"session": row["key"]}, row["market"]
    yield Sample("universe_age_seconds", row["age_s"], of)
    yield Sample("universe_members", row["active"], of | {"state": "active"})
    yield Sample("universe_members", row["monitored"], of | {"state": "monitored"})
    yield Sample("universe_gate_held", int(row["held"]), of)
    yield Sample("universe_rotations_total", row["rotations"], of)
    yield Sample("universe_cached_books", row["cache"], of)
    for cause, count in row["evictions"].items():
        yield Sample("universe_evictions_total", count, of | {"cause": cause})
    yield Sample("universe_resident_bytes", _bytes(row["rss_mb"]), of)
    for quantile, us in (("0.5", row["us_p50"]), ("0.99", row["us_p99"])):
        yield Sample("universe_event_seconds", us / 1e6, of | {"quantile": quantile})
    for name in ("volatility", "liquidity", "index"):
        yield Sample("universe_market", market[name], of | {"indicator": name})
    for one in row["instruments"]:
        yield from _instrument(one, of | {"symbol": one["symbol"]})


def _instrument(one: dict[str, Any], of: dict[str, str]) -> Iterator[Sample]:
    yield Sample("instrument_spread_ratio", None if one["spread_bps"] is None else one["spread_bps"] / 1e4, of)
    yield Sample("instrument_liquidity_ratio", one["r"], of)
    yield Sample("instrument_volatility_ratio", None if one["vol"] is None else one["vol"] / 100, of)
    yield Sample("instrument_samples", one["samples"], of)
    yield Sample("instrument_book_age_seconds", one["book_s"], of)
    yield Sample("instrument_active", int(one["active"]), of)


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000


def _bytes(mib: float | None) -> int | None:
    return None if mib is None else round(mib * 2**20)


# the format


def text_of(found: list[Sample]) -> str:
    """Samples → text, a family at a time in the order of FAMILIES; what is not known is left out."""
    lines = []
    for name, (kind, words) in FAMILIES.items():
        mine = [sample for sample in found if sample.name == name and sample.value is not None]
        if mine:
            lines += [f"# HELP {PREFIX}{name} {words}", f"# TYPE {PREFIX}{name} {kind}"]
            lines += [f"{PREFIX}{name}{_labels(sample.labels)} {_number(sample.value)}" for sample in mine]
    return "\n".join(lines) + "\n"


def _number(value: float | int | None) -> str:
    """A number as the format wants it: a truth is 1 or 0, what is no number NaN."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf" if math.isinf(value) else repr(value)
    return str(int(value or 0))


def _labels(labels: dict[str, str]) -> str:
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{told}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
