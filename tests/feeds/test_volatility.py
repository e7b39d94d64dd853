"""The volatility index of a tape: the same values for the same seed, a file taken exactly or refused with its line."""

from pathlib import Path

import numpy as np
import pytest

from marketdata.core.units import NANOS
from marketdata.feeds.port import FeedError
from marketdata.volatility import STEP_NS, SWING, hundredths, open_index, read_index
from trading.run.spec import FeedSpec

START_NS = 1_772_611_200 * NANOS  # 2026-03-04 08:00 UTC
GOOD = "time,value\n2026-03-04T11:00:00+03:00,28.05\n2026-03-04T08:00:15Z,40.01\n"


def test_the_simulated_index_is_the_same_however_it_is_asked_moex_ops_02() -> None:
    index = open_index(FeedSpec("simulated", ["SBER"], seed=7))
    again = open_index(FeedSpec("simulated", ["SBER"], seed=7))
    other = open_index(FeedSpec("simulated", ["SBER"], seed=8))
    assert index is not None and again is not None and other is not None
    whole = index.between(START_NS, START_NS + 3600 * NANOS)
    assert len(whole.ts_ns) == 240 and (np.diff(whole.ts_ns) == STEP_NS).all()
    parts = [again.between(START_NS + i * 7 * NANOS, START_NS + (i + 1) * 7 * NANOS) for i in range(515)]
    values = np.concatenate([part.values for part in parts])
    assert (np.concatenate([part.ts_ns for part in parts])[:240] == whole.ts_ns).all()
    assert (values[:240] == whole.values).all()
    assert (other.between(START_NS, START_NS + 3600 * NANOS).values != whole.values).any()
    assert whole.values.min() >= 2800 - SWING and whole.values.max() <= 2800 + SWING
    assert len(np.unique(whole.values)) > 10, "it moves"


def test_its_middle_can_be_chosen() -> None:
    index = open_index(FeedSpec("simulated", ["SBER"], seed=1, options={"rvi": "45.5"}))
    assert index is not None
    values = index.between(START_NS, START_NS + 3600 * NANOS).values
    assert values.min() >= 4550 - SWING and values.max() <= 4550 + SWING
    for bad in ("nan", "-1", "0", "1001", "28.005", "much", "1", "Infinity"):
        with pytest.raises(FeedError, match="rvi"):
            open_index(FeedSpec("simulated", ["SBER"], seed=1, options={"rvi": bad}))


def test_a_recorded_index_is_read_exactly_from_csv_and_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "rvi.csv"
    path.write_text(GOOD)
    index = open_index(FeedSpec("replay", ["SBER"], path="tape", options={"rvi": str(path)}))
    assert index is not None
    assert index.between(START_NS - 1, START_NS).values.tolist() == [2805]
    assert index.between(START_NS, START_NS + 15 * NANOS).values.tolist() == [4001]
    assert index.between(START_NS + 15 * NANOS, 2**62).values.tolist() == []
    columns = pa.table({"time": pa.array([START_NS, START_NS + 15 * NANOS], pa.timestamp("ns", "UTC"))})
    pq.write_table(columns.append_column("value", pa.array([28.05, 40.01])), tmp_path / "rvi.parquet")
    stored = read_index(tmp_path / "rvi.parquet")
    assert (stored.ts_ns.tolist(), stored.values.tolist()) == ([START_NS, START_NS + 15 * NANOS], [2805, 4001])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("time,value\n", "has no values"),
        ("when,value\n1,2\n", "needs the columns time and value; it has: when, value"),
        (GOOD + "2026-03-04T11:00:30,30\n", "line 4: the time .* has no offset"),
        (GOOD + "yesterday,30\n", "line 4: 'yesterday' is not a time"),
        (GOOD + "2026-03-04T11:00:30+03:00,-3\n", "line 4: '-3' is no index"),
        (GOOD + "2026-03-04T11:00:30+03:00,\n", "line 4: '' is no index"),
        (GOOD + "2026-03-04T11:00:15+03:00,30\n", "value 3: not later than the one before"),
        (GOOD + "2026-03-04T11:00:30+03:00\n", "line 4: 'None' is no index"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "rvi.csv"
    path.write_text(text)
    with pytest.raises(FeedError, match=words):
        read_index(path)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    for name in ("none.csv", "none.parquet"):
        with pytest.raises(FeedError, match="cannot be read"):
            read_index(tmp_path / name)
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "bytes.parquet").write_bytes(b"\xff\xfe\x00")
    for name in ("bytes.csv", "bytes.parquet"):
        with pytest.raises(FeedError, match=r"no text|no Parquet"):
            read_index(tmp_path / name)


def test_a_recording_without_the_option_has_no_index() -> None:
    assert open_index(FeedSpec("replay", ["SBER"], path="tape")) is None
    assert hundredths("40.01", "x") == 4001
