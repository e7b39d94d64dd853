"""What the order path cannot go below on this machine: one hop by Redis between two processes, one durable append.

The hop is bare XADD → XREAD BLOCK with an entry of the ring's size, both sides asleep between entries as the loops
are; the append is the journal's own.  The goals for two and three hops are to be read beside these; no session runs.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from desk.jitcache import BASE, code_hash
from marketdata.core.records import EVENT, new_events
from trading.run.clock import boot_ns
from trading.run.journal.writer import JournalWriter
from trading.run.streams import make_client

SAMPLES = 300
APART_S = 0.02  # 50 a second
FRAMES = 4  # an input and what it usually decides
KEY = "bench:floor"
BLOCK_MS = 500
WAIT_S = 30


def hops(url: str) -> np.ndarray:
    """Milliseconds from before the XADD of one process to after the XREAD of another, one sample an entry."""
    reader = subprocess.Popen(
        [sys.executable, "-m", "desk.ops.bench.floor", url], cwd=BASE, stdout=subprocess.PIPE, text=True
    )
    with make_client(url) as client, reader:
        deadline = time.monotonic() + WAIT_S
        while not client.exists(KEY):
            if reader.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the reader of the bare stream did not start")
            time.sleep(0.01)
        body = bytes(EVENT.itemsize)
        for _ in range(SAMPLES):
            client.execute_command("XADD", KEY, "*", "e", body, "b", str(boot_ns()))
            time.sleep(APART_S)
        said, _ = reader.communicate(timeout=WAIT_S)
        client.delete(KEY)
    return np.array(json.loads(said), np.float64) / 1e6


def _read(client: Any) -> list[int]:
    """The reader's side: ns on the way of SAMPLES entries."""
    client.xgroup_create(KEY, "floor", mkstream=True)  # the sender waits for the stream
    spent: list[int] = []
    last = b"0-0"
    while len(spent) < SAMPLES:
        answer = client.xread({KEY: last}, count=64, block=BLOCK_MS)
        now = boot_ns()
        for entry_id, fields in answer[0][1] if answer else ():
            spent.append(now - int(fields[b"b"]))
            last = entry_id
    return spent


def appends(folder: Path) -> np.ndarray:
    """Milliseconds of the journal's own durable appends, FRAMES each, on the disk of `folder`."""
    spent = []
    with tempfile.TemporaryDirectory(dir=folder) as place:
        writer = JournalWriter(Path(place), 1, 1, code_hash())
        for i in range(SAMPLES):
            events = new_events(FRAMES)
            events["seq"] = np.arange(FRAMES) + 1 + FRAMES * i
            began = time.perf_counter_ns()
            writer.append(events, np.zeros((FRAMES, 2), np.int64), np.zeros(FRAMES, np.int64), durable=True)
            spent.append((time.perf_counter_ns() - began) / 1e6)
            time.sleep(APART_S)
        writer.close()
    return np.array(spent)


if __name__ == "__main__":
    print(json.dumps(_read(make_client(sys.argv[1]))))
