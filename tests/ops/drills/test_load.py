"""The load in its bounded form: real sockets in a process of their own against a private desk that trades.

The full runs are `manage.py drill load --browsers 40 --hz 20 --stalled 5 --minutes 10` and `--browsers 500 --hz 4`.
"""

import json
import sys
from pathlib import Path

import pytest

from tests.ops.desks import desk_environment, manage

pytestmark = [pytest.mark.processes, pytest.mark.slow]
LOAD_S = 1200  # a busy machine starts eleven processes slowly


def test_five_browsers_one_of_them_stalled(tmp_path: Path) -> None:
    """Every figure is there and measured; the goals themselves are judged by the full runs on a quiet machine."""
    environment = desk_environment(tmp_path / "v")
    del environment["NUMBA_DISABLE_JIT"]
    words = ["--browsers", "5", "--hz", "20", "--stalled", "1", "--minutes", "0.3", "--age-ms", "2000"]
    done = manage(environment, "drill", "load", *words, "--json", timeout_s=LOAD_S)
    print(done.stdout, done.stderr, file=sys.stderr)
    rows = {row["name"]: row for row in json.loads(done.stdout.splitlines()[0])["rows"]}
    p50, p99 = (rows[f"age of the oldest value in a frame, p{q}"]["value"] for q in (50, 99))
    assert 0 < p50 <= p99
    assert rows["age of the oldest value in a frame, p99"]["goal"] == 2000
    assert rows["frames a second in a browser, median"]["value"] > 1
    assert rows["stalled browsers closed 4408"]["value"] >= 1, "UI-20: a page that never acknowledges is closed"
    assert rows["stalled browsers closed 4408"]["ok"], rows["stalled browsers closed 4408"]["detail"]
    assert rows["server memory, growth from the second fifth to the last"]["value"] < 30
    assert rows["market event → score → decision, p50, with browsers"]["value"] > 0
    assert rows["size of a message"]["value"] > 0.1
