"""The kill in its bounded form: a private desk of real processes, one thing dead after another, proved by the venue.

The full matrix is `manage.py drill kill --times 20`; here two roads and the faults of UI-07 once, in one drill, and the
latch across a SIGKILL and a stop of everything.
"""

import json
import sys
from pathlib import Path

import pytest

from desk.ops.drills.dead import FAULTS
from desk.ops.drills.roads import ROADS
from desk.ops.management.commands import drill
from tests.ops.desks import desk_environment, manage

pytestmark = [pytest.mark.processes, pytest.mark.slow]
DRILL_S = 1500  # a busy machine starts three times eleven processes slowly
PROOFS = 7


def test_the_command_knows_every_road_and_fault() -> None:
    assert set(drill.ROADS) == set(ROADS)
    assert set(drill.DEAD) == set(FAULTS)


def test_a_name_that_is_not_known_is_refused(tmp_path: Path) -> None:
    done = manage(desk_environment(tmp_path / "v"), "drill", "kill", "--dead", "moon")
    assert done.returncode != 0
    assert "moon" in done.stderr
    assert "database-read-only" in done.stderr


def test_a_rehearsal_needs_a_paper_session(tmp_path: Path) -> None:
    """--here never starts anything by itself, and the refusal is kept as a run."""
    done = manage(desk_environment(tmp_path / "v"), "drill", "kill", "--here", "--json")
    assert done.returncode == 1
    kept = json.loads(done.stdout.splitlines()[0])
    assert (kept["ok"], kept["rows"]) == (False, [])
    assert "start a paper session" in done.stderr


def test_flat_with_redis_web_database_or_a_loop_dead(tmp_path: Path) -> None:
    """UI-07, N2, K-05: flat within 5 s each time, the road said, the latch behind two restarts, the session exact."""
    environment = desk_environment(tmp_path / "v")
    del environment["NUMBA_DISABLE_JIT"]  # this desk trades
    words = ["--roads", "button,form", "--dead", "web,redis,database,database-read-only,risk", "--times", "1"]
    done = manage(environment, "drill", "kill", *words, "--no-unlock", "--json", timeout_s=DRILL_S)
    print(done.stdout, done.stderr, file=sys.stderr)
    rows = json.loads(done.stdout.splitlines()[0])["rows"]
    assert [row for row in rows if not row["ok"]] == []
    assert done.returncode == 0
    cases = {row["name"]: row for row in rows if row["unit"] == "ms to flat"}
    assert len(cases) == 11, "ten of the matrix, one before the restarts"
    assert all(0 < row["value"] <= 5000 for row in cases.values())
    assert cases["button, dead: web"]["road"] == "guard"
    assert cases["form, dead: web"]["road"] == "guard"
    assert cases["button, dead: redis"]["road"] in ("guard", "both")
    assert cases["form, dead: database"]["road"] in ("ring", "both", "guard")
    assert sum(row["name"].startswith("the latch after") for row in rows) == 2
    assert len(rows) == 11 + 2 + PROOFS
