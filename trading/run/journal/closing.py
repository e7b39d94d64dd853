"""How a session left its account: the figures and holds that the next session of the account opens with.

The risk loop leaves them as `closing.json` when it ends; where it could not, or where the journal went on, they are
made again from snapshot and journal, by the same recovery as a takeover.  What neither gives is unknown, never fresh.
No Django, no clock.  Called by the risk loop, by `trading.accounts.past` and by `manage.py sessions closing`.
"""

import contextlib
import errno
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from marketdata.core.records import NO_TIME
from risk.core.holds import BY_MODEL_RELOAD, BY_OPERATOR, BY_TIME, BY_TRADING_DAY, HOLDS
from trading.core.past import FIGURE_MOST, FIGURES
from trading.run.clock import write_atomic
from trading.run.journal.reader import JournalReader, claim_is_alive
from trading.run.journal.recovery import ReplayDiffers, recover
from trading.run.journal.segment import JournalBroken, fences, read_header, segment_path
from trading.run.journal.writer import find_tail
from trading.run.replica import Kernel
from trading.run.spec import HeldSpec, PastSpec

CLOSING_FILE = "closing.json"
FAULT_FILE = "closing-fault.json"  # why the journal gives none, by the code that looked
# The machine had nothing left to read it with; the journal itself may be whole.
PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR)
# A CONDITION hold follows its condition in the new session, too: the kernel raises it anew where it is so.
CARRIED = (BY_TIME, BY_TRADING_DAY, BY_MODEL_RELOAD, BY_OPERATOR)
# The stop ended with its session; the kill is the latch on disk, under which no session starts at all.
LEFT_BEHIND = ("SESSION_STOPPED", "KILL_SWITCH")
# An absolute promise; every other time is a span that the rule asks for.
BY_THE_CLOCK = ("OPERATOR_LOCK", "NEWS")


class ClosingUnknown(ValueError):
    """How a session ended cannot be told; the text says why."""


class ClosingBusy(ClosingUnknown):
    """It cannot be told now, and may be in a moment: the journal changes hands, or no file could be opened."""


class ClosingLong(ClosingBusy):
    """The journal says it, but reading it takes longer than the caller may wait (`remember_closing`)."""


class Patience(NamedTuple):
    """How many frames a caller may wait for, and by which code a fault that was found before still counts."""

    frames: int
    code_hash: str


class Closing(msgspec.Struct, frozen=True):
    """An account after frame `seq` of a session.  `figures`: names = trading.core.past.FIGURES."""

    session: int
    rules: int
    seq: int
    frame_sha256: str  # of that frame, as the journal chains it
    state_sha256: str  # of everything that the kernel remembered
    now_ns: int
    version: int  # of the limits in force; 0: it never had any
    flat: bool
    figures: dict[str, int]
    holds: list[HeldSpec]


def closing_of(kernel: Kernel, session: int, frame_hash: bytes) -> Closing:
    """What this kernel, after the frame with this hash, leaves to the next session."""
    account, rules = kernel.state.account[0], int(kernel.state.account[0].rules)
    rows = []
    for hold in HOLDS[rules]:
        stands = bool(int(account.holds) >> hold.bit & 1)
        if not stands or hold.clearing not in CARRIED or hold.code in LEFT_BEHIND:
            continue
        up = kernel.state.holds[hold.bit]
        rows.append(HeldSpec(hold.code, int(up.since_ns), int(up.until_ns), int(up.value), int(up.limit)))
    return Closing(
        session=session,
        rules=rules,
        seq=kernel.seq,
        frame_sha256=frame_hash.hex(),
        state_sha256=hashlib.sha256(kernel.snapshot()).hexdigest(),
        now_ns=int(account.now_ns),
        version=int(account.version),
        flat=not kernel.state.positions["qty"].any(),
        figures={name: int(account[name]) for name in FIGURES},
        holds=rows,
    )


