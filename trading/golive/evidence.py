"""What the stored paper sessions of a lineage and an account prove: their trades from the ledger, their equity from
their journals (MOEX-GATE-01).

Every session is either read whole, or named with the reason why it does not count, or why it should and cannot be
read, which fails the gate: no session is left out because of what it came to.  Called by `golive.reports`.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db.models import Q

from trading.control import session_folder
from trading.core import states
from trading.golive.joined import Closed, Lived, first_lives, inside
from trading.golive.lineage import lineage_of, root_of
from trading.models import Account, ConfigVersion, Fill, Order, Session, SinkCursor, Trade
from trading.reports.held import HEDGES
from trading.research.gate_moex import WINDOW_NS
from trading.run.journal.equity import equity_days
from trading.run.journal.reader import JournalReader
from trading.run.journal.recovery import ReplayDiffers
from trading.run.journal.segment import JournalBroken

MADE_UP = {"simulated": "its market is made up", "replay": "its market is a recording, which can be known beforehand"}
LEDGER = "ledger"  # the follower's name
NO_LIFE = "nothing of it lies within the 60 days"


class Unread(ValueError):
    """A session that belongs to the sample and cannot be read; the text says why."""


class Found(NamedTuple):
    """`lived`: by market time, none overlapping; `left_out`, `faults`: (session's key, why); `inputs`: key → hash of
    its journal's last frame."""

    lived: list[Lived]
    left_out: list[tuple[str, str]]
    faults: list[tuple[str, str]]
    inputs: dict[str, str]


def found_of(lineage: str, profile: str, account: Account, now_ns: int, rehearse: bool = False) -> Found:
    """Every session of this lineage on this account within the 60 days before `now_ns`.

    `rehearse`: those on made-up or recorded markets count, too; the caller must not let that pass.
    """
    read: list[Lived] = []
    left_out: list[tuple[str, str]] = []
    faults: list[tuple[str, str]] = []
    inputs: dict[str, str] = {}
    roots: dict[int, str] = {}
    for session in _candidates(profile, account, now_ns):
        why = _why_not(session, lineage, roots, rehearse)
        if why:
            left_out.append((session.key, why))
            continue
        try:
            one, head = read_session(session)
        except Unread as error:
            faults.append((session.key, str(error)))
            continue
        cut = None if one is None else inside(one, now_ns - WINDOW_NS, now_ns)
        if cut is None:
            left_out.append((session.key, NO_LIFE))
            continue
        inputs[session.key] = head
        read.append(cut)
    lived, again = first_lives(read)
    left_out += [(key, "another session lived the same market time before it") for key in again]
    return Found(lived, left_out, faults, inputs)


def _candidates(profile: str, account: Account, now_ns: int) -> list[Session]:
    """Sessions that were started and not over before the window, as they were made."""
    since = datetime.fromtimestamp((now_ns - WINDOW_NS) / 1e9, UTC) - timedelta(days=1)
    rows = Session.objects.filter(account=account, mode="paper", version__profile=profile, started_at__isnull=False)
    recent = rows.filter(Q(ended_at=None) | Q(ended_at__gte=since)).exclude(status=states.CREATED)
    return list(recent.select_related("version").order_by("id"))


def _why_not(session: Session, lineage: str, roots: dict[int, str], rehearse: bool) -> str:
    """Why a session is not of the sample; empty when it is."""
    recipe = str(session.spec.get("inputs", {}).get("recipe", ""))
    if lineage not in _lineages(session, recipe, roots):
        return "it is of another lineage" if recipe else "its lineage is not known"
    made_up = MADE_UP.get(str(session.spec.get("feed", {}).get("name", "")), "")
    return "" if rehearse else made_up


def _lineages(session: Session, recipe: str, roots: dict[int, str]) -> set[str]:
    """Every lineage that it touched: a version that was activated while it ran may have loosened something."""
    ordered = Order.objects.filter(session=session).values_list("version_id", flat=True).distinct()
    found = set()
    for number in {int(session.spec.get("version_id", 0)), session.version_id, *ordered}:
        if number not in roots:
            version = ConfigVersion.objects.filter(id=number).first()
            roots[number] = "" if version is None else root_of(version)
        found.add(lineage_of(roots[number], recipe))
    return found - {""}


def read_session(session: Session) -> tuple[Lived | None, str]:
    """The session and the hash of its journal's last frame; None when it never saw its market.  Raises Unread."""
    cursor = SinkCursor.objects.filter(session=session, follower=LEDGER).first()
    folder = session_folder(session.id)
    if not folder.is_dir():
        raise Unread("its journal is gone")
    try:
        last = JournalReader(folder).last_seq()
        seq = 0 if cursor is None else cursor.seq
        if session.status in states.SESSION_OVER and seq < last:
            raise Unread(f"its ledger is at frame {seq}, its journal ends at {last}")
        found = equity_days(folder, seq)
    except (JournalBroken, OSError) as error:
        raise Unread(f"its journal cannot be read: {error}") from None
    except ReplayDiffers as error:
        raise Unread(f"this build does not make what its journal says: {error}") from None
    return (Lived(session.key, found.days, trades_of(session, seq)) if found.days else None), found.head


def trades_of(session: Session, until_seq: int) -> list[Closed]:
    """Its closed trades, hedges left out (MOEX-HEDGE-05), each with the value of its own fills.  Raises Unread."""
    tick_values = [int(item["values"].get("tick_value_micros", 0)) for item in session.spec.get("instruments", [])]
    fills: dict[int, list[tuple[int, int]]] = {}  # instrument → (seq, traded value in micros), in order
    rows = Fill.objects.filter(session=session, seq__lte=until_seq).order_by("seq")
    for instrument, seq, qty, price in rows.values_list("instrument", "seq", "qty", "price_tick"):
        if instrument >= len(tick_values):
            raise Unread(f"fill {seq} is of an instrument that it does not have")
        fills.setdefault(instrument, []).append((seq, qty * abs(price) * tick_values[instrument]))
    taken = dict.fromkeys(fills, 0)
    found = []
    for trade in Trade.objects.filter(session=session, seq__lte=until_seq).order_by("seq"):
        own, first = fills.get(trade.instrument, []), taken.get(trade.instrument, 0)
        end = first
        while end < len(own) and own[end][0] < trade.seq:
            end += 1
        taken[trade.instrument], turnover = end, sum(value for _, value in own[first:end])
        if trade.symbol in HEDGES:
            continue
        if turnover <= 0:
            raise Unread(f"trade {trade.number} has no fills in its ledger")
        found.append(Closed(trade.gross_micros, trade.fee_micros, turnover, trade.opened_ns, trade.closed_ns))
    return found
