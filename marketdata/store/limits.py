"""How much the store may keep beside its data sets.  Set once at the start, from the settings; imports nothing, so that
every command can set it.  Read by `marketdata.store.mapped`.
"""


class Limit:
    """Bytes that the columns of all data sets may take together (setting DESK_COLUMN_CACHE_MB); 0: none are kept."""

    bytes = 8 << 30
