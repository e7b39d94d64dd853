"""How functions between the compiled entry points are compiled.

`inner` is for functions that only other compiled functions call: without the wrappers that Python callers need, which
for arguments of many arrays cost more compile time than the function itself.  `inlined` is for the leaves of a step,
where a call would cost too much: a division by 0 gives infinity or NaN there, and the step must look for it at its end.
Everything jitted also runs plain under NUMBA_DISABLE_JIT=1.
"""

from numba import njit

# numba takes these options at run time; its type stubs do not name them
inner = njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore[call-overload]
# the same for functions that are made by functions: those cannot be cached by themselves, only inside their caller
compact = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore[call-overload]
inlined = njit(  # type: ignore[call-overload]
    cache=True, error_model="numpy", forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
)
