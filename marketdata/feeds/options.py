"""What a person may say about a recorded file: format, zone, columns, contract, which tape is traded as which symbol.

Words from the command line or a session's spec, checked here once; the readers get typed values.  An unknown option is
refused.  Called by `feeds.replay`, `feeds.tabular` and `store`.
"""

from dataclasses import dataclass, field
from datetime import datetime

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.units import NANOS
from marketdata.feeds.port import FeedError

FORMATS = ("dbn", "parquet", "finam", "lean", "csv", "lobster", "binance", "session")
STAMPS = ("start", "end")
VOLUME_UNITS = ("lots", "units")
KNOWN = {
    "format": "dbn, parquet, finam, lean, csv, lobster, binance or session; found out from the file when absent",
    "zone": "time zone of naive times, like Europe/Moscow",
    "columns": "comma-separated columns of a text file, in the file's order; _ for one to ignore",
    "delimiter": "one character; found out from the file when absent",
    "stamp": "start or end: what the time of a bar is",
    "bar_s": "length of a bar in seconds; found out from the file when absent",
    "volume_unit": "lots or units (shares)",
    "as_symbol": "symbol that the tape is traded as (ES tape: MES), or pairs ES:MES,NQ:MNQ",
    "instrument_id": "the vendor's id of the instrument, one per symbol",
    "contract": "contract to take from a file of several, like 201312 or ESU4",
    "tick": "of a recording of books: the source's price that is one tick of the symbol, like 0.1 (the symbol's own)",
    "lot": "of a recording of books: units of the source in one lot, like 0.001 (1)",
    "sort": "true: sort the rows by time first; without it a file out of order is refused",
    "hours": "any: keep bars outside the exchange's sessions, which an import else puts aside (CME)",
    "rvi": "file of the volatility index: CSV or Parquet with the columns time (with its offset) and value (points)",
    "start": "UTC time at which the session starts; what lies before is back-fill",
}


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """Checked options; an absent one is "" or 0 or empty."""

    format: str = ""
    zone: str = ""
    columns: tuple[str, ...] = ()
    delimiter: str = ""
    stamp: str = ""
    bar_ns: int = 0
    volume_unit: str = ""
    as_symbol: dict[str, str] = field(default_factory=dict)  # session's symbol → root on the tape, "" = the only one
    instrument_ids: tuple[int, ...] = ()
    contract: str = ""
    start_ns: int | None = None
    sort: bool = False
    any_hours: bool = False
    # of recordings of books alone, whose key names them; the key of every other import stays what it was
    tick_nanos: int = field(default=0, repr=False)
    lot_nanos: int = field(default=0, repr=False)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value and value not in allowed:
        raise FeedError(f"option {name}={value!r} is unknown; known: {', '.join(allowed)}")
    return value


