"""How Python calls the kernel: one number for all of its arrays.

`kernel.step` takes fourteen arrays in two tuples and two beside them.  Where Python calls it, each is unpacked, looked
up by its type and counted, call after call, which costs several times the step.  `Calls` looks at them once and writes
their addresses into a block; the entry point below takes the block's address, puts the same tuples together from it
and calls the same `kernel.step`.  Nothing is decided here.  Called by `replica`.
"""

import ctypes
from typing import Any, NoReturn

import numpy as np
from numba import njit, types
from numba.core.cgutils import voidptr_t
from numba.extending import intrinsic, overload
from numba.np.numpy_support import carray

from marketdata.core.compiled import borrowed, inner
from marketdata.core.records import EVENT
from marketdata.core.sessions import WINDOW, WINDOW_CAPACITY
from risk.core.asking import ASK
from risk.core.breakers import GRID
from risk.core.holds import HOLD, HOLD_CAPACITY
from risk.core.records import LIMIT_FIELDS, LIMITS, SPEC, SPEC_FIELDS
from trading.core.kernel import step
from trading.core.records import (
    ACCOUNT,
    INSTRUMENT_CAPACITY,
    ORDER,
    ORDER_CAPACITY,
    OUT_CAPACITY,
    POSITION,
    Params,
    State,
)

LIMIT_COUNT, SPEC_COUNT, ASK_COUNT = len(LIMIT_FIELDS), len(SPEC_FIELDS), ASK.itemsize // 8
OF_STATE, OF_PARAMS = len(State._fields), len(Params._fields)
EVENTS, OUT, ROOM = OF_STATE + OF_PARAMS, OF_STATE + OF_PARAMS + 1, OF_STATE + OF_PARAMS + 2
WORDS = ROOM + 1  # of a block: the addresses of all arrays, and how many events there is room for


def array_at(address: int, shape: "int | tuple[int, ...]", kind: "np.dtype | type") -> np.ndarray:
    """The array that begins at an address, writable, without a share in the counting of references."""
    count = int(np.prod(shape))
    room = (ctypes.c_byte * (count * np.dtype(kind).itemsize)).from_address(int(address))
    return np.frombuffer(memoryview(room), kind).reshape(shape)


@intrinsic
def _pointer(typing: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], voidptr_t)

    return types.voidptr(types.int64), generate


@overload(array_at)
def _array_at(address: Any, shape: Any, kind: Any) -> Any:
    def compiled(address: Any, shape: Any, kind: Any) -> Any:
        return carray(_pointer(address), shape, kind)  # type: ignore[call-arg]

    return compiled


def state_at(block: np.ndarray) -> State:
    """The state whose addresses a block holds."""
    return State(
        array_at(block[0], 1, ACCOUNT),
        array_at(block[1], INSTRUMENT_CAPACITY, POSITION),
        array_at(block[2], ORDER_CAPACITY, ORDER),
        array_at(block[3], HOLD_CAPACITY, HOLD),
        array_at(block[4], INSTRUMENT_CAPACITY, GRID),
    )


def params_at(block: np.ndarray) -> Params:
    """The parameters whose addresses a block holds."""
    return Params(
        array_at(block[5], 1, LIMITS),
        array_at(block[6], LIMIT_COUNT, np.int64),
        array_at(block[7], LIMIT_COUNT, np.int64),
        array_at(block[8], LIMIT_COUNT, np.int64),
        array_at(block[9], INSTRUMENT_CAPACITY, SPEC),
        array_at(block[10], (INSTRUMENT_CAPACITY, SPEC_COUNT), np.int64),
        array_at(block[11], WINDOW_CAPACITY, WINDOW),
        array_at(block[12], 1, ASK),
        array_at(block[13], ASK_COUNT, np.int64),
    )


_state_at, _params_at = inner(state_at), inner(params_at)


@njit(cache=True)
def _step_at(address: int, index: int) -> int:
    """`kernel.step` on the arrays of a block, the event numbered first.  Raises IndexError."""
    block = array_at(address, WORDS, np.int64)
    events = array_at(block[EVENTS], block[ROOM], EVENT)
    if index < 0 or index >= events.shape[0]:
        raise IndexError("there is no such event")
    state, params = borrowed((_state_at(block), _params_at(block)))
    events[index].seq = state.account[0].seq + 1
    return step(state, params, events, index, array_at(block[OUT], OUT_CAPACITY, EVENT))


class Calls:
    """One kernel's arrays, kept as long as this lives, and the steps on them.

    `events`: (n,) EVENT, the caller's line; `out`: (OUT_CAPACITY,) EVENT, where a step's outputs stand.
    """

    def __init__(self, state: State, params: Params, events: np.ndarray, out: np.ndarray) -> None:
        self._arrays = (*state, *params, events, out)  # whoever holds this object holds them: no address outlives them
        addresses = [array.ctypes.data for array in self._arrays]
        self._block = np.array([*addresses, len(events)], np.int64)
        seen = (
            *state_at(self._block), *params_at(self._block), array_at(addresses[EVENTS], len(events), EVENT),
            array_at(addresses[OUT], OUT_CAPACITY, EVENT),
        )  # fmt: skip
        for given, read in zip(self._arrays, seen, strict=True):
            if given.dtype != read.dtype or given.shape != read.shape or not given.flags.carray:
                raise ValueError(f"an array of another form: {given.dtype} {given.shape}")
        self._address = self._block.ctypes.data

    def step(self, index: int) -> int:
        """Number events[index] and apply it; its outputs stand in out[0..n), n is returned.  Raises IndexError."""
        return int(_step_at(self._address, index))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("addresses are of one process and one object: no copy of a kernel's calls can be made")
