"""How functions between the compiled entry points are compiled, and how they are handed many arrays.

`inner` is for functions that only other compiled functions call: without the wrappers that Python callers need, which
for arguments of many arrays cost more compile time than the function itself.  `inlined` is for the leaves of a step,
where a call would cost too much: a division by 0 gives infinity or NaN there, and the step must look for it at its end.
`borrowed` is what an entry point does with its arguments.  Everything jitted also runs plain under NUMBA_DISABLE_JIT=1.
"""

from hashlib import sha256
from typing import TypeVar

from numba import njit, types
from numba.core.cgutils import alloca_once_value, gep_inbounds, get_null_value, unpack_tuple
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    infer_getattr,
    lower_builtin,
    lower_getattr_generic,
    models,
    register_model,
    type_callable,
)
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
    """Arrays, and tuples of such, as an entry point hands them on: uncounted, a NamedTuple by its address.

    A compiled function is handed each array of a tuple in seven words and more, call by call, and counts what it takes
    out of one, atomically: with the dozens of arrays of the kernel's state either costs a step more than its work.
    What is borrowed is one word, and nothing about it is counted.  For entry points whose caller keeps the arrays
    alive: it is good until the entry point returns, and is never returned itself.
    """
    return value


class Borrowed(types.Type):
    """A NamedTuple where the entry point that borrowed it keeps it: a pointer.  `whole`: the type of what it is."""

    def __init__(self, whole):
        self.whole = whole
        super().__init__(name=f"Borrowed({whole.name})")

    @property
    def key(self):
        return self.whole

    @property
    def mangling_args(self):
        return "Borrowed", (int(sha256(self.name.encode()).hexdigest()[:8], 16),)  # the name has some kilobytes

    def field(self, name):
        """(place, type) of a field; (−1, None) without one of this name."""
        if name not in self.whole.fields:
            return -1, None
        at = self.whole.fields.index(name)
        return at, self.whole[at]


@register_model(Borrowed)
class _BorrowedModel(models.PrimitiveModel):
    def __init__(self, dmm, kind):
        super().__init__(dmm, kind, dmm.lookup(kind.whole).get_value_type().as_pointer())


def _lent(kind):
    """The type that a value of this type has once it is borrowed."""
    if isinstance(kind, types.BaseNamedTuple):
        return Borrowed(kind)
    if isinstance(kind, types.BaseTuple):
        return types.Tuple([_lent(part) for part in kind.types])  # type: ignore[attr-defined]  # of every tuple
    return kind


def _uncounted(context, builder, kind, value):
    if not isinstance(kind, types.Array):
        return value
    array = make_array(kind)(context, builder, value)
    array.meminfo = get_null_value(array.meminfo.type)  # what is null is not counted, and the compiler sees that it is
    return array._getvalue()


def _lend(context, builder, kind, value):
    if isinstance(kind, types.BaseNamedTuple):
        return alloca_once_value(builder, value)
    if isinstance(kind, types.BaseTuple):
        inner_kinds = kind.types  # type: ignore[attr-defined]
        parts = [_lend(context, builder, *part) for part in zip(inner_kinds, unpack_tuple(builder, value), strict=True)]
        return context.make_tuple(builder, _lent(kind), parts)
    return _uncounted(context, builder, kind, value)


@type_callable(borrowed)
def _type_of_borrowed(context):
    def plainly(value):
        return _lent(value)

    return plainly


@lower_builtin(borrowed, types.Any)
def _borrow(context, builder, signature, arguments):
    """In the frame of the caller, for that is where a borrowed tuple stays."""
    return _lend(context, builder, signature.args[0], arguments[0])


@infer_getattr
class _Fields(AttributeTemplate):
    key = Borrowed

    def generic_resolve(self, kind, name):  # type: ignore[override]  # the base class answers NotImplemented alone
        _, field = kind.field(name)
        return None if field is None else _lent(field)


@lower_getattr_generic(Borrowed)
def _take(context, builder, kind, value, name):
    """An array, uncounted; a tuple within the tuple as it stands there, borrowed like the whole."""
    at, field = kind.field(name)
    place = gep_inbounds(builder, value, 0, at)
    if isinstance(field, types.BaseNamedTuple):
        return place
    return _uncounted(context, builder, field, builder.load(place))
