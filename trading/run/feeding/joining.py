"""The recordings of a session, one a holder of the feed loop, as one file that replays and imports take.

A session that still runs may be joined: what its recorder has not finished is no frame yet.  Called by
`desk.data.recording`.
"""

from collections.abc import Callable
from pathlib import Path

from marketdata.feeds.books.recorded import copy_frames, head_bytes, read_header
from marketdata.feeds.port import FeedError
from trading.run.feeding.recorder import recording_files
from trading.run.recording import NothingRecorded


def join_recordings(folder: Path, key: str, file: Path, progress: Callable[[int, int], None]) -> int:
    """Write `file` from the recordings of the session in `folder`; how many batches it has.

    `progress`: files done, files.  Raises NothingRecorded, and FeedError for a damaged one.
    """
    parts = recording_files(folder)
    if not parts:
        raise NothingRecorded(f"session {key} did not record its market: start one with --record")
    header, count = read_header(parts[0]), 0
    with open(file, "wb") as out:
        out.write(head_bytes(header))
        for done, part in enumerate(parts, 1):
            if read_header(part)[:2] != header[:2]:
                raise FeedError(f"{part} recorded other instruments than {parts[0].name}")
            count += copy_frames(part, out)
            progress(done, len(parts))
    if count == 0:
        raise NothingRecorded(f"session {key} has recorded no whole batch yet")
    return count
