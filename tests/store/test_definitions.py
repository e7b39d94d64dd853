"""Definitions in the store: the rows are the vendor's own, what says nothing new is not kept, another contract than the
desk's refuses the file, and a session's rolls know an expiry by the vendor's id."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import databento
import databento_dbn as dbn
import pytest

from marketdata.databento.definitions import read_definitions
from marketdata.feeds.options import parse_options
from marketdata.feeds.port import FeedError
from marketdata.feeds.replay import open_replay
from marketdata.store.importing import import_file
from marketdata.store.rolls import FAR_NS, open_rolls
from marketdata.store.sets.definitions import CONTRACTS, NO_OUTRIGHT, OTHER, REPEATS, beside, contracts, definitions
from tests.feeds.recordings import T0, metadata
from tests.store.imports import contents
from tests.store.test_rolls import manifest
from trading.run.spec import FeedSpec

NONE = parse_options({})


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def defined(symbol: str, number: int, at: int = T0, **more: Any) -> dbn.InstrumentDefMsg:
    """A future of ES as the vendor defines one."""
    fields: dict[str, Any] = {
        "publisher_id": 1, "instrument_id": number, "ts_event": at, "ts_recv": at, "raw_symbol": symbol,
        "asset": "ES", "security_type": "FUT", "currency": "USD", "instrument_class": dbn.InstrumentClass.FUTURE,
        "security_update_action": dbn.SecurityUpdateAction.ADD, "min_price_increment": 250_000_000,
        "display_factor": 10_000_000, "unit_of_measure_qty": 50_000_000_000,
        "activation": ns("2023-01-01"), "expiration": ns("2024-03-15T13:30"),
    }  # fmt: skip
    return dbn.InstrumentDefMsg(**{**fields, **more})


def write(path: Path, rows: Sequence[Any]) -> Path:
    schema: Any = dbn.Schema.DEFINITION
    path.write_bytes(metadata(schema, {"ES.FUT": 1}) + b"".join(map(bytes, rows)))
    return path


def test_rows_are_the_vendors_own_in_every_version(sample_data):
    """Each field that is used beside the vendor's client, of all sample files that have a header."""
    fields = {
        "ts_ns": "ts_recv", "instrument_id": "instrument_id", "symbol": "raw_symbol", "asset": "asset",
        "kind": "instrument_class", "currency": "currency", "action": "security_update_action",
        "tick": "min_price_increment", "unit": "unit_of_measure_qty",
        "first_ns": "activation", "last_ns": "expiration",
    }  # fmt: skip
    files = sorted((sample_data / "dbn_format").glob("test_data.definition*"))
    files = [path for path in files if ".frag" not in path.name] + sorted(
        (sample_data / "cme_dbn_small").glob("*definition*")
    )
    versions, compared = set(), 0
    for path in files:
        store = databento.DBNStore.from_file(path)
        versions.add(store.metadata.version)
        theirs = list(store)
        ours = [item for block in read_definitions(path) for item in block]
        assert len(ours) == len(theirs) > 0, path.name
        for mine, wanted in zip(ours, theirs, strict=True):
            for name, field in fields.items():
                told, value = getattr(wanted, field), getattr(mine, name)
                if value is None:
                    assert told in (2**63 - 1, 2**64 - 1), (path.name, field)
                else:
                    assert value == (told if isinstance(value, int) else str(told)), (path.name, field)
                compared += 1
    assert versions == {1, 2, 3} and compared > 150, compared


