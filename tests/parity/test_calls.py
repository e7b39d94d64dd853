"""The kernel called by one number: the same as with its arrays handed over, and no way to memory that is gone."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

from marketdata.core.records import EVENT
from tests.kernel.tape import Tape
from trading.core import kernel
from trading.core.records import FIRST_OUTPUT_KIND, new_out, new_params, new_state
from trading.run.calls import Calls
from trading.run.replica import LINE, Kernel

STEPS = 600


class Kept(np.ndarray):
    """An array of which a test can see that it lives."""


def lived(seed: int) -> np.ndarray:
    """Inputs of a random life: orders, fills, commands, holds."""
    tape = Tape(seed)
    given: list[np.ndarray] = []
    apply = tape.desk.kernel.apply

    def noted(events: np.ndarray) -> np.ndarray:
        given.append(events.copy())
        return apply(events)

    tape.desk.kernel.apply = noted  # type: ignore[method-assign]
    tape.run(STEPS)
    return np.concatenate(given)


@pytest.mark.parametrize("seed", range(3))
def test_a_call_by_address_is_the_call_with_the_arrays(seed: int) -> None:
    """Outputs of every event and the whole memory behind the last, from a kernel that was set up by its owner."""
    given = Tape(seed).desk.kernel.snapshot()
    one, two = Kernel.restore(given), Kernel.restore(given)
    events = lived(seed)
    made, at, sent = one.apply(events), 0, 0
    for i in range(len(events)):
        line = events[i : i + 1].copy()
        line["seq"] = two.seq + 1
        n = kernel.step(two.state, two.params, line, 0, two.out)
        assert made[at : at + 1 + n].tobytes() == line.tobytes() + two.out[:n].tobytes(), f"event {i}"
        at, sent = at + 1 + n, sent + n
    assert at == len(made) and sent > 60
    assert one.snapshot() == two.snapshot()


def test_a_long_line_is_cut_and_nothing_is_lost() -> None:
    events = lived(5)
    assert len(events) > 3 * LINE, "more than one piece"
    whole, single = Kernel(), Kernel()
    made = whole.apply(events)
    assert made.tobytes() == b"".join(single.apply(events[i : i + 1]).tobytes() for i in range(len(events)))
    assert (made["seq"] == np.arange(1, len(made) + 1)).all()
    assert np.count_nonzero(made["kind"] < FIRST_OUTPUT_KIND) == len(events)


@pytest.mark.parametrize("index", [-1, 4, 2**40])
def test_an_event_outside_the_line_is_refused_and_nothing_moves(index: int) -> None:
    state, params = new_state(), new_params()
    calls = Calls(state, params, np.zeros(4, EVENT), new_out())
    before = b"".join(array.tobytes() for array in (*state, *params))
    with pytest.raises(IndexError, match="no such event"):
        calls.step(index)
    assert b"".join(array.tobytes() for array in (*state, *params)) == before


def test_the_arrays_live_as_long_as_the_calls() -> None:
    events = np.zeros(1, EVENT).view(Kept)
    alive = weakref.ref(events)
    calls = Calls(new_state(), new_params(), events, new_out())
    del events
    gc.collect()
    assert alive() is not None and calls.step(0) >= 0
    del calls
    gc.collect()
    assert alive() is None


def test_arrays_of_another_form_are_refused() -> None:
    state, params, events, out = new_state(), new_params(), np.zeros(4, EVENT), new_out()
    sealed = state.orders.copy()
    sealed.flags.writeable = False
    wrong = (
        (state._replace(orders=state.orders[:-1]), params, events, out),
        (state._replace(orders=sealed), params, events, out),
        (state._replace(positions=state.positions[::-1]), params, events, out),
        (state, params._replace(spec_values=params.spec_values.T.copy().T), events, out),
        (state, params._replace(staged=params.staged.astype(np.int32)), events, out),
        (state, params, events[::2], out),
        (state, params, events, out[:10]),
        (state, params, events.reshape(2, 2), out),
    )
    for arrays in wrong:
        with pytest.raises(ValueError, match="another form"):
            Calls(*arrays)


def test_no_copy_carries_addresses_away() -> None:
    kernel_of_one_process = Kernel()
    for carry in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="no copy"):
            carry(kernel_of_one_process._calls)
    with pytest.raises(TypeError, match="no copy"):
        copy.deepcopy(kernel_of_one_process)