def store_closing(folder: Path, closing: Closing) -> None:
    """Leave it in the session's folder, with a checksum over it."""
    body = msgspec.json.encode(closing)
    write_atomic(folder / CLOSING_FILE, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def _unwatched(replayed: int) -> None:
    """Progress that nobody looks at."""


def read_closing(
    folder: Path, session: int, patience: Patience | None = None, progress: Callable[[int], None] = _unwatched
) -> Closing:
    """How the session in `folder` left its account; no `patience`: however long it takes.

    The stored one counts only while it names the journal's very last frame; otherwise the journal says it again.
    Raises ClosingUnknown; ClosingBusy where this moment alone is wrong, which must never become lasting; ClosingLong.
    """
    owners: list[int] = []
    try:
        owners = _owners(folder)
        return _checked(_read(folder, session, patience, progress))
    except ClosingBusy:
        raise
    except (OSError, JournalBroken, ReplayDiffers, ClosingUnknown) as error:
        if isinstance(error, OSError) and error.errno in PASSING:
            raise ClosingBusy(f"its journal cannot be opened just now: {error}") from error
        if _changes_hands(folder, owners):
            raise ClosingBusy("its journal is being taken over") from error
        if isinstance(error, ClosingUnknown):
            raise
        raise ClosingUnknown(f"its journal cannot be read: {error}") from error


def remember_closing(folder: Path, session: int, code_hash: str, progress: Callable[[int], None]) -> Closing:
    """Read the whole journal and leave what it says, or why it says nothing, for those who may not wait so long.

    Raises ClosingUnknown after it has left the fault, ClosingBusy.
    """
    try:
        return read_closing(folder, session, progress=progress)
    except ClosingBusy:
        raise
    except ClosingUnknown as error:
        with contextlib.suppress(OSError, JournalBroken):  # what is damaged so is found at once, without a file
            fault = _Fault(session, JournalReader(folder).last_seq(), code_hash, str(error))
            write_atomic(folder / FAULT_FILE, msgspec.json.encode(fault))
        raise


class _Fault(msgspec.Struct, frozen=True):
    session: int
    last_seq: int
    code_hash: str
    fault: str


def _read(folder: Path, session: int, patience: Patience | None, progress: Callable[[int], None]) -> Closing:
    """The stored one, or the journal's own; not checked yet.  Raises what reading raises."""
    end = find_tail(folder).next_seq - 1 if folder.is_dir() else 0  # as a takeover finds it: damage is refused
    if end == 0:
        raise ClosingUnknown("its journal is missing")
    closing = _stored(folder)
    if closing is not None and (closing.session, closing.frame_sha256) == (session, _frame_hash(folder, end).hex()):
        return closing

    def watched(replayed: int) -> None:
        progress(replayed)
        if patience is not None and replayed > patience.frames:
            _raise_fault(folder, session, patience.code_hash)
            raise ClosingLong("its journal is long and must be read again")

    recovered = recover(folder, watched)
    last = recovered.kernel.seq - len(recovered.owed)
    if last < end:
        raise ClosingUnknown("its journal is damaged in the middle")
    closing = closing_of(recovered.kernel, session, _frame_hash(folder, last))
    with contextlib.suppress(OSError):  # only so that nobody has to replay it again
        store_closing(folder, closing)
    return closing


def _raise_fault(folder: Path, session: int, code_hash: str) -> None:
    """As ClosingUnknown: what `remember_closing` found by this code in the same journal; else nothing."""
    try:
        found = msgspec.json.decode((folder / FAULT_FILE).read_bytes(), type=_Fault)
    except (FileNotFoundError, msgspec.DecodeError):
        return
    if (found.session, found.last_seq, found.code_hash) == (session, JournalReader(folder).last_seq(), code_hash):
        raise ClosingUnknown(found.fault)


def _owners(folder: Path) -> list[int]:
    return fences(folder) if folder.is_dir() else []


def _changes_hands(folder: Path, owners: list[int]) -> bool:
    """Whether a new owner has come since `owners` were counted, or has claimed the journal and not sealed it yet."""
    try:
        now = _owners(folder)
        if now != owners:
            return True
        newest = segment_path(folder, now[-1]) if now else None
        return newest is not None and read_header(newest) is None and claim_is_alive(newest)
    except (OSError, JournalBroken):
        return False


def _frame_hash(folder: Path, seq: int) -> bytes:
    frames = JournalReader(folder).read(seq - 1, 1)
    if len(frames) == 0:
        raise ClosingUnknown("its last frame cannot be read")
    return frames["hash"][0].tobytes()


def _stored(folder: Path) -> Closing | None:
    """The file that the risk loop left; None when there is none or it is not whole."""
    try:
        digest, _, body = (folder / CLOSING_FILE).read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    try:
        closing = msgspec.json.decode(body, type=Closing)
    except msgspec.DecodeError:
        return None
    return closing if set(FIGURES) <= set(closing.figures) else None  # an older build's: the journal knows the rest


def _checked(closing: Closing) -> Closing:
    """Refuse figures that are no figures of a session that was configured and is flat."""
    missing = [name for name in FIGURES if name not in closing.figures]
    wild = [name for name, value in closing.figures.items() if not -FIGURE_MOST < value < FIGURE_MOST]
    if missing or wild:
        raise ClosingUnknown(f"its figures are not whole: {', '.join(missing or wild)}")
    if not closing.flat:
        raise ClosingUnknown("it ended with a position open")
    if closing.version == 0:  # the set-up was torn: figures may be told and their holds not
        raise ClosingUnknown("it never had limits")
    return closing


def past_of(closing: Closing, rules: int, start_ns: int, day: int = 0) -> PastSpec:
    """What a session under `rules` whose clock begins at `start_ns`, on trading day `day` (0: unknown), opens with.

    Where the clock begins before the closing (a simulated start may), a TIME hold keeps what was left of it; what is
    promised by the clock keeps its end; the day's figures are those of `day`, so that they end with it.  Raises
    ClosingUnknown for a session of another rulebook.
    """
    if closing.rules != rules:
        raise ClosingUnknown("it was under another rulebook")
    back_ns = max(0, closing.now_ns - start_ns)
    holds = [
        held
        if held.until_ns == NO_TIME or held.code in BY_THE_CLOCK
        else msgspec.structs.replace(held, since_ns=held.since_ns - back_ns, until_ns=held.until_ns - back_ns)
        for held in closing.holds
    ]
    return PastSpec(
        session=closing.session,
        seq=closing.seq,
        state_sha256=closing.state_sha256,
        closed_ns=closing.now_ns,
        figures=closing.figures | ({"trading_day": min(day, closing.figures["trading_day"])} if day else {}),
        holds=holds,
    )
