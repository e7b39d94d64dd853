"""Small recordings made on the spot: DBN by the vendor's own library, text and Parquet by hand."""

import gzip
import zipfile
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import databento_dbn as dbn
import zstandard

from marketdata.feeds.replay import ReplayFeed, open_replay

T0 = 1_704_207_600_000_000_000  # 2024-01-02 15:00:00 UTC
SECOND = 1_000_000_000
ES_ID, NQ_ID = 17077, 4358
FAR = 2**63 - 1


def px(points: float) -> int:
    return round(points * 1_000_000_000)


def spec(path: Path | str, symbols: Sequence[str] = ("ES",), schema: str = "", **options: str) -> Any:
    return SimpleNamespace(
        name="replay", symbols=list(symbols), seed=0, speed=0.0, path=str(path), schema=schema, options=options
    )


def open_file(path: Path | str, symbols: Sequence[str] = ("ES",), schema: str = "", **options: str) -> ReplayFeed:
    return open_replay(spec(path, symbols, schema, **options))


def metadata(schema: dbn.Schema, symbols: dict[str, int], version: int = 3, ts_out: bool = False) -> bytes:
    mappings = [
        SimpleNamespace(
            raw_symbol=name,
            intervals=[SimpleNamespace(start_date=date(2024, 1, 2), end_date=date(2024, 1, 3), symbol=str(number))],
        )
        for name, number in symbols.items()
    ]
    return bytes(
        dbn.Metadata(
            dataset="GLBX.MDP3",
            start=T0,
            end=T0 + 3600 * SECOND,
            stype_in=dbn.SType.RAW_SYMBOL,
            stype_out=dbn.SType.INSTRUMENT_ID,
            schema=schema,
            symbols=list(symbols),
            partial=[],
            not_found=[],
            mappings=mappings,
            ts_out=ts_out,
            version=version,
        )
    )


def write_dbn(
    path: Path, schema: Any, records: Sequence[Any], symbols: dict[str, int] | None = None, version: int = 3
) -> Path:
    """A whole DBN file; compressed when its name ends in .zst."""
    data = metadata(schema, symbols or {"ESH4": ES_ID}, version) + b"".join(bytes(record) for record in records)
    if path.suffix == ".zst":
        data = zstandard.ZstdCompressor(write_checksum=True).compress(data)
    path.write_bytes(data)
    return path


def order(
    action: dbn.Action,
    side: dbn.Side,
    number: int,
    points: float,
    size: int,
    at_ns: int,
    *,
    last: bool = True,
    instrument_id: int = ES_ID,
) -> dbn.MBOMsg:
    return dbn.MBOMsg(
        publisher_id=1,
        instrument_id=instrument_id,
        ts_event=at_ns - 1000,
        order_id=number,
        price=px(points),
        size=size,
        channel_id=0,
        action=action,
        side=side,
        ts_recv=at_ns,
        flags=dbn.F_LAST if last else 0,
        ts_in_delta=0,
        sequence=0,
    )


def trade(
    points: float, size: int, at_ns: int, side: dbn.Side = dbn.Side.BID, instrument_id: int = ES_ID
) -> dbn.TradeMsg:
    return dbn.TradeMsg(
        publisher_id=1,
        instrument_id=instrument_id,
        ts_event=at_ns - 1000,
        price=px(points),
        size=size,
        action=dbn.Action.TRADE,
        side=side,
        depth=0,
        ts_recv=at_ns,
        flags=dbn.F_LAST,
        ts_in_delta=0,
        sequence=0,
    )


def bar(
    at_ns: int, ohlc: tuple[float, float, float, float], volume: int, rtype: int = 33, instrument_id: int = ES_ID
) -> Any:
    return dbn.OHLCVMsg(
        rtype=rtype,
        publisher_id=1,
        instrument_id=instrument_id,
        ts_event=at_ns,
        open=px(ohlc[0]),
        high=px(ohlc[1]),
        low=px(ohlc[2]),
        close=px(ohlc[3]),
        volume=volume,
    )


def a_session(start_ns: int = T0) -> list[dbn.MBOMsg]:
    """Two orders before the market trades, then a trade that takes part of the ask, then a deeper book."""
    add, cancel, fill, print_, modify = (
        dbn.Action.ADD,
        dbn.Action.CANCEL,
        dbn.Action.FILL,
        dbn.Action.TRADE,
        dbn.Action.MODIFY,
    )
    bid, ask = dbn.Side.BID, dbn.Side.ASK
    ms = 1_000_000
    return [
        order(add, bid, 1, 5000.0, 3, start_ns),
        order(add, ask, 2, 5000.25, 5, start_ns + 10 * ms),
        order(print_, bid, 9, 5000.25, 2, start_ns + 500 * ms, last=False),
        order(fill, ask, 2, 5000.25, 2, start_ns + 500 * ms, last=False),
        order(cancel, ask, 2, 5000.25, 2, start_ns + 500 * ms),
        order(add, bid, 3, 4999.75, 7, start_ns + 900 * ms),
        order(modify, bid, 1, 5000.0, 1, start_ns + 1200 * ms),
        order(print_, ask, 10, 5000.0, 1, start_ns + 2100 * ms, last=False),
        order(cancel, bid, 1, 5000.0, 1, start_ns + 2100 * ms),
        order(add, ask, 4, 5000.5, 4, start_ns + 2200 * ms),
    ]


def write_text(path: Path, text: str) -> Path:
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_zip(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def whole(
    feed: ReplayFeed, limit: int = 100_000, step: Callable[[int], int] | None = None
) -> tuple[bytes, bytes, list[int]]:
    """Everything that the feed gives, as bytes: events, depths in the order of their events, and which have one."""
    events, depths, has = b"", b"", []
    while True:
        until = FAR if step is None else step(feed.next_ns())
        batch = feed.read(until, limit)
        events += batch.events.tobytes()
        depths += batch.depths[batch.depth_of[batch.depth_of >= 0]].tobytes()
        has += (batch.depth_of >= 0).tolist()
        if batch.ended:
            return events, depths, has
