"""Definitions of instruments as the vendor tells them: tick, money of a tick, first and last day of every contract.

Decoded by the vendor's own library, which knows the record of every version of the format, a piece of the file at a
time.  It judges nothing and knows no store.  Called by `marketdata.store.sets.definitions`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import databento_dbn

from marketdata.feeds.dbn import plain_bytes
from marketdata.feeds.port import FeedError

DEFINITION = "definition"
FUTURE = "F"  # the vendor's instrument class of an outright future; S is a spread, C and P are options
NO_PRICE, NO_TIME = 2**63 - 1, 2**64 - 1  # the vendor's "not told"


class Definition(NamedTuple):
    """What one record says, as far as the desk uses it; None: it does not say it.

    Times in ns UTC; tick in 1e-9 points; unit: what one point of one contract is worth, in 1e-9 of the currency."""

    ts_ns: int  # when it was received: before, nobody could know it
    instrument_id: int
    symbol: str
    asset: str
    kind: str
    currency: str
    action: str  # A added, M changed, D deleted
    tick: int | None
    unit: int | None
    first_ns: int | None  # it may be traded from here
    last_ns: int | None  # to here


def read_definitions(path: Path) -> Iterator[list[Definition]]:
    """All records, in the order of the file, some at a time.  Raises FeedError at the first that cannot be read."""
    decoder = databento_dbn.DBNDecoder(upgrade_policy=_upgrade())
    row = 0
    try:
        for piece in plain_bytes(path):
            decoder.write(piece)
            found = []
            for record in decoder.decode():
                if isinstance(record, databento_dbn.Metadata):
                    continue
                row += 1
                if not isinstance(record, databento_dbn.InstrumentDefMsg):
                    raise FeedError(f"{path}: record {row} is no {DEFINITION}: extract one schema first")
                found.append(_definition(record))
            yield found
    except databento_dbn.DBNError as error:
        raise FeedError(f"{path} cannot be decoded after record {row}: {error}; fetch the file again") from None
    if left := len(decoder.buffer()):
        raise FeedError(f"{path} is cut inside record {row + 1}: {left} bytes are left over; fetch the file again")


def _upgrade() -> Any:
    """Records of earlier versions come as those of the newest."""
    return databento_dbn.VersionUpgradePolicy.UPGRADE_TO_V3


def _definition(record: Any) -> Definition:
    return Definition(
        int(record.ts_recv),
        int(record.instrument_id),
        str(record.raw_symbol),
        str(record.asset),
        str(record.instrument_class),
        str(record.currency),
        str(record.security_update_action),
        _known(record.min_price_increment, NO_PRICE),
        _known(record.unit_of_measure_qty, NO_PRICE),
        _known(record.activation, NO_TIME),
        _known(record.expiration, NO_TIME),
    )


def _known(value: int, unknown: int) -> int | None:
    return None if value == unknown else int(value)
