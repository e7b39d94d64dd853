"""`import_history`: what is stored, what is left out, and that a refusal leaves nothing behind."""

import errno
import json
import os
from io import StringIO
from pathlib import Path

import databento_dbn as dbn
import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from marketdata.models import DataSet
from marketdata.selectors import data_set_path, data_sets
from marketdata.store.chunks import scan
from tests.feeds.recordings import FAR, SECOND, a_session, open_file, write_dbn, write_text

pytestmark = pytest.mark.django_db
HEADER = "timestamp,open,high,low,close,volume\n"


@pytest.fixture(autouse=True)
def var(tmp_path, settings) -> Path:
    settings.VAR = tmp_path / "var"
    return settings.VAR


def lines(count: int) -> list[str]:
    return [f"{1_727_395_200 + k * 60}000000000,10,11,9.5,10.25,{k + 1}" for k in range(count)]


def run(*arguments: object) -> str:
    out = StringIO()
    call_command("import_history", *map(str, arguments), stdout=out)
    return out.getvalue()


def stored_files(var: Path) -> list[Path]:
    return sorted((var / "data").iterdir()) if (var / "data").exists() else []


def test_bars_are_stored_and_replay_to_the_same_ticks(tmp_path, var):
    path = write_text(tmp_path / "bars.csv.gz", HEADER + "\n".join(lines(2000)))
    report = json.loads(run(path, "--symbol", "SBER", "--json"))
    (row,) = data_sets("bars")
    assert (row.rows, row.kind, row.symbols, row.bar_ns) == (2000, "bars", ["SBER"], 60 * SECOND)
    assert report["id"] == row.pk and len(row.source_hash) == 64
    assert row.first_ns == 1_727_395_200 * SECOND and row.last_ns == row.first_ns + 1999 * 60 * SECOND
    table = scan(data_set_path(row)).collect()
    assert table["close"].to_list()[:2] == [10_250_000_000] * 2  # MES-DATA-01: 1e-9 points
    assert [path.name for path in stored_files(var)] == [f"{Path(row.path).stem}.1", Path(row.path).name]
    mine, theirs = open_file(data_set_path(row), ["SBER"]), open_file(path, ["SBER"])
    assert mine.read(FAR, 9999).events.tobytes() == theirs.read(FAR, 9999).events.tobytes()


def test_dropped_rows_are_named_and_the_same_import_is_one_data_set(tmp_path):
    rows = lines(3000)
    rows[7] = rows[7].replace("10.25", "10.255")
    path = write_text(tmp_path / "bars.csv", HEADER + "\n".join(rows))
    text = run(path, "--symbol", "SBER")
    assert "left out 1: a price is off the tick grid" in text and "row 9: a price is off the tick grid" in text
    run(path, "--symbol", "SBER")
    assert DataSet.objects.count() == 1
    assert DataSet.objects.get().report["dropped"] == {"a price is off the tick grid": 1}


def test_a_full_disk_is_one_sentence_and_the_same_command_goes_on(tmp_path, monkeypatch):
    path = write_text(tmp_path / "bars.csv", HEADER + "\n".join(lines(50)))

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(CommandError, match=r"No space left on device; nothing of bars\.csv was stored; the same"):
            run(path, "--symbol", "SBER")
    assert not DataSet.objects.exists()
    run(path, "--symbol", "SBER")
    assert DataSet.objects.get().rows == 50


def test_too_many_bad_rows_refuse_the_file_and_leave_nothing(tmp_path, var):
    """MES-DATA-04."""
    rows = lines(1000)
    rows[7] = rows[7].replace("10.25", "10.255")
    rows[8] = rows[8].replace("10.25", "10.255")
    path = write_text(tmp_path / "bars.csv", HEADER + "\n".join(rows))
    with pytest.raises(CommandError, match=r"2 of 1000 rows are bad, more than 0\.1 % .* the first in row 9"):
        run(path, "--symbol", "SBER")
    assert not stored_files(var) and not DataSet.objects.exists()


@pytest.mark.parametrize(
    ("bad", "words"),
    [("1727400000000000000,10,11", "line 12 has 3 columns instead of 6"), ("x,10,11,9,10,1", "line 12 cannot be read")],
)
def test_a_bad_line_leaves_nothing(tmp_path, var, bad, words):
    rows = lines(100)
    rows[10] = bad
    path = write_text(tmp_path / "bars.csv", HEADER + "\n".join(rows))
    with pytest.raises(CommandError, match=words):
        run(path, "--symbol", "SBER")
    assert not stored_files(var) and not DataSet.objects.exists()


def test_an_order_level_recording_is_kept_as_it_is(tmp_path, var):
    path = write_dbn(tmp_path / "tape.dbn.zst", dbn.Schema.MBO, a_session())
    run(path, "--symbol", "ES")
    row = DataSet.objects.get()
    assert (row.kind, row.rows) == ("mbo", 12)
    assert data_set_path(row).read_bytes() == path.read_bytes()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CommandError, match="cut inside a zstd frame"):
        run(path, "--symbol", "ES")
    kept = data_set_path(row)
    assert set(stored_files(var)) == {kept, kept.with_name(kept.name.replace(".dbn.zst", ".seconds.parquet"))}


def test_the_estimate_reads_nothing(tmp_path, var):
    path = write_text(tmp_path / "bars.csv", HEADER + "\n".join(lines(5000)))
    size = json.loads(run(path, "--symbol", "SBER", "--estimate-only", "--json"))
    assert size["format"] == "csv" and 4500 < size["rows"] < 5500
    assert not stored_files(var)


def test_columns_in_another_order_name_the_option(tmp_path):
    rows = [f"{1_727_395_200 + k * 60}000000000,10,10.25,11,9.5,{k + 1}" for k in range(50)]
    path = write_text(tmp_path / "bars.csv", HEADER + "\n".join(rows))
    with pytest.raises(CommandError, match="give the option columns=timestamp,open,close,high,low,volume"):
        run(path, "--symbol", "SBER")
    run(path, "--symbol", "SBER", "--columns", "timestamp,open,close,high,low,volume")
    assert DataSet.objects.get().rows == 50


def test_a_missing_file_and_an_unknown_symbol(tmp_path):
    with pytest.raises(CommandError, match="does not exist"):
        run(tmp_path / "nowhere.csv", "--symbol", "SBER")
    path = write_text(tmp_path / "bars.csv", HEADER + "\n".join(lines(5)))
    with pytest.raises(CommandError, match="unknown instrument 'XX'"):
        run(path, "--symbol", "XX")


def test_the_database_refuses_an_empty_data_set():
    values = {"symbols": [], "first_ns": 0, "last_ns": 0, "source": "", "source_hash": "", "request": {}, "report": {}}
    for fault in ({"rows": 0, "kind": "bars"}, {"rows": 1, "kind": "wine"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            DataSet.objects.create(path="x", **{**values, **fault})


def test_a_stored_file_that_is_gone_is_said(tmp_path):
    run(write_text(tmp_path / "bars.csv", HEADER + "\n".join(lines(5))), "--symbol", "SBER")
    row = DataSet.objects.get()
    data_set_path(row).unlink()
    with pytest.raises(FileNotFoundError, match=r"is gone: import bars\.csv again"):
        data_set_path(row)
