"""Exec wrapper of every process under the supervisor: whoever starts a process and dies takes it along.

`python -m desk.ops.child [--signal NAME] [--keep FD] [--nice N] [--hear NAME] -- COMMAND…` asks the kernel (Linux) for
a signal when the parent dies, then becomes COMMAND.  It imports no Django: it must cost milliseconds.  `--keep` is for
the supervisor: it hands the desk's lock on as descriptor 3, so that the folder stays taken until not only
`manage.py run` but also it is gone.  `--nice` lets a process step behind the order path when the cores are busy.
`--hear` is for who ends a command by a signal that its own parent ignores, as Celery's processes do Ctrl-C.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PARENT = "DESK_PARENT_PID"
KEPT_FD = 3  # supervisord closes everything above 4 at its start


def die_with_parent(signal_number: int) -> None:
    """Let the kernel send `signal_number` to this process when its parent dies.  Other systems: no effect."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    # The parent may have died before the call: then nobody will send the signal.
    expected = os.environ.pop(PARENT, str(parent))
    if os.getppid() != parent or expected != str(parent):
        sys.exit(0)


def keep_as_third(descriptor: int) -> None:
    if descriptor == KEPT_FD:
        os.set_inheritable(KEPT_FD, True)
        return
    os.dup2(descriptor, KEPT_FD, inheritable=True)
    os.close(descriptor)


def step_behind(nice: int) -> None:
    """Raise this process's niceness by `nice`, and let it take no core from one that is at work (Linux: SCHED_BATCH).

    No right is needed to give way.  Where the system refuses, the process runs as it is.
    """
    try:
        os.nice(nice)
        if hasattr(os, "SCHED_BATCH"):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError as error:
        print(f"desk.ops.child: cannot step behind: {error.strerror}", file=sys.stderr)


def main(arguments: list[str]) -> None:
    signal_number: int = signal.SIGKILL
    keep, nice = -1, 0
    while arguments and arguments[0] != "--":
        name, value, *arguments = arguments
        if name == "--signal":
            signal_number = signal.Signals[value]
        elif name == "--keep":
            keep = int(value)
        elif name == "--nice":
            nice = int(value)
        elif name == "--hear":
            signal.signal(signal.Signals[value], signal.SIG_DFL)  # an ignored signal stays so beyond exec
        else:
            sys.exit(f"desk.ops.child: unknown option {name}")
    command = arguments[1:]
    if not command:
        sys.exit("desk.ops.child: no command after --")
    die_with_parent(signal_number)
    if nice > 0:
        step_behind(nice)
    if keep >= 0:
        keep_as_third(keep)
        os.environ[PARENT] = str(os.getpid())  # exec keeps the pid: the programs can check who started them
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"cannot start {Path(command[0]).name}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
