"""/sessions/<id>/replay/: the Desk as it stood at `?at=<µs>` or `?seq=<n>`, from the journal.  Nothing here can act.

Every fill, decision and command is a moment with an address; steps are plain links, so they work without JavaScript
and can be kept or sent.
"""

from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from desk.dashboard import sessions
from desk.dashboard.live import chart
from desk.dashboard.texts import page_texts
from trading import selectors, services
from trading.run.bodies.moment import Moment, NoJournal, moment
from trading.run.journal.segment import JournalBroken
from trading.run.spec import SpecError

STEPS_S = (-60, -10, -1, 1, 10, 60)


@require_GET
@never_cache
def replay(request: HttpRequest, session_id: int) -> HttpResponse:
    """The picture of one moment, with links to the ones around it."""
    try:
        session = selectors.session_row(session_id)
        shown = moment(
            services.session_folder(session_id),
            at_us=_number(request.GET.get("at")),
            seq=_number(request.GET.get("seq")),
        )
    except ObjectDoesNotExist:
        raise Http404("no such session") from None
    except (NoJournal, SpecError):
        raise Http404("this session has no journal to replay") from None
    except JournalBroken as error:
        raise Http404(f"the journal cannot be read: {error}") from None
    rows = {name.removeprefix("rows:"): value for name, value in shown.values.items() if name.startswith("rows:")}
    values = {name: value for name, value in shown.values.items() if not name.startswith("rows:")}
    context: dict[str, Any] = {
        "page": "sessions",
        "session": {**session, "mode": "replay", "status": "replay"},
        "replay": shown,
        "links": _links(shown),
        "panes": sessions.PANES,
        "page_data": {
            "session": session_id,
            "texts": page_texts(selectors.rulebook_of(session_id)),
            "stored": values,
            "rows": rows,
            "rail": chart.rail(),
            "replay": True,
            "until_us": shown.at_us,
        },
    }
    return render(request, "dashboard/desk.html", context)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _links(shown: Moment) -> list[dict[str, str]]:
    """Where one can go from here: text and query."""
    found = [{"text": "start", "query": "seq=1"}]
    found += [_step(shown, seconds) for seconds in STEPS_S if seconds < 0]
    found.append({"text": "−1 event", "query": f"seq={max(1, shown.seq - 1)}"})
    found.append({"text": "+1 event", "query": f"seq={min(shown.last_seq, shown.seq + 1)}"})
    found += [_step(shown, seconds) for seconds in STEPS_S if seconds > 0]
    return [*found, {"text": "end", "query": f"seq={shown.last_seq}"}]


def _step(shown: Moment, seconds: int) -> dict[str, str]:
    at_us = min(max(shown.at_us + seconds * 1_000_000, shown.first_us), shown.last_us)
    sign = "−" if seconds < 0 else "+"
    return {"text": f"{sign}{abs(seconds)} s", "query": f"at={at_us}"}
