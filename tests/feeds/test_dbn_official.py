"""Every sample file of the format beside the vendor's own client: the same rows, field for field, or refused."""

from pathlib import Path

import databento
import numpy as np
import pytest

from marketdata.feeds.dbn import SCHEMAS, DbnReader
from marketdata.feeds.port import FeedError
from tests.feeds.test_dbn import read_all

LEVEL = ("bid_px", "ask_px", "bid_sz", "ask_sz", "bid_ct", "ask_ct")
LETTERS = ("action", "side")


def plain(records: np.ndarray, name: str) -> np.ndarray:
    """A field as the vendor names it: levels in columns, letters as bytes."""
    field, _, number = name.rpartition("_")
    if field in LEVEL:
        return records["levels"][field][:, int(number)]
    return records[name].view("S1") if name in LETTERS else records[name]


def compare(path: Path, store: databento.DBNStore) -> int:
    """All fields of all rows; how many values were equal."""
    theirs, ours = store.to_ndarray(), read_all(path)
    reader = DbnReader(path)
    reader.close()
    assert reader.schema == str(store.schema)
    assert set(reader.symbols) == set(store.mappings)
    names = theirs.dtype.names or ()
    assert ours.itemsize == theirs.itemsize and len(ours) == len(theirs) >= 2
    for name in names:
        mine, wanted = plain(np.ascontiguousarray(ours), name), theirs[name]
        assert np.array_equal(mine.astype(wanted.dtype), wanted), (path.name, name)
        if wanted.dtype.kind in "iu":  # nothing was lost on the way: ids and times are signed with us
            assert np.array_equal(mine.astype(np.uint64), wanted.astype(np.uint64)), (path.name, name)
    return len(names) * len(theirs)


def test_rows_are_the_vendors_own_field_for_field(sample_data):
    """Versions 1 to 3, plain and compressed, of each schema that is read; of the others the vendor reads rows, and we
    say which schema it is; what has no header neither reads."""
    equal = read = named = headless = others = 0
    schemas, versions = set(), set()
    for path in sorted((sample_data / "dbn_format").iterdir()):
        if ".frag" in path.name:
            with pytest.raises(FeedError, match="has no DBN header at byte 0"):
                DbnReader(path)
            headless += 1
            continue
        store = databento.DBNStore.from_file(path)
        schema = str(store.schema)
        if schema in SCHEMAS:
            equal += compare(path, store)
            read += 1
            schemas.add(schema)
            versions.add(store.metadata.version)
            continue
        others += len(store.to_ndarray())
        with pytest.raises(FeedError, match=f"holds schema {schema}, which cannot be replayed"):
            DbnReader(path)
        named += 1
    assert schemas == set(SCHEMAS) and versions == {1, 2, 3}
    assert read == 24 and equal > 1_000  # 56 bytes of mbo to 368 of mbp-10, two rows a file
    assert named > 30 and others > 50 and headless == 7
