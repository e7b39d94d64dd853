"""The compiled kernel and the plain interpreter give the same bytes for the same events (NUMBA_DISABLE_JIT=1)."""

import os
import subprocess
import sys
from pathlib import Path

from tests.kernel.tape import Tape

ROOT = Path(__file__).resolve().parents[2]


def test_jitted_equals_plain_interpreter() -> None:
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.kernel.tape", "11", "300"]
    plain = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert plain.returncode == 0, plain.stderr[-2000:]
    assert plain.stdout.strip() == Tape(11).run(300)
