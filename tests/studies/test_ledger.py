"""The ledger of a study: rows are added and nothing else, one writer, one test a fold (MES-GUARD-01, MES-WF-02)."""

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from trading.management.history import deciding_words
from trading.research.records import Days, ResearchError
from trading.run.search.ledger import FILE, Ledger, Trial, others_on
from trading.run.search.registry import FILE as TRIALS
from trading.run.search.registry import Opening, note_backtest, note_opening, note_study, openings_of, sharpes_of, tried

DAYS = Days(
    0, 1_000_000_000, np.array([20260302, 20260303]), np.array([10, 20]), np.array([1_000_000_000, 1_002_500_000])
)


def trial(point: tuple[int, ...], score: float | None = 1.5, stage: str = "study", kind: str = "proposed") -> Trial:
    why = "" if score is not None else "3 trades, 30 are needed"
    turns = np.array([[1, 2], [3, 4]])
    return Trial(stage, kind, point, score, why, 7, 2_500_000, 0.5, "abc", DAYS, b"rows", turns)


def test_what_was_written_is_read_by_the_next_one(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add([trial((0, -1, 3)), trial((1, 0, 0), None), trial((2, 2, 2))._replace(days=None)])
    with Ledger(tmp_path) as ledger:
        first, second, third = ledger.trials("study")
        assert ledger.count() == 3 and ledger.scores("study") == {(0, -1, 3): 1.5, (1, 0, 0): None, (2, 2, 2): 1.5}
    assert first.days is not None and second.days is not None and third.days is None
    assert first.days.equity_micros.tolist() == [1_000_000_000, 1_002_500_000]
    assert first.days.close_ns.tolist() == [10, 20] and first.days.start_micros == 1_000_000_000
    assert first.curve.tolist() == [[1, 2], [3, 4]] and first.rows == b"rows" and second.why.endswith("needed")


def test_a_trial_is_never_changed_or_removed_mes_guard_01(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add([trial((0,)), trial((1,))])
    database = sqlite3.connect(tmp_path / FILE)
    for words in ("DELETE FROM trial", "DELETE FROM trial WHERE id = 1", "UPDATE trial SET score = 9"):
        with pytest.raises(sqlite3.IntegrityError, match="a trial is never"):
            database.execute(words)
    assert database.execute("SELECT count(*), max(score) FROM trial").fetchone() == (2, 1.5)
    database.close()


def test_a_batch_with_a_point_that_is_known_is_refused_whole(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add([trial((0,))])
        with pytest.raises(ResearchError, match="a trial was to be written a second time"):
            ledger.add([trial((1,)), trial((0,))])
        assert ledger.count() == 1
        ledger.add([trial((0,), stage="fold 1 train")])
        assert ledger.count() == 2


def test_a_test_is_traded_once_mes_wf_02(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add([trial((0,), stage="fold 1 test", kind="test"), trial((0,), stage="fold 2 test", kind="test")])
        with pytest.raises(ResearchError, match="a trial was to be written a second time"):
            ledger.add([trial((1,), stage="fold 1 test", kind="test")])
        assert len(ledger.trials(kind="test")) == 2


def test_one_process_writes_others_may_read(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add([trial((0,))])
        with pytest.raises(ResearchError, match="another process works on the study"):
            Ledger(tmp_path)
        with Ledger(tmp_path, reading=True) as other:
            assert other.count() == 1
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                other.add([trial((1,))])
    with pytest.raises(ResearchError, match="holds no study"):
        Ledger(tmp_path / "nowhere", reading=True)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / FILE).write_bytes(b"no database at all, but more than a page of it " * 200)
    with pytest.raises(ResearchError, match="is no study"):
        Ledger(tmp_path / "odd")


def test_a_folder_holds_one_study_and_the_others_on_its_data_are_counted(tmp_path: Path) -> None:
    for name, data, trials in (("a", "x", 2), ("b", "x", 3), ("c", "y", 4)):
        (tmp_path / name).mkdir()
        with Ledger(tmp_path / name) as ledger:
            ledger.identify({"data_hash": data, "seed": 1})
            ledger.add([trial((k,)) for k in range(trials)])
            ledger.identify({"data_hash": data, "seed": 1})
            with pytest.raises(ResearchError, match="with another seed: name another folder"):
                ledger.identify({"data_hash": data, "seed": 2})
    assert others_on(tmp_path / "a", "x") == (3, 1, 0) and others_on(tmp_path / "c", "y") == (0, 0, 0)


def studied(folder: Path, counted: Path, trials: int, data: str = "x") -> None:
    """A study of its own in this folder, so many trials."""
    folder.mkdir(parents=True, exist_ok=True)
    with Ledger(folder, counted=counted) as ledger:
        ledger.identify({"data_hash": data, "seed": 1})
        ledger.add([trial((k,)) for k in range(trials)])


def test_studies_of_other_folders_and_backtests_count_mes_guard_01(tmp_path: Path) -> None:
    counted = tmp_path / TRIALS
    studied(tmp_path / "here" / "a", counted, 2)
    studied(tmp_path / "here" / "b", counted, 3)
    studied(tmp_path / "far" / "c", counted, 4)
    studied(tmp_path / "far" / "d", counted, 5, data="y")
    note_backtest(counted, "x", "k1", "bars: column", DAYS, 0.5)
    note_backtest(counted, "x", "k1", "bars: column", DAYS, 0.5)
    note_backtest(counted, "x", "k2", "bars: column", DAYS, None)
    found = others_on(tmp_path / "here" / "a", "x", counted)
    assert found == (3 + 4, 2, 2) and found.trials == 9
    assert found.words() == " and 2 more on these data beside it and 2 backtests of them"
    shutil.rmtree(tmp_path / "far")
    assert others_on(tmp_path / "here" / "a", "x", counted) == found, "what is thrown away was tried all the same"
    assert np.array_equal(sharpes_of(counted, "x"), [0.5, np.nan], equal_nan=True)
    assert tried(counted, "z").words() == ""


def test_a_seed_that_draws_latencies_makes_another_trial_mes_guard_01() -> None:
    """Of other results the seed draws only what speaks against them."""
    plain = {"option": [], "limit_fill": "through", "latency": "20 ms", "seconds": 60, "seed": 1}
    drawn = plain | {"latency": "session:12"}
    assert deciding_words(drawn) != deciding_words(drawn | {"seed": 2})
    assert deciding_words(plain) == deciding_words(plain | {"seed": 2}) == [[], "through", "20 ms", 60]


def test_a_study_that_goes_on_counts_once_and_other_words_in_its_place_are_another(tmp_path: Path) -> None:
    counted, folder = tmp_path / TRIALS, tmp_path / "s"
    studied(folder, counted, 2)
    with Ledger(folder, counted=counted) as ledger:
        ledger.add([trial((9,))])
    assert tried(counted, "x") == (3, 1, 0)
    shutil.rmtree(folder)
    note_study(counted, "x", "another", "s", 4)
    assert tried(counted, "x") == (7, 2, 0)


def test_a_study_that_was_moved_or_copied_counts_once_mes_guard_01(tmp_path: Path) -> None:
    """By the key in its own file; one that an earlier version wrote gets it where it lies."""
    counted, folder = tmp_path / TRIALS, tmp_path / "here" / "s"
    studied(folder, counted, 2)
    with sqlite3.connect(folder / FILE) as database:
        database.execute("DROP TABLE mark")  # as an earlier version left it
    with Ledger(folder, counted=counted) as ledger:
        key = ledger.key()
    (tmp_path / "far").mkdir()
    moved = folder.rename(tmp_path / "far" / "t")
    with Ledger(moved, counted=counted) as ledger:
        ledger.add([trial((9,))])
        assert ledger.key() == key
    assert tried(counted, "x") == (3, 1, 0)
    shutil.copytree(moved, tmp_path / "far" / "copy")
    assert others_on(moved, "x", counted) == (0, 0, 0) == others_on(tmp_path / "far" / "copy", "x", counted)
    studied(tmp_path / "far" / "u", counted, 4)
    assert others_on(tmp_path / "far" / "u", "x", counted) == (3, 1, 0)


def test_what_is_counted_is_never_taken_away(tmp_path: Path) -> None:
    counted = tmp_path / TRIALS
    note_backtest(counted, "x", "k1", "bars: column", DAYS, 0.5)
    note_study(counted, "x", "s", "s", 4)
    note_study(counted, "x", "s", "s", 3)
    assert tried(counted, "x").trials == 5, "a count only grows"
    with sqlite3.connect(counted) as database:
        for words in ("DELETE FROM entry", "UPDATE entry SET count = 0", "UPDATE entry SET data_hash = 'y'"):
            with pytest.raises(sqlite3.IntegrityError, match=r"is never removed|only grows"):
                database.execute(words)


def test_an_opening_is_known_by_its_instrument_and_sessions_mes_wf_03(tmp_path: Path) -> None:
    """Whatever file they were read from.  One of an earlier version names no instrument: it counts, and stays."""
    counted = tmp_path / TRIALS
    with sqlite3.connect(counted) as database:
        database.execute(
            "CREATE TABLE opening (id INTEGER PRIMARY KEY, data_hash TEXT NOT NULL, first_ns INTEGER NOT NULL,"
            " end_ns INTEGER NOT NULL, by TEXT NOT NULL, at_ns INTEGER NOT NULL, config_hash TEXT NOT NULL,"
            " study TEXT NOT NULL)"
        )
        database.execute("INSERT INTO opening VALUES (1, 'x', 10, 20, 'olga', 5, 'c', 's')")
    old = Opening("x", 10, 20, "olga", 5, "c", "s", "")
    assert openings_of(counted, "MES", 19, 40) == [old] == openings_of(counted, "ES", 0, 11)
    new = Opening("another file", 30, 40, "boris", 6, "c", "t", "MES")
    note_opening(counted, new)
    assert openings_of(counted, "MES", 19, 31) == [old, new], "an overlap of a session is an opening"
    assert openings_of(counted, "ES", 19, 31) == [old]
    assert openings_of(counted, "MES", 20, 30) == [] == openings_of(counted, "MES", 40, 50)


def test_a_registry_that_cannot_be_read_ends_the_command(tmp_path: Path) -> None:
    """Unknown is not "none"."""
    (tmp_path / TRIALS).write_bytes(b"no database at all, but more than a page of it " * 200)
    with pytest.raises(ResearchError, match="in which trials are counted, cannot be used"):
        tried(tmp_path / TRIALS, "x")
