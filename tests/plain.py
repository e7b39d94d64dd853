"""The plain interpreter beside the compiler: a program in a process of its own, with NUMBA_DISABLE_JIT=1."""

import os
import subprocess
import sys

from tests.bootstrap import ROOT

PATIENCE_S = 900


def answer_of(program: str) -> str:
    """What a program prints where nothing is compiled, stripped.  Raises CalledProcessError when it fails."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    return done.stdout.strip()
