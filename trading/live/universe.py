"""What an operator asks of a running session's live data: replace an instrument of the active set, or resync.

The engine beside the feed loop decides, by the brakes of MOEX-DATA-09, and answers; what it does is told to the ring as
METRICs and conditions, and so is in the journal.  Every wish leaves an audit row, a refused one too.  Neither can make
anything trade by itself: a new instrument stands behind the gate like every other, a resync holds entries until the
books have proved themselves.  The right to ask was checked by the caller: the Operations page and `manage.py sessions`.
"""

import secrets
import time

from django.conf import settings

from trading.configs import tell_audit
from trading.control import CommandRefused, session_folder
from trading.core import states
from trading.models import Session
from trading.run.clock import boot_ns
from trading.run.feeding.wishes import LIFE_S, REPLACE, RESYNC, Wish, Wishes
from trading.run.spec import SpecError, load_spec
from trading.run.streams import StreamAway, StreamFull, make_client

ANSWER_S = LIFE_S + 1.0  # behind it no wish is taken any more
LOOK_S = 0.02


def replace(session_id: int, current: str, replacement: str, by: str, reason: str) -> None:
    """Have `replacement` take the place of `current` in the active set, as soon as its book is there (MOEX-DATA-11).

    Raises CommandRefused with the engine's own sentence, or where nobody can be asked.
    """
    if not reason.strip():
        raise CommandRefused("NO_REASON", "replacing an instrument needs a reason")
    current, replacement = current.strip().upper(), replacement.strip().upper()
    wish = Wish(secrets.token_hex(8), REPLACE, boot_ns(), current, replacement)
    _ask(session_id, wish, by, {"current": current, "replacement": replacement, "reason": reason})


def resync(session_id: int, by: str, reason: str) -> None:
    """Clear books, rings, metrics, trades, candles and model state of all instruments but the baselines, and hold
    entries until the gate is passed (MOEX-DATA-15).  Raises CommandRefused."""
    _ask(session_id, Wish(secrets.token_hex(8), RESYNC, boot_ns()), by, {"reason": reason})


def _ask(session_id: int, wish: Wish, by: str, detail: dict[str, object]) -> None:
    key = _key_of(session_id)
    try:
        refusal = _answer(key, wish)
    except CommandRefused as error:
        tell_audit("control", f"universe_{wish.kind}_refused", by, key, {**detail, "why": str(error)})
        raise
    if refusal:
        tell_audit("control", f"universe_{wish.kind}_refused", by, key, {**detail, "why": refusal})
        raise CommandRefused("REFUSED", refusal)
    tell_audit("control", f"universe_{wish.kind}", by, key, detail)


def _key_of(session_id: int) -> str:
    """The key of a running session that has an engine.  Raises CommandRefused."""
    session = Session.objects.filter(id=session_id).first()
    try:
        spec = load_spec(session_folder(session_id))
    except SpecError:
        raise CommandRefused("UNKNOWN_SESSION", f"session {session_id} was never started") from None
    if spec.universe is None:
        raise CommandRefused("NO_ENGINE", f"session {spec.key} has no live data engine")
    if session is None or session.status in states.SESSION_OVER:
        raise CommandRefused("STATE", f"session {spec.key} is over")
    return spec.key


def _answer(key: str, wish: Wish) -> str:
    """What the feed loop says: why not, or empty.  Raises CommandRefused when it says nothing."""
    client = make_client(settings.REDIS_URL)
    try:
        wishes = Wishes(client, key)
        wishes.ask(wish)
        deadline = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline:
            if (refusal := wishes.answer_of(wish)) is not None:
                return refusal
            time.sleep(LOOK_S)
    except (StreamAway, StreamFull) as error:
        raise CommandRefused("AWAY", f"the feed loop cannot be asked: {error}") from None
    finally:
        client.close()
    raise CommandRefused("NO_ANSWER", f"the feed loop did not answer within {ANSWER_S:.0f} s: look at LIVE DATA")
