"""The bar features of a data set as a file: the same to the bit in any chunks, read back with suspicion, trained on.

Rules: MES-MEM-08, MES-FEAT-05, -09, -10, MES-DATA-02, -04, MES-SPLIT-01 .. -03, MES-ML-12, MES-ACC-10.21.
"""

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from marketdata.core.barfeatures import schema as bar_schema
from marketdata.core.barfeatures.schema import FEATURE_NAMES
from marketdata.core.units import NANOS
from marketdata.feeds.options import parse_options
from marketdata.memory import guard
from marketdata.memory.available import MIB, Available
from marketdata.memory.guard import MemoryRefused
from marketdata.store.importing import import_file
from tests.core.barfeatures.kit import whole
from tests.learning.barsets import TICK_NANOS, bar_request, ten_days, write, write_parquet
from tests.learning.test_artifacts import change, refused
from trading.learning.artifacts import load
from trading.learning.bars import file as bar_file
from trading.learning.bars import rows as bar_rows
from trading.learning.bars.file import COLUMNS, BarFile, read_bar_rows
from trading.learning.bars.rows import BarRows
from trading.learning.dataset import Cancelled, DataError, Rows, Tape, split_days
from trading.learning.schemas import SchemaError, bars_schema, schema_of
from trading.learning.training import FEATURES, train

BARS = ten_days()
NO_OPTIONS = parse_options({})


