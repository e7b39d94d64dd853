"""The market that a session saw, kept as a data set through the importer, atomically.

Bars come out of its journal, books out of what its feed recorded.

The set can be replayed and traded back like any other; its request names the session and how far its journal had come.
Called by `manage.py record`.
"""

from marketdata.models import DataSet
from marketdata.services import data_folder, import_history
from marketdata.store.sets.publishing import work_folder
from trading.control import session_folder
from trading.run.feeding.joining import join_recordings
from trading.run.recording import Progress, Recorded, record_bars
from trading.run.spec import load_spec


def record_session(
    session_id: int,
    symbol: str,
    *,
    by: str,
    hours: str = "",
    progress: Progress = lambda done, last: None,
) -> tuple[DataSet, Recorded]:
    """Keep the 1-second bars of `symbol`, without one of the session's first instrument; `hours`: as the importer's.

    Raises SpecError without such a session, NothingRecorded, JournalBroken, FeedError, MemoryRefused: then nothing is
    stored.  The same journal recorded again is the same data set.
    """
    folder = session_folder(session_id)
    spec = load_spec(folder)
    symbol = symbol or spec.instruments[0].symbol
    place = data_folder()
    place.mkdir(parents=True, exist_ok=True)
    with work_folder(place, f"record-{spec.key}-{symbol}") as work:
        file = work / f"{spec.key}-{symbol}.parquet"
        found = record_bars(folder, spec, symbol, file, progress)
        options = {"bar_s": "1", **({"hours": hours} if hours else {})}
        origin = {"session": session_id, "key": spec.key, **found._asdict()}
        stored = import_history(file, symbol=symbol, options=options, by=by, origin=origin)
    return stored, found


def record_books(
    session_id: int, symbol: str, *, by: str, progress: Progress = lambda done, last: None
) -> tuple[DataSet, int]:
    """Keep the trades and books of `symbol` (without one: the session's first) that the session's feed recorded.

    Returns the data set and how many batches were joined.  Raises as record_session.
    """
    folder = session_folder(session_id)
    spec = load_spec(folder)
    symbol = symbol or spec.instruments[0].symbol
    place = data_folder()
    place.mkdir(parents=True, exist_ok=True)
    with work_folder(place, f"record-{spec.key}-books-{symbol}") as work:
        file = work / f"{spec.key}.rec"
        batches = join_recordings(folder, spec.key, file, progress)
        origin = {"session": session_id, "key": spec.key, "batches": batches}
        stored = import_history(file, symbol=symbol, options={}, by=by, origin=origin)
    return stored, batches
