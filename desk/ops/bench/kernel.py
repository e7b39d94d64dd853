"""The kernel on the inputs of a recorded session: in the batch loop, and one call at a time from Python.

The profile is a shipped one and the session was made by the real loops; nothing is left out of the step.
"""

import time

import numpy as np

from desk.ops.bench.table import Row, quantiles
from trading.core import kernel
from trading.core.records import FIRST_OUTPUT_KIND
from trading.run.replica import Kernel

ROUNDS = 15
CALLS = 20_000


def inputs_of(frames: np.ndarray) -> np.ndarray:
    """The inputs of a journal, as the inbox held them."""
    events = frames["event"]
    return events[events["kind"] < FIRST_OUTPUT_KIND].copy()


def measure(inputs: np.ndarray) -> list[Row]:
    """Rows: ns per event in the compiled loop (CPU time, median of ROUNDS), us per call from Python."""
    out = Kernel().out
    spent = []
    for _ in range(ROUNDS):
        fresh = Kernel()
        began = time.process_time_ns()
        kernel.run(fresh.state, fresh.params, inputs, out)
        spent.append((time.process_time_ns() - began) / len(inputs))
    fresh = Kernel()
    one = inputs[:1].copy()
    calls = np.empty(min(CALLS, len(inputs)))
    for i in range(len(calls)):
        one[0] = inputs[i]
        one["seq"] = fresh.seq + 1
        began = time.perf_counter_ns()
        kernel.step(fresh.state, fresh.params, one, 0, out)
        calls[i] = time.perf_counter_ns() - began
    batch = Row("kernel in the batch loop", float(np.median(spent)), "ns/event", note=f"{len(inputs)} events, CPU time")
    return [batch, *quantiles("kernel, one call from Python", calls / 1000, "us")]