def test_a_file_of_a_whole_product_becomes_its_contracts(tmp_path):
    rows = [
        defined("ESH4", 17077),
        defined("ESM4", 4916, expiration=ns("2024-06-21T13:30")),
        defined("ESH4-ESM4", 9, instrument_class=dbn.InstrumentClass.FUTURE_SPREAD),
        defined("ESH4", 17077, at=T0 + 1),
        defined("NQH4", 4358, asset="NQ"),
        defined("ESM4", 4916, at=T0 + 2, expiration=ns("2024-06-20T13:30")),
        defined("ESU4", 5000, at=T0 + 3, expiration=2**64 - 1),
    ]
    report = import_file(write(tmp_path / "d.dbn", rows), "ES", NONE, tmp_path / "data")
    assert (report.kind, report.rows, report.rows_read, report.bar_ns, report.gaps) == ("definition", 4, 7, 0, None)
    assert report.dropped == {OTHER: 1, NO_OUTRIGHT: 1} and report.verdicts[CONTRACTS] == 3
    assert report.verdicts[REPEATS] == 1
    kept = definitions(report.path)
    assert [item.symbol for item in kept] == ["ESH4", "ESM4", "ESM4", "ESU4"] and kept[0].ts_ns == T0
    last = contracts(kept)
    assert [(item.symbol, item.last_ns) for item in last] == [
        ("ESH4", ns("2024-03-15T13:30")),
        ("ESM4", ns("2024-06-20T13:30")),
        ("ESU4", None),
    ]
    assert (last[0].tick, last[0].unit) == (250_000_000, 50_000_000_000)
    again = import_file(tmp_path / "d.dbn", "ES", NONE, tmp_path / "data")
    assert again.held and again.path == report.path and beside(tmp_path / "data", "ES") == (kept, [])
    other = import_file(tmp_path / "d.dbn", "ES", NONE, tmp_path / "other")
    assert contents(other.path) == contents(report.path), "the same bytes"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"min_price_increment": 100_000_000}, "ESH4 has a tick of 0.1, the desk's list of instruments says 0.25"),
        (
            {"unit_of_measure_qty": 5_000_000_000},
            "has a value of a tick of 1.25, .* says 12.5 for ES",
        ),
    ],
)
def test_another_contract_than_the_desk_knows_refuses_the_file(tmp_path, more, words):
    path = write(tmp_path / "d.dbn", [defined("ESM4", 4916), defined("ESH4", 17077, **more)])
    with pytest.raises(FeedError, match=words):
        import_file(path, "ES", NONE, tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_what_cannot_be_used_is_refused_by_name(tmp_path):
    path = write(tmp_path / "d.dbn", [defined("ESH4", 17077)])
    with pytest.raises(FeedError, match=r"defines no future of NQ: is it the right symbol"):
        import_file(path, "NQ", NONE, tmp_path / "data")
    with pytest.raises(FeedError, match=r"holds schema definition, not mbo"):
        import_file(path, "ES", NONE, tmp_path / "data", schema="mbo")
    cut = tmp_path / "cut.dbn"
    cut.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(FeedError, match=r"cut inside record 1: \d+ bytes are left over"):
        import_file(cut, "ES", NONE, tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []
    stored = import_file(path, "ES", NONE, tmp_path / "data", schema="definition").path
    for symbol in ("ES", "MES"):
        with pytest.raises(FeedError, match="holds definitions of contracts, no market data"):
            open_replay(FeedSpec("replay", [symbol], path=str(stored)))


def test_a_recorded_product_file_is_stored(tmp_path, sample_data):
    """The vendor's own definitions of ES, each of them a contract that the desk knows."""
    path = sample_data / "cme_dbn_small" / "definition-glbx-es-fut.dbn.zst"
    report = import_file(path, "ES", NONE, tmp_path / "data")
    assert report.rows > 0 and all(item.asset == "ES" and item.last_ns for item in definitions(report.path))


def test_a_vendors_id_says_when_its_contract_ends_mes_data_23(tmp_path):
    """MES-HOLD-CONTRACT_ROLL: bars that name contracts by id are inactive from the roll day that definitions give."""
    change = ns("2024-03-11T23:00")
    bars = manifest(tmp_path, "es", "ES", [(change, "17077", "4916")])
    assert open_rolls(FeedSpec("replay", ["ES"], path=bars)) is None, "ids alone say nothing"
    rows = [defined("ESH4", 17077), defined("ESM4", 4916, expiration=ns("2024-06-21T13:30"))]
    import_file(write(tmp_path / "d.dbn", rows), "ES", NONE, tmp_path)
    found = open_rolls(FeedSpec("replay", ["ES"], path=bars))
    assert found is not None
    assert found.inactive == {0: [(ns("2024-03-06T23:00"), change), (ns("2024-06-12T22:00"), FAR_NS)]}


def test_the_vendors_last_day_goes_before_the_third_friday(tmp_path):
    """A contract that ends a day early, and an id that another contract had ten years before."""
    change = ns("2024-03-11T23:00")
    bars = manifest(tmp_path, "es", "ES", [(change, "ESH4|17077", "ESM4")])
    rows = [
        defined("ESH4", 17077, expiration=ns("2014-03-21T13:30"), activation=ns("2013-01-01")),
        defined("ESH4", 17077, at=T0 + 1, expiration=ns("2024-03-14T13:30")),
    ]
    import_file(write(tmp_path / "d.dbn", rows), "ES", NONE, tmp_path)
    found = open_rolls(FeedSpec("replay", ["ES"], path=bars))
    assert found is not None and found.inactive[0][0] == (ns("2024-03-05T23:00"), change)


def test_damaged_definitions_are_named_and_only_what_they_alone_knew_takes_no_entry(tmp_path):
    """MES-DATA-23, fail closed: the feed opens; a contract known by its name, or by another set, ends as ever."""
    change = ns("2024-03-11T23:00")
    ids = manifest(tmp_path, "ids", "ES", [(change, "17077", "4916")])
    names = manifest(tmp_path, "names", "ES", [(change, "ESH4", "ESM4")])
    first = import_file(write(tmp_path / "d.dbn", [defined("ESH4", 17077)]), "ES", NONE, tmp_path).path
    rest = [defined("ESM4", 4916, expiration=ns("2024-06-21T13:30"))]
    import_file(write(tmp_path / "e.dbn", rest), "ES", NONE, tmp_path)
    whole = first.read_text()
    damages = {
        "has version 9": json.dumps(json.loads(whole) | {"schema_version": 9}, indent=1),
        "is a damaged manifest": whole[: len(whole) // 2],
        "ES-definition": "",
    }
    for words, text in damages.items():
        first.write_text(text)
        found = open_rolls(FeedSpec("replay", ["ES"], path=ids))
        assert found is not None and len(found.faults) == 1 and words in found.faults[0]
        assert found.inactive == {0: [(0, change), (ns("2024-06-12T22:00"), FAR_NS)]}, "of ESH4 nobody knows the end"
        named = open_rolls(FeedSpec("replay", ["ES"], path=names))
        assert named is not None and named.faults and named.is_active(0, ns("2024-03-01T00:00"))
        assert named.inactive == {0: [(ns("2024-03-06T23:00"), change), (ns("2024-06-12T22:00"), FAR_NS)]}
