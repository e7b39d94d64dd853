"""Sessions on disk, recorded by the real kernel and the real journal writer: what the answers to "why" are read from.

`python -m tests.why.recorded SESSION` writes one into that session's folder of the desk of this environment.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tests.kernel.desk import SPEC, Desk, S
from tests.kernel.tape import Tape
from tests.simulation.kit import make_spec
from trading.core import records as r
from trading.run.journal.writer import JournalWriter
from trading.run.replica import Kernel
from trading.run.spec import InstrumentSpec, SessionSpec, save_spec

QUIET_S = 300  # a silence at the end of `life`
REVERSING = {"reverse_confidence_ppm_min": 800_000, "reverse_wait_ns": 0, "cooldown_entry_ns": 0, "cooldown_exit_ns": 0}


def spec_of(instruments: int = 1, **fields: Any) -> SessionSpec:
    """A session of MES, several times where a test needs more than one."""
    plain = make_spec()
    feed = msgspec.structs.replace(plain.feed, symbols=["MES"] * instruments)
    items = [InstrumentSpec("MES", dict(SPEC)) for _ in range(instruments)]
    return msgspec.structs.replace(plain, feed=feed, instruments=items, **fields)


def write_frames(folder: Path, frames: np.ndarray, fence: int = 1) -> None:
    """Append numbered inputs and outputs as the risk loop does."""
    writer = JournalWriter(folder, 7, fence, "code")
    writer.append(frames, np.zeros((len(frames), 2), np.int64), np.ones(len(frames), np.int64), durable=True)
    writer.close()


def record(folder: Path, given: Sequence[np.ndarray], instruments: int = 1, **fields: Any) -> np.ndarray:
    """A journal of these inputs and what the kernel makes of them, beside its spec.  Returns all frames."""
    frames = Kernel().apply(np.concatenate(given))
    folder.mkdir(parents=True, exist_ok=True)
    save_spec(folder, spec_of(instruments, **fields))
    write_frames(folder, frames)
    return frames


def life(seed: int, steps: int, **limits: int) -> list[np.ndarray]:
    """The inputs of one random life of a desk."""
    tape = Tape(seed)
    tape.desk = Desk(tape.desk.limits | limits)
    tape.run(steps)
    return tape.desk.given


def quiet_end(desk: Desk) -> None:
    """The feed falls silent, the clock goes on."""
    for _ in range(QUIET_S):
        desk.event(r.TIMER, wait_ns=S)


def shown_session() -> list[np.ndarray]:
    """A short session for the pages: taken, refused, a pause with refusals, and a silence at its end."""
    desk = Desk()
    desk.enter()
    for _ in range(3):
        desk.quote(20_000, 20_001, wait_ns=S)
        desk.score(wait_ns=S // 10)
    desk.command(r.PAUSE)
    desk.quote(20_000, 20_009, wait_ns=S)
    desk.score(wait_ns=S // 10)
    quiet_end(desk)
    return desk.given


def main() -> None:
    """Write `shown_session` beside the spec that the session has already."""
    import django

    django.setup()
    from trading.services import session_folder

    folder = session_folder(int(sys.argv[1]))
    write_frames(folder, Kernel().apply(np.concatenate(shown_session())))


if __name__ == "__main__":
    main()
