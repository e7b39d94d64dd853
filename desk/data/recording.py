"""The market that a session saw, kept as a data set through the importer, atomically.

Bars come out of its journal, books out of what its feed recorded.

The set can be replayed and traded back like any other; its request names the session and how far its journal had come.
Called by `manage.py record`.
"""

from marketdata.feeds.port import FeedError
from marketdata.memory.disk import refusal
from marketdata.models import DataSet
from marketdata.services import data_folder, import_history
from marketdata.store.sets.publishing import work_folder
from trading.control import session_folder
from trading.run.feeding.joining import join_recordings
from trading.run.feeding.recorder import recording_files
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
    spec = load_spec(session_folder(session_id))
    stored, _, batches = _record(session_id, [symbol or spec.instruments[0].symbol], by, progress)
    return stored[0], batches


def record_every_book(
    session_id: int, *, by: str, progress: Progress = lambda done, last: None
) -> tuple[list[DataSet], list[str], int]:
    """The same of each instrument of the session, a data set each: those, why others could not be stored, and how many
    batches were joined.  Raises as record_session when none could be."""
    spec = load_spec(session_folder(session_id))
    return _record(session_id, [item.symbol for item in spec.instruments], by, progress)


def _record(session_id: int, symbols: list[str], by: str, progress: Progress) -> tuple[list[DataSet], list[str], int]:
    """Join the recordings once, and import each instrument out of them."""
    folder = session_folder(session_id)
    spec = load_spec(folder)
    place = data_folder()
    place.mkdir(parents=True, exist_ok=True)
    size = sum(part.stat().st_size for part in recording_files(folder))
    if why := refusal(f"the recording of session {spec.key}", size, place):
        raise FeedError(why)
    whose = symbols[0] if len(symbols) == 1 else "every"
    with work_folder(place, f"record-{spec.key}-books-{whose}") as work:
        file = work / f"{spec.key}.rec"
        batches = join_recordings(folder, spec.key, file, progress)
        origin = {"session": session_id, "key": spec.key, "batches": batches}
        stored, left_out = [], []
        for symbol in symbols:
            try:
                stored.append(import_history(file, symbol=symbol, options={}, by=by, origin=origin))
            except FeedError as error:
                left_out.append(f"{symbol}: {error}")
                if len(left_out) == len(symbols):
                    raise
    return stored, left_out, batches