def contents(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(second, valid, features, label) of a file, read with nothing of the product."""
    table = pq.read_table(path)
    assert table.column_names == list(COLUMNS) == ["timestamp", "valid", *FEATURE_NAMES, "label"]
    features = np.stack([table[name].to_numpy() for name in FEATURE_NAMES], axis=1)
    label = table["label"].fill_null(-1).to_numpy()
    return table["timestamp"].to_numpy() // NANOS, table["valid"].to_numpy(), features, label


def test_the_file_is_the_whole_data_set_at_once_bit_for_bit(made):
    expected = whole(BARS)
    second, valid, features, label = contents(made)
    assert np.array_equal(second, expected.second) and np.array_equal(valid, expected.valid)
    assert features.tobytes() == expected.features.tobytes() and np.array_equal(label, expected.label)
    assert valid.sum() > 1_000 and expected.begins.sum() == 10
    assert np.isnan(features[~valid]).all() and np.isfinite(features[valid]).all()


@pytest.mark.parametrize(("bars_at_once", "rows_at_once"), [(1_000, 1 << 16), (1_777, 997), (10**6, 4_099)])
def test_chunks_of_any_size_give_the_same(source, made, tmp_path, monkeypatch, bars_at_once, rows_at_once):
    """MES-MEM-08: where bars are cut when read, and rows when written, changes no bit of the rows."""
    for module in (bar_rows, bar_file):
        monkeypatch.setattr(module, "CHUNK_ROWS", rows_at_once)
    told = write(source, tmp_path / "rows.parquet", bars_at_once=bars_at_once)
    for mine, theirs in zip(contents(tmp_path / "rows.parquet"), contents(made), strict=True):
        assert mine.tobytes() == theirs.tobytes()
    if rows_at_once == 1 << 16:
        assert (tmp_path / "rows.parquet").read_bytes() == made.read_bytes()
    assert told.rows == pq.read_metadata(made).num_rows and told.bars == len(BARS.second) and told.dropped == {}
    file = BarFile(tmp_path / "rows.parquet")
    assert sum(len(chunk.second) for chunk in file.chunks()) == told.rows


def test_a_data_set_of_the_store_gives_the_rows_of_its_source(source, made, tmp_path):
    manifest = import_file(source, "MES", parse_options({"bar_s": "1"}), tmp_path).path
    write(manifest, tmp_path / "rows.parquet", bars_at_once=2_000)
    for mine, theirs in zip(contents(tmp_path / "rows.parquet"), contents(made), strict=True):
        assert mine.tobytes() == theirs.tobytes()


def test_the_file_names_its_schema(made):
    """MES-FEAT-09."""
    words = pq.ParquetFile(made).metadata.metadata
    assert words[b"schema"] == b"mes_bars" and words[b"schema_version"] == str(bar_schema.VERSION).encode()
    assert words[b"schema_hash"].decode() == bar_schema.schema_hash(TICK_NANOS) == BarFile(made).schema.hash
    assert words[b"symbol"] == b"MES" and len(BarFile(made).rows_hash) == 64


def altered(made: Path, out: Path, names: list[str] | None = None, **words: str) -> Path:
    """The file with other names of its columns or other words in its metadata."""
    table = pq.read_table(made)
    kept = {key.decode(): value.decode() for key, value in pq.ParquetFile(made).metadata.metadata.items()}
    kept.pop("ARROW:schema", None)
    table = table.rename_columns(names or table.column_names).replace_schema_metadata(kept | words)
    pq.write_table(table, out, row_group_size=bar_rows.CHUNK_ROWS)
    return out


def swapped(first: int, second: int) -> list[str]:
    names = list(COLUMNS)
    names[first], names[second] = names[second], names[first]
    return names


@pytest.mark.parametrize(
    ("names", "words", "message"),
    [
        (swapped(2, 3), {}, "feature 0 is 'log_return_1s', this desk computes 'return_1s' there"),
        (["timestamp", "valid", *FEATURE_NAMES[:-1], "vwap", "label"], {}, "feature 55 is 'vwap'"),
        (None, {"schema_hash": "0" * 64}, "schema hash 000000000000 is not this desk's"),
        (None, {"schema": "stream_v1"}, "holds stream_v1, not mes_bars"),
        (None, {"symbol": "SBER"}, "are made for ES, MES, MNQ, NQ, not for SBER"),
        (None, {"rows_digest": "0" * 64}, "its rows are not those that were written"),
        (swapped(0, 1), {}, "not timestamp, valid, the features and label in this order"),
    ],
)
def test_a_file_of_another_schema_is_refused_by_the_first_difference(made, tmp_path, names, words, message):
    """MES-FEAT-10, MES-ACC-10.21."""
    path = altered(made, tmp_path / "other.parquet", names, **words)
    with pytest.raises((SchemaError, DataError), match=message) as caught:
        list(BarFile(path).chunks())
    assert "\n" not in str(caught.value)


def test_a_missing_column_and_a_cut_file_are_refused(made, tmp_path):
    table = pq.read_table(made)
    pq.write_table(table.drop_columns(["htf_momentum_5m"]), tmp_path / "less.parquet")
    with pytest.raises(SchemaError, match=r"feature 55 \(htf_momentum_5m\) is missing"):
        BarFile(tmp_path / "less.parquet")
    (tmp_path / "cut.parquet").write_bytes(made.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read"):
        BarFile(tmp_path / "cut.parquet")
    with pytest.raises(DataError, match="cannot be read"):
        BarFile(tmp_path / "none.parquet")


def test_a_changed_value_is_found(made, tmp_path):
    table = pq.read_table(made)
    values = table["return_1s"].to_numpy().copy()
    values[np.flatnonzero(np.isfinite(values))[5]] += 1e-12
    place = table.column_names.index("return_1s")
    changed = table.set_column(place, "return_1s", pa.array(values)).replace_schema_metadata(
        pq.ParquetFile(made).metadata.metadata
    )
    pq.write_table(changed, tmp_path / "changed.parquet", row_group_size=bar_rows.CHUNK_ROWS)
    with pytest.raises(DataError, match="is damaged"):
        list(BarFile(tmp_path / "changed.parquet").chunks())


def test_bars_of_another_length_are_refused(tmp_path):
    """MES-DATA-02."""
    every = slice(None, None, 60)
    minutes = BARS._replace(**{name: column[every] for name, column in BARS._asdict().items()})
    path = write_parquet(tmp_path / "minutes.parquet", minutes, step=60)
    with pytest.raises(DataError, match="holds bars of 60 s: the bar features are made of bars of 1 s alone"):
        write(path, tmp_path / "rows.parquet")
    assert [item.name for item in tmp_path.iterdir()] == ["minutes.parquet"]


def test_too_many_bars_outside_the_sessions_are_refused(tmp_path):
    """MES-DATA-04: a zone that is wrong by hours does not pass as a session."""
    path = write_parquet(tmp_path / "late.parquet", BARS._replace(second=BARS.second + 8 * 3600))
    with pytest.raises(DataError, match=r"more than 0.1 % .*outside the exchange's session"):
        write(path, tmp_path / "rows.parquet")
    assert [item.name for item in tmp_path.iterdir()] == ["late.parquet"]


def test_a_stop_leaves_nothing(source, tmp_path):
    """Cancelled, or Ctrl-C in the midst."""

    def interrupt(done: int, bars: int) -> None:
        if done > 3_000:
            raise KeyboardInterrupt

    with pytest.raises(Cancelled):
        write(source, tmp_path / "rows.parquet", bars_at_once=1_000, cancelled=lambda: True)
    with pytest.raises(KeyboardInterrupt):
        write(source, tmp_path / "rows.parquet", bars_at_once=1_000, report=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_memory_is_asked_first(source, monkeypatch):
    """MES-MEM-04: refused with both numbers before anything is read."""
    monkeypatch.setattr(guard, "available", lambda: Available(64 * MIB, 128 * MIB, "/desk"))
    with pytest.raises(MemoryRefused, match=r"needs about .* MiB of memory, and 64\.0 MiB are available"):
        BarRows(source, "MES", NO_OPTIONS)


def test_an_existing_target_is_never_overwritten(source, tmp_path):
    (tmp_path / "rows.parquet").write_text("mine")
    with pytest.raises(DataError, match="already exists"):
        write(source, tmp_path / "rows.parquet")
    assert (tmp_path / "rows.parquet").read_text() == "mine"


# training


def test_rows_to_train_on_are_valid_labelled_and_within_the_regular_hours(made):
    """MES-SPLIT-01: from 09:30:30 of each morning to 30 s before the end of its segment."""
    second, valid, features, label = contents(made)
    rows, days = read_bar_rows(BarFile(made))
    of_day = (second - 5 * 3600) % 86_400  # New York in winter; in summer an hour more
    rth = (of_day % 3600 >= 1_800) & (of_day // 3600 >= 8)
    take = valid & (label >= 0) & rth
    assert np.array_equal(rows.ts_ns, (second[take] + 1) * NANOS) and 3_000 < len(rows.ts_ns) < 4_000
    assert rows.features.tobytes() == features[take].tobytes() and np.array_equal(rows.label, label[take])
    assert (rows.label_ns - rows.ts_ns == 30 * NANOS).all() and rows.schema.id == "mes_bars"
    assert len(np.unique(days)) == 10 and days.min() == 20240301
    thinned, _ = read_bar_rows(BarFile(made), every_s=10)
    assert np.array_equal(thinned.ts_ns, rows.ts_ns[rows.ts_ns // NANOS % 10 == 1])


def test_the_split_is_by_whole_trading_days(made):
    """MES-SPLIT-02, -03: of ten days six, two, two; the first of the later parts is the embargo."""
    rows, days = read_bar_rows(BarFile(made))
    split = split_days(rows, days)
    parts = [np.unique(days[part]) for part in (split.train, split.validation, split.test)]
    assert [len(part) for part in parts] == [6, 1, 1]
    known = np.unique(days)
    assert parts[1].tolist() == [known[7]] and parts[2].tolist() == [known[9]]
    assert split.embargoed == np.isin(days, known[[6, 8]]).sum() and split.purged == 0
    few = days < known[4]
    short = Rows(rows.features[few], rows.ts_ns[few], rows.label[few], rows.label_ns[few], NANOS, 0, rows.schema)
    with pytest.raises(DataError, match="the validation part has 0 rows"):
        split_days(short, days[few])


def test_a_network_is_trained_on_the_56_features(bars_network):
    artifact = load(bars_network)
    manifest = artifact.manifest
    assert manifest.feature_names == list(FEATURE_NAMES) and manifest.schema_id == "mes_bars"
    assert manifest.schema_hash == bar_schema.schema_hash(TICK_NANOS) == artifact.schema.hash
    assert (manifest.step_ns, manifest.horizon_ns, manifest.cost_ticks) == (NANOS, 30 * NANOS, 3.0)
    assert artifact.network.sizes[0] == 56 and len(manifest.golden_inputs[0]) == 56
    assert set(manifest.metrics) == {"train", "validation", "test"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"feature_names": [*FEATURE_NAMES[:54], FEATURE_NAMES[55], FEATURE_NAMES[54]]}, "feature 54 is"),
        ({"schema_hash": "0" * 64}, "schema hash 000000000000"),
        ({"symbol": "SBER"}, "not for SBER"),
        ({"schema_id": "stream_v1"}, "feature 0 is 'return_1s', this desk computes 'imbalance_1' there"),
        ({"scaler_mean": [0.0] * 18}, "18 values of the scaler mean, 56 are needed"),
    ],
)
def test_an_artifact_of_another_schema_is_refused(bars_network, tmp_path, values, words):
    """MES-ML-12, MES-ACC-10.21."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for item in bars_network.iterdir():
        (folder / item.name).write_bytes(item.read_bytes())
    change(folder, **values)
    refused(folder, words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"symbol": "NQ", "tape": None}, "holds MES, not NQ"),
        ({"horizon_s": 10.0}, "look 30 s ahead for more than 3 ticks"),
        ({"memory_bytes_max": 1000}, "above 0 MB"),
    ],
)
def test_a_request_that_the_file_cannot_serve_is_refused(made, tmp_path, changes, words):
    if changes.get("tape", 0) is None:
        changes = changes | {"tape": Tape(name=FEATURES, symbols=["NQ"], path=str(made))}
    with pytest.raises(DataError, match=words):
        train(bar_request(made, tmp_path / "out", **changes))
    assert list(tmp_path.iterdir()) == []


