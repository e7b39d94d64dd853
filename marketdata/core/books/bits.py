"""The lowest set bit of a word, as one machine instruction in compiled code.

Called by `ladder`, which keeps one bit a price.
"""

import numpy as np
from numba import types
from numba.extending import intrinsic, overload


def lowest_bit(word: int) -> int:
    """Index 0 … 63 of the lowest set bit of an int64 that is not 0."""
    plain = int(word)
    return (plain & -plain).bit_length() - 1


@intrinsic
def _trailing_zeros(typing, word):
    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], context.get_constant(types.boolean, 0))

    return types.int64(types.int64), generate


@overload(lowest_bit)
def _lowest_bit(word):
    def compiled(word):
        return _trailing_zeros(np.int64(word))  # type: ignore[call-arg]

    return compiled