def _number(name: str, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number <= 0:
        raise FeedError(f"option {name}={text!r} is not a positive whole number")
    return number


def _step(name: str, text: str) -> int:
    """A decimal step in units of 1e-9; 0 for none."""
    if not text:
        return 0
    whole, _, part = text.partition(".")
    if not (whole + part).isdecimal() or not text.isascii() or len(part) > 9 or len(whole) > 9:
        raise FeedError(f"option {name}={text!r} is not a decimal number like 0.001")
    step = int(whole + part.ljust(9, "0"))
    if step == 0:
        raise FeedError(f"option {name}={text!r} is nothing: give a step above zero")
    return step


def _start(text: str) -> int | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise FeedError(f"option start={text!r} is not a time like 2024-07-01T23:45:00Z") from None
    if moment.tzinfo is None:
        raise FeedError(f"option start={text!r} has no offset: write it with Z or +03:00")
    return int(moment.timestamp()) * NANOS + moment.microsecond * 1000


def _as_symbol(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        source, colon, target = part.rpartition(":")
        pairs[target.strip().upper()] = source.strip().upper() if colon else ""
    return pairs


def parse_options(options: dict[str, str]) -> ReplayOptions:
    """Typed options.  Raises FeedError for an unknown name or value."""
    if unknown := sorted(set(options) - set(KNOWN)):
        raise FeedError(f"unknown option {unknown[0]!r}; known: {', '.join(KNOWN)}")
    delimiter = {"tab": "\t"}.get(options.get("delimiter", ""), options.get("delimiter", ""))
    if len(delimiter) > 1:
        raise FeedError(f"option delimiter={delimiter!r} is not one character")
    ids = options.get("instrument_id", "")
    return ReplayOptions(
        format=_one_of("format", options.get("format", ""), FORMATS),
        zone=options.get("zone", ""),
        columns=tuple(name.strip() for name in options.get("columns", "").split(",")) if options.get("columns") else (),
        delimiter=delimiter,
        stamp=_one_of("stamp", options.get("stamp", ""), STAMPS),
        bar_ns=_number("bar_s", options["bar_s"]) * NANOS if options.get("bar_s") else 0,
        volume_unit=_one_of("volume_unit", options.get("volume_unit", ""), VOLUME_UNITS),
        as_symbol=_as_symbol(options.get("as_symbol", "")),
        instrument_ids=tuple(_number("instrument_id", part.strip()) for part in ids.split(",")) if ids else (),
        contract=options.get("contract", "").upper(),
        start_ns=_start(options.get("start", "")),
        sort=_one_of("sort", options.get("sort", ""), ("true", "false")) == "true",
        any_hours=_one_of("hours", options.get("hours", ""), ("any", "session")) == "any",
        tick_nanos=_step("tick", options.get("tick", "")),
        lot_nanos=_step("lot", options.get("lot", "")),
    )


def check_symbols(symbols: list[str], options: ReplayOptions) -> None:
    """The session's symbols are known, all different, and the options name no other.  Raises FeedError."""
    if not symbols or len(set(symbols)) != len(symbols):
        raise FeedError("a replay needs at least one symbol, each once")
    for symbol in symbols:
        if symbol not in INSTRUMENTS:
            raise FeedError(f"unknown instrument {symbol!r}; known: {', '.join(sorted(INSTRUMENTS))}")
    for symbol in options.as_symbol:
        if symbol not in symbols:
            raise FeedError(f"option as_symbol names {symbol}, but the session trades {', '.join(symbols)}")
    if options.instrument_ids and len(options.instrument_ids) != len(symbols):
        raise FeedError(f"option instrument_id names {len(options.instrument_ids)} ids for {len(symbols)} symbols")


def tape_root(name: str, symbol: str, options: ReplayOptions, roots: set[str]) -> str:
    """Root on the tape (ES) that is traded as `symbol`.  `roots`: what the file `name` holds.  Raises FeedError."""
    held = ", ".join(sorted(roots)) or "nothing that is named"
    if symbol not in options.as_symbol:
        if symbol not in roots:
            advice = " or ".join(f"as_symbol={root}:{symbol}" for root in sorted(roots) if root in INSTRUMENTS)
            raise FeedError(
                f"{name} holds {held}, but the session trades {symbol}:"
                f" give another file{f', or the option {advice}' if advice else ''}"
            )
        return symbol
    root = options.as_symbol[symbol]
    if not root:
        known = roots & set(INSTRUMENTS)
        if len(known) != 1:
            raise FeedError(
                f"{name} holds {held}: say which is traded as {symbol} with the option as_symbol=ROOT:{symbol}"
            )
        (root,) = known
    if root not in roots:
        raise FeedError(f"{name} holds {held}, not {root}: correct the option as_symbol")
    if root not in INSTRUMENTS or INSTRUMENTS[root].tick_nanos != INSTRUMENTS[symbol].tick_nanos:
        raise FeedError(f"{root} cannot be traded as {symbol}: their price grids differ")
    return root
