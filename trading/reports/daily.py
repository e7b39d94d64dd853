"""The summary of each trading day with exact decimal money, as a file holds it (MES-BREAK-04).

The figures are the journal's (`trading.run.journal.daily`); here the configuration gets its hash and money its point.
"""

from typing import Any

import msgspec

from trading.control import session_folder
from trading.models import ConfigVersion
from trading.reports.tables import money_text, time_text
from trading.run.journal.daily import NO_HISTORY, Day, History, daily_summaries, history_of
from trading.run.journal.recovery import ReplayDiffers
from trading.run.journal.segment import JournalBroken
from trading.run.spec import SpecError, load_spec

_MONEY = "_micros"


def days_of(session_id: int) -> list[dict[str, Any]]:
    """One row a trading day; money as decimal text, names without the unit.  Raises FileNotFoundError, JournalBroken,
    ReplayDiffers (a journal of other code)."""
    folder = session_folder(session_id)
    if not folder.is_dir():
        raise FileNotFoundError(f"no journal in {folder}")
    days = daily_summaries(folder, history_before(session_id))
    hashes = dict(ConfigVersion.objects.filter(id__in={day.version_id for day in days}).values_list("id", "hash"))
    return [_row(day, hashes) for day in days]


def history_before(session_id: int) -> History:
    """The last days and trades of the sessions that this one continues, as far back as they count.

    One whose journal is gone or is of other code ends it: the figures then reach no further.
    """
    found, folder, seen = NO_HISTORY, session_folder(session_id), {session_id}
    while not found.is_enough:
        try:
            past = load_spec(folder).past
            if past is None or past.session in seen:
                break
            seen.add(past.session)
            folder = session_folder(past.session)
            found = history_of(folder).joined(found)
        except (SpecError, JournalBroken, ReplayDiffers):
            break
    return found


def _row(day: Day, hashes: dict[int, str]) -> dict[str, Any]:
    text = str(day.day)
    row: dict[str, Any] = {"date": f"{text[:4]}-{text[4:6]}-{text[6:]}"}
    for name, value in msgspec.structs.asdict(day).items():
        if name.endswith(_MONEY):
            row[name.removesuffix(_MONEY)] = None if value is None else money_text(round(value))
        elif name == "holds":
            row[name] = [
                {"code": held.code, "raised": time_text(held.raised_ns), "cleared": time_text(held.cleared_ns)}
                for held in value
            ]
        elif name not in ("day", "version_id"):
            row[name] = value
    return row | {"config_hash": hashes.get(day.version_id, "")}
