"""How functions between the compiled entry points are compiled.

`inner` is for functions that only other compiled functions call: without the wrappers that Python callers need, which
for arguments of many arrays cost more compile time than the function itself.  `inlined` is for the leaves of a step,
where a call would cost too much: a division by 0 gives infinity or NaN there, and the step must look for it at its end.
Everything jitted also runs plain under NUMBA_DISABLE_JIT=1.
"""

from typing import TypeVar

from numba import njit, types
from numba.core.cgutils import get_null_value, unpack_tuple
from numba.extending import intrinsic, overload
from numba.np.arrayobj import make_array

# numba takes these options at run time; its type stubs do not name them
inner = njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore[call-overload]
# the same for functions that are made by functions: those cannot be cached by themselves, only inside their caller
compact = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore[call-overload]
inlined = njit(  # type: ignore[call-overload]
    cache=True, error_model="numpy", forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
)

T = TypeVar("T")


def borrowed(value: T) -> T:
    """An array, or a tuple of such, without its share in the counting of references.

    A compiled function counts every array that it is handed or takes out of a tuple, atomically: with the dozens of
    the kernel's state that costs a step more than its work.  For an entry point whose caller keeps the arrays alive.
    """
    return value


def _uncount(context, builder, kind, value):
    if isinstance(kind, types.Array):
        array = make_array(kind)(context, builder, value)
        array.meminfo = get_null_value(array.meminfo.type)
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        parts = [
            _uncount(context, builder, *part)
            for part in zip(kind.types, unpack_tuple(builder, value), strict=True)  # type: ignore[attr-defined]
        ]
        return context.make_tuple(builder, kind, parts)
    return value


@intrinsic
def _uncounted(typing, value):
    def generate(context, builder, signature, arguments):
        return _uncount(context, builder, signature.args[0], arguments[0])

    return value(value), generate


@overload(borrowed)
def _borrowed(value):
    def plainly(value):
        return _uncounted(value)  # type: ignore[call-arg]

    return plainly
