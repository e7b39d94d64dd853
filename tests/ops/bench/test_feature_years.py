"""The benchmark of years of bars measures what it says, on a small piece of them; another hash is a failure."""

import numpy as np
import pyarrow.parquet as pq

from desk.ops.bench.features import years
from desk.ops.bench.table import failures


def test_a_day_in_two_parts_goes_the_whole_way(settings, tmp_path, monkeypatch):
    made, times = years._make, []

    def watched(bars, folder):
        file = made(bars, folder)
        times.append(pq.read_table(file)["timestamp"].to_numpy())
        return file

    settings.VAR = tmp_path
    monkeypatch.setattr(years, "threads_of", lambda: 2)
    monkeypatch.setattr(years, "_make", watched)
    rows = years.measure(70_000)
    assert [row.unit for row in rows] == ["s", "GiB"] * 3 and not failures(rows)
    assert all(row.value > 0 for row in rows) and list(tmp_path.iterdir()) == []
    assert rows[0].name == "import of 0.1 M made bars" and "from the months, the same hash" in rows[4].note
    assert 68_000 < len(times[0]) < 72_000 and (np.diff(times[0]) > 0).all(), "the parts lie one behind the other"


def test_another_hash_has_no_figure():
    run = {"wall_s": 1.0, "cpu_s": 1.0, "peak_bytes": 1 << 30, "rows": 10, "valid": 9, "hash": "a"}
    rows = years.rows_of(10, run, run, run | {"hash": "b"})
    assert failures(rows) == ["the same cut otherwise"]
    assert [row.met for row in rows[:4]] == [True] * 4


def test_a_stage_that_fails_says_why(settings, tmp_path, monkeypatch):
    settings.VAR = tmp_path
    monkeypatch.setattr(years, "RATE", "99")
    monkeypatch.setattr(years, "threads_of", lambda: 1)
    (row,) = years.measure(1_000)
    assert failures([row]) == ["years of 0.001 M bars"] and "rate='99'" in row.note
