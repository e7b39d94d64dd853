"""How much the store may keep beside its data sets.  Set once at the start, from the settings; imports nothing of ours,
so that every command can set it.  Read by `marketdata.store.columns`.
"""

from pathlib import Path


class Limit:
    """Bytes that the columns of all data sets may take together (setting DESK_COLUMN_CACHE_MB); 0: none are kept.
    `folders`: the file that names every folder of columns, one a line; None: each folder is bounded for itself."""

    bytes = 8 << 30
    folders: Path | None = None
