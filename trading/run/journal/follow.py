"""A kernel that follows a recorded journal at compiled speed: inputs applied, every output compared, bit for bit.

What `recovery.Replayer` does frame by frame for who keeps up with a session, in one loop for who looks for a moment of
hours ago.  Reads arrays only; called by `trading.reports.why.find`.
"""

import numpy as np
from numba import njit

from marketdata.core.compiled import borrowed
from marketdata.core.records import EVENT
from trading.core.kernel import step
from trading.core.records import FIRST_OUTPUT_KIND, Params, State
from trading.run.replica import Kernel

WORDS = EVENT.itemsize // 8
assert EVENT.itemsize == 8 * WORDS, "events are compared as whole words"


@njit(cache=True)
def _follow(
    state: State, params: Params, events: np.ndarray, words: np.ndarray, out: np.ndarray, made: np.ndarray
) -> int:
    """Index of the first frame that differs, len(events) when none does."""
    state, params, events, out = borrowed((state, params, events, out))
    i = 0
    while i < events.shape[0]:
        if events[i].kind >= FIRST_OUTPUT_KIND:
            return i  # recorded, and the kernel made nothing
        n = step(state, params, events, i, out)
        i += 1
        for k in range(n):
            if i == events.shape[0]:
                break  # the rest of this step lies behind what was given
            for w in range(words.shape[1]):
                if words[i, w] != made[k, w]:
                    return i
            i += 1
    return i


def follow(kernel: Kernel, events: np.ndarray) -> int:
    """Bring the kernel behind these recorded EVENTs, of which the first is an input; they may end inside a step.

    Returns how many equal what the kernel made; fewer than len(events): the next one differs, the kernel is of no use.
    """
    own = events.copy()  # writable, as the compiled code expects
    words, made = own.view(np.int64).reshape(-1, WORDS), kernel.out.view(np.int64).reshape(-1, WORDS)
    return int(_follow(kernel.state, kernel.params, own, words, kernel.out, made))
