"""Names of the configuration versions that a session has met: number in the journal → "demo-mes v2" on the screen.

The journal carries the version's number alone.  Whoever hands a version over leaves its name here first; the sinks
loop reads it for the picture.  Names only: no value of a version is ever read from this file.
"""

from pathlib import Path

import msgspec

from trading.run.clock import write_atomic

NAMES_FILE = "versions.json"


def load_names(folder: Path) -> dict[int, str]:
    """Names by version number; empty where there is no readable file."""
    try:
        return msgspec.json.decode((folder / NAMES_FILE).read_bytes(), type=dict[int, str])
    except (OSError, msgspec.DecodeError):
        return {}


def note_name(folder: Path, version_id: int, name: str) -> None:
    """Remember the name of a version in the session's folder."""
    names = load_names(folder)
    if names.get(version_id) != name:
        write_atomic(folder / NAMES_FILE, msgspec.json.encode(names | {version_id: name}))
