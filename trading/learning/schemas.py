"""Which features a network may be made from: the schemas that this desk computes, by id.

Rows, feature files and artifacts name their schema by id and hash; whoever reads one asks here what this desk computes
today and refuses what differs, with the first difference (MES-FEAT-10, MES-ACC-10.21).  Computes no feature.
"""

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from marketdata.core import features_schema
from marketdata.core.barfeatures import schema as bar_schema
from marketdata.core.bookfeatures import schema as book_schema
from marketdata.core.instruments import INSTRUMENTS

STREAM, BARS, BOOKS = features_schema.SCHEMA_ID, bar_schema.SCHEMA_ID, book_schema.SCHEMA_ID


class SchemaError(ValueError):
    """A schema that this desk does not compute, or not so; the message says what differs."""


class Schema(NamedTuple):
    """What the places of a feature vector are."""

    id: str
    names: tuple[str, ...]
    hash: str  # SHA-256, hex: names, formulas, windows, constants

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.names)


STREAM_SCHEMA = Schema(STREAM, features_schema.FEATURE_NAMES, features_schema.schema_hash())
BOOK_SCHEMA = Schema(BOOKS, book_schema.FEATURE_NAMES, book_schema.schema_hash())


def bars_schema(symbol: str) -> Schema:
    """The 56 bar features of this instrument; its tick size is part of them.  Raises SchemaError."""
    instrument = INSTRUMENTS.get(symbol)
    if instrument is None or instrument.calendar != "cme":
        known = ", ".join(sorted(name for name, item in INSTRUMENTS.items() if item.calendar == "cme"))
        raise SchemaError(f"the features {BARS} are made for {known}, not for {symbol}: they need the sessions of CME")
    return Schema(BARS, bar_schema.FEATURE_NAMES, bar_schema.schema_hash(instrument.tick_nanos))


def schema_of(schema_id: str, symbol: str) -> Schema:
    """The schema of this id as this desk computes it today.  Raises SchemaError."""
    if schema_id == STREAM:
        return STREAM_SCHEMA
    if schema_id == BARS:
        return bars_schema(symbol)
    if schema_id == BOOKS:
        return BOOK_SCHEMA
    raise SchemaError(f"schema is {schema_id!r}, this desk computes {STREAM}, {BARS} and {BOOKS}")


def check_names(theirs: Sequence[str], schema: Schema) -> None:
    """Refuse any other names or order.  Raises SchemaError with the first difference."""
    for place, (given, ours) in enumerate(zip_longest(theirs, schema.names)):
        if given == ours:
            continue
        if given is None:
            raise SchemaError(f"feature {place} ({ours}) is missing")
        if ours is None:
            raise SchemaError(f"feature {place} ({given}) is one too many")
        raise SchemaError(f"feature {place} is {given!r}, this desk computes {ours!r} there")


def check_hash(theirs: str, schema: Schema) -> None:
    """Refuse other definitions behind the same names.  Raises SchemaError."""
    if theirs != schema.hash:
        raise SchemaError(
            f"schema hash {theirs[:12] or '(none)'} is not this desk's {schema.hash[:12]} of {schema.id}: make it again"
        )
