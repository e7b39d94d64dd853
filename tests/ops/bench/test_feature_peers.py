"""The benchmark's peers compute what the desk computes, and a peer that does not is told instead of timed."""

from typing import Any

import numpy as np
import pytest

from desk.ops.bench.barfeatures import made_bars, made_days
from desk.ops.bench.features import in_desk, in_pandas, in_polars, peers
from desk.ops.bench.features.peers import Run, difference, rows_of
from desk.ops.bench.features.tape import Tape, read, write
from marketdata.core.barfeatures.records import Bars

NAMES = ("second", "valid", "features", "label")


@pytest.fixture(scope="module")
def tape(tmp_path_factory) -> Tape:
    """Two sessions of the common work, the second one cut."""
    path = tmp_path_factory.mktemp("tape") / "tape.npz"
    write(path)
    whole = read(path)
    assert len(whole.days) == 13 and len(made_bars(made_days()).second) < len(whole.bars.second)
    count = int(np.searchsorted(whole.bars.second, whole.days["open_s"][1] + 3_000))
    return Tape(Bars(*(column[:count] for column in whole.bars)), whole.days[:2])


@pytest.fixture(scope="module")
def values(tape, tmp_path_factory):
    folder = tmp_path_factory.mktemp("values")
    found = {
        "desk": in_desk.kept(tape),
        "polars": in_polars.columns(in_polars.compute(tape)),
        "pandas": in_pandas.columns(in_pandas.compute(tape)),
    }
    for tool, columns in found.items():
        named: dict[str, Any] = dict(zip(NAMES, columns, strict=True))
        np.savez(folder / f"{tool}.npz", **named)
    return folder


@pytest.mark.parametrize("tool", ["polars", "pandas"])
def test_a_peer_computes_the_same(values, tape, tool):
    """56 features and the label of every valid row, to 1e-6, and the same rows are valid."""
    assert difference(values / "desk.npz", values / f"{tool}.npz") == ""
    assert in_desk.compute(tape) > 85_000


def test_other_values_are_found_and_give_no_ratio(values, tmp_path):
    with np.load(values / "polars.npz") as held:
        columns = {name: held[name].copy() for name in NAMES}
    row = int(np.flatnonzero(columns["valid"])[500])
    columns["features"][row, 28] *= 1.001
    np.savez(tmp_path / "other.npz", **columns)
    fault = difference(values / "desk.npz", tmp_path / "other.npz")
    assert "atr_pct differs" in fault
    run = Run(1.0, 1.0, 100, tmp_path)
    rows = rows_of({"desk": run, "polars": run, "pandas": run._replace(cpu_s=8.0)}, {"polars": fault, "pandas": ""})
    assert [row.ratio for row in rows] == [None, None, 8.0, 1.0] and rows[1].note == fault
    assert rows[2].met and not rows[3].met and peers.CPU_GOALS == {"polars": 0.25, "pandas": 0.2}
