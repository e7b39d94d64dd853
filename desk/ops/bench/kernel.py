"""The kernel on the inputs of a recorded session: in the batch loop, and one call at a time from Python.

The profile is a shipped one and the session was made by the real loops; nothing is left out of the step.
"""

import time

import numpy as np

from desk.ops.bench.table import Row, quantiles
from marketdata.core.records import BAR, new_events
from marketdata.core.units import NANOS
from trading.core import kernel
from trading.core.records import FIRST_OUTPUT_KIND, TIMER, new_out, new_params, new_state
from trading.run.calls import Calls
from trading.run.replica import Kernel

ROUNDS = 15
CALLS = 20_000
BARS = 300_000
PER_CALL_US = 2.0


def inputs_of(frames: np.ndarray) -> np.ndarray:
    """The inputs of a journal, as the inbox held them."""
    events = frames["event"]
    return events[events["kind"] < FIRST_OUTPUT_KIND].copy()


def common_work(inputs: np.ndarray, out: np.ndarray) -> Row:
    """Bars on a configured, flat account: what most bars of a backtest are.  The whole rulebook is in the loop."""
    quiet = Kernel()
    last = int(np.flatnonzero(inputs["kind"] == TIMER)[0])
    kernel.run(quiet.state, quiet.params, inputs[:last], out)
    bars = new_events(BARS)
    close = 20_000 + np.arange(BARS) % 3
    bars["kind"], bars["value"], bars["volume"] = BAR, NANOS, 10
    bars["open_tick"], bars["close_tick"], bars["high_tick"], bars["low_tick"] = close, close, close + 1, close - 1
    start = int(quiet.state.account[0].now_ns) // NANOS + 1
    bars["ts_ns"] = bars["ts_venue_ns"] = (start + np.arange(BARS)) * NANOS
    before, spent = quiet.snapshot(), []
    for _ in range(ROUNDS):
        fresh = Kernel.restore(before)
        began = time.process_time_ns()
        kernel.run(fresh.state, fresh.params, bars, out)
        spent.append((time.process_time_ns() - began) / BARS)
    note = f"{BARS} one-second bars, flat, CPU time"
    return Row("kernel, a bar on the common work", float(np.median(spent)), "ns/bar", 40, note=note)


def measure(inputs: np.ndarray) -> list[Row]:
    """Rows: ns per event in the compiled loop (CPU time, median of ROUNDS), us per call from Python."""
    out = Kernel().out
    spent = []
    for _ in range(ROUNDS):
        fresh = Kernel()
        began = time.process_time_ns()
        kernel.run(fresh.state, fresh.params, inputs, out)
        spent.append((time.process_time_ns() - began) / len(inputs))
    batch = Row("kernel in the batch loop", float(np.median(spent)), "ns/event", note=f"{len(inputs)} events, CPU time")
    return [batch, common_work(inputs, out), *per_call(inputs[:CALLS])]


def per_call(inputs: np.ndarray) -> list[Row]:
    """Rows: one step from Python, by address as the loops call it, and with the arrays handed over; the same events."""
    by_address, by_arrays = np.empty(len(inputs)), np.empty(len(inputs))
    state, params, line, out = new_state(), new_params(), inputs[:1].copy(), new_out()
    calls, other = Calls(state, params, line, out), Kernel()
    one = inputs[:1].copy()
    for i in range(len(inputs)):
        line[0] = one[0] = inputs[i]
        one["seq"] = other.seq + 1
        began = time.perf_counter_ns()
        calls.step(0)
        between = time.perf_counter_ns()
        kernel.step(other.state, other.params, one, 0, other.out)
        by_address[i], by_arrays[i] = between - began, time.perf_counter_ns() - between
    assert state.account["seq"] == other.seq, "both ways say the same"
    return [
        *quantiles("kernel, one call from Python", by_address / 1000, "us", PER_CALL_US),
        *quantiles("  the same, arrays handed over", by_arrays / 1000, "us"),
    ]
