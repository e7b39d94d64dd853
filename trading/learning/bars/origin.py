"""Where a network's rows came from and how it was trained, in words for its manifest (MES-ML-11).

Called by training, and by the walk-forward that trains networks of its own in the same way.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from trading.learning.training import TrainRequest

OF_ONE_RUN = ("tape", "seconds", "out", "memory_bytes_max", "every_ms")  # no way of training; rows are named beside it


def origin_of(request: "TrainRequest", features: bool, every_s: int) -> dict[str, str]:
    """The tape by name.  Of a file of bar `features` also which rows it holds, of how many seconds one is taken, and
    the way of training, by all of which a walk-forward knows a network that was made as its own."""
    tape = request.tape
    found = {"feed": tape.name, "path": Path(tape.path).name, "tape_seed": str(tape.seed)}
    if not features:
        return found
    from trading.learning.bars.file import BarFile  # and the library that reads it, which no other tape needs

    file = BarFile(Path(tape.path))
    file.close()
    return found | {"rows": file.rows_hash, "every_s": str(every_s), "way": way_of(request)}


def way_of(request: "TrainRequest") -> str:
    """SHA-256 (hex) of everything that was asked for but the rows: network, recipe, labels, seed."""
    asked = {name: value for name, value in msgspec.to_builtins(request).items() if name not in OF_ONE_RUN}
    return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()
