"""Rows hashed and not stored: on any number of threads, in any chunks, under a limit of memory, the hash of the file.

Rules: MES-MEM-08, MES-MEM-10, MES-FEAT-04.
"""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from marketdata.feeds.options import parse_options
from tests.learning.barsets import write
from trading.learning.bars.digest import HOUR_S, RowsDigest
from trading.learning.bars.file import BarFile
from trading.learning.bars.hashed import hash_rows
from trading.learning.bars.rows import BarRows, Made
from trading.learning.dataset import Cancelled

NO_OPTIONS = parse_options({})


def hashed(source: Path, threads: int, **more: object) -> Made:
    rows = BarRows(source, "MES", NO_OPTIONS, **more)  # type: ignore[arg-type]
    try:
        return hash_rows(rows, threads)
    finally:
        rows.close()


@pytest.mark.parametrize(("threads", "bars_at_once"), [(1, 1_000), (2, 1_777), (3, 10**6)])
def test_threads_and_chunks_give_the_hash_of_the_file(source, made, tmp_path, threads, bars_at_once):
    """Sessions side by side are the rows that one engine makes in one piece, labels and carried seconds included."""
    stored = write(source, tmp_path / "rows.parquet")
    assert hashed(source, threads, bars_at_once=bars_at_once) == stored
    assert BarFile(made).rows_hash == stored.rows_hash and stored.valid > 1_000 and stored.labelled > 1_000


def random_rows(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    second = 5 * HOUR_S + np.cumsum(rng.integers(1, 40, count))
    return [second, rng.random(count) < 0.5, rng.random((count, 56)), rng.integers(-1, 3, count).astype(np.int8)]


def digest_of(rows: list[np.ndarray], size: int) -> str:
    digest = RowsDigest()
    for at in range(0, len(rows[0]), size):
        digest.add(*(column[at : at + size] for column in rows))
    return digest.hexdigest()


def test_the_hash_does_not_depend_on_the_cuts_and_sees_every_column():
    rows = random_rows(2_000)
    whole = digest_of(rows, 2_000)
    assert len(np.unique(rows[0] // HOUR_S)) > 8
    assert {digest_of(rows, size) for size in (1, 7, 100, 1_999)} == {whole}
    for place, column in enumerate(rows):
        changed = [part.copy() for part in rows]
        flat = changed[place].reshape(-1)
        flat[-1] = not flat[-1] if column.dtype == bool else flat[-1] + 1
        assert digest_of(changed, 2_000) != whole, place
    swapped = [part.copy() for part in rows]
    swapped[2][[10, 11]] = swapped[2][[11, 10]]
    assert digest_of(swapped, 2_000) != whole


def test_cancelling_ends_the_threads(source):
    with pytest.raises(Cancelled):
        hashed(source, 2, bars_at_once=1_000, cancelled=lambda: True)


def test_the_command_hashes_and_stores_nothing(source, made, tmp_path):
    stdout = StringIO()
    call_command("features", str(source), "--schema", "bars", "--hash-only", "--json", stdout=stdout)
    told = json.loads(stdout.getvalue())
    assert told["rows_hash"] == BarFile(made).rows_hash and told["rows"] == BarFile(made).rows
    for words in (
        [],
        ["--hash-only", "--out", str(tmp_path / "rows.parquet")],
        ["--hash-only", "--schema", "stream_v1"],
    ):
        with pytest.raises(CommandError, match="give --out FILE; or --hash-only"):
            call_command("features", str(source), "--schema", "bars", *words)
    assert list(tmp_path.iterdir()) == []


PROGRAM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[2]), int(sys.argv[2])))
from pathlib import Path
from marketdata.feeds.options import parse_options
from trading.learning.bars.hashed import hash_rows
from trading.learning.bars.rows import BarRows
print(hash_rows(BarRows(Path(sys.argv[1]), "MES", parse_options({})), 2).rows_hash)
"""


def test_a_process_that_may_have_two_gib_gives_the_same_hash(source, made):
    """The limit holds for all that the process allocates, its threads' stacks included."""
    words = [sys.executable, "-c", PROGRAM, str(source), str(2 << 30)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.split() == [BarFile(made).rows_hash], done.stderr