def test_schemas_are_those_that_the_desk_computes():
    assert schema_of("mes_bars", "ES") == bars_schema("MNQ") and bars_schema("ES").width == 56
    assert schema_of("stream_v1", "SBER").width == 18
    with pytest.raises(
        SchemaError, match="schema is 'mes_book', this desk computes stream_v1, mes_bars and moex_book20_v1"
    ):
        schema_of("mes_book", "MES")


def test_the_commands(source, made, tmp_path):
    """features --schema bars and train --features as a person calls them."""
    stdout = StringIO()
    words = ["--schema", "bars", "--data", str(source), "--json"]
    call_command("features", *words, "--out", str(tmp_path / "rows.parquet"), stdout=stdout)
    told = json.loads(stdout.getvalue())
    assert (tmp_path / "rows.parquet").read_bytes() == made.read_bytes()
    assert told["rows"] == pq.read_metadata(made).num_rows and told["contracts"] == ["MESH4", "MESM4"]
    words = ["--features", str(tmp_path / "rows.parquet"), "--epochs", "1", "--out", str(tmp_path / "net")]
    call_command("train", *words, stdout=stdout)
    assert "nothing is claimed" in stdout.getvalue() and load(tmp_path / "net").schema.id == "mes_bars"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "are made of a whole data set or file of bars"),
        (["--data", "nowhere.json"], "nowhere.json does not exist"),
        (["--data", "nowhere.json", "--horizon", "10"], "look 30 s ahead"),
        (["--data", "nowhere.json", "--symbol", "SBER"], "not for SBER"),
    ],
)
def test_bad_words_give_one_sentence(tmp_path, words, sentence):
    with pytest.raises(CommandError, match=sentence) as caught:
        call_command("features", "--schema", "bars", "--out", str(tmp_path / "rows.parquet"), *words)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []
