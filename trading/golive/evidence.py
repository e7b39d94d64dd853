"""What the stored paper sessions of a lineage prove for one version of it: their trades from the ledger, their equity
from their journals (MOEX-GATE-01).  Those of the judged account make the record; one on another account is named.

Every session is either read whole, or named with the reason why it does not count, or why it should and cannot be
read, which fails the gate: no session is left out because of what it came to.  Called by `golive.reports`.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db.models import Q

from marketdata.feeds.registry import is_live
from trading.control import session_folder
from trading.core import states
from trading.golive.joined import Closed, Lived, first_lives, inside
from trading.golive.lineage import lineage_of, root_of, speaks_for
from trading.models import Account, ConfigVersion, Fill, Order, Session, SinkCursor, Trade
from trading.reports.held import HEDGES
from trading.research.gate_moex import WINDOW_NS
from trading.run.journal.equity import equity_days
from trading.run.journal.reader import JournalReader
from trading.run.journal.recovery import ReplayDiffers
from trading.run.journal.segment import JournalBroken

MADE_UP = {"simulated": "its market is made up", "replay": "its market is a recording, which can be known beforehand"}
NOT_LIVE = "its market is not known to be a live one"
LEDGER = "ledger"  # the follower's name
NO_LIFE = "nothing of it lies within the 60 days"


class Unread(ValueError):
    """A session that belongs to the sample, or in part, and cannot be read or told apart; the text says why."""


class Found(NamedTuple):
    """`lived`: by market time, none overlapping; `left_out`, `faults`: (session's key, why); `inputs`: key → hash of
    its journal's last frame; `elsewhere`: keys of the sample's sessions on other accounts."""

    lived: list[Lived]
    left_out: list[tuple[str, str]]
    faults: list[tuple[str, str]]
    inputs: dict[str, str]
    elsewhere: list[str]


def found_of(judged: ConfigVersion, lineage: str, account: Account, now_ns: int, rehearse: bool = False) -> Found:
    """Every session of this lineage that speaks for the judged version, within the 60 days before `now_ns`.

    `rehearse`: those on made-up or recorded markets count, too; the caller must not let that pass.
    """
    read: list[Lived] = []
    left_out: list[tuple[str, str]] = []
    faults: list[tuple[str, str]] = []
    inputs: dict[str, str] = {}
    elsewhere: list[str] = []
    versions = _Versions(judged)
    for session in _candidates(judged.profile, now_ns):
        try:
            why = _why_not(session, lineage, versions, rehearse)
            if why:
                left_out.append((session.key, why))
                continue
            one, head = read_session(session)
        except Unread as error:
            faults.append((session.key, str(error)))
            continue
        cut = None if one is None else inside(one, now_ns - WINDOW_NS, now_ns)
        if cut is None:
            left_out.append((session.key, NO_LIFE))
            continue
        if session.account_id != account.id:
            left_out.append((session.key, f"it ran on the account {session.account.name}, this one is {account.name}"))
            elsewhere.append(session.key)
            continue
        inputs[session.key] = head
        read.append(cut)
    lived, again = first_lives(read)
    left_out += [(key, "another session lived the same market time before it") for key in again]
    return Found(lived, left_out, faults, inputs, elsewhere)


def _candidates(profile: str, now_ns: int) -> list[Session]:
    """Sessions that were started and not over before the window, as they were made, of every account."""
    since = datetime.fromtimestamp((now_ns - WINDOW_NS) / 1e9, UTC) - timedelta(days=1)
    rows = Session.objects.filter(mode="paper", version__profile=profile, started_at__isnull=False)
    recent = rows.filter(Q(ended_at=None) | Q(ended_at__gte=since)).exclude(status=states.CREATED)
    return list(recent.select_related("version", "account").order_by("id"))


class _Versions:
    """What is known of the versions that sessions ran under, each read once."""

    def __init__(self, judged: ConfigVersion) -> None:
        self._judged = judged
        self._known: dict[int, tuple[str, bool]] = {}  # id → hash of its root, whether it speaks for the judged one

    def of(self, number: int) -> tuple[str, bool]:
        if number not in self._known:
            version = ConfigVersion.objects.filter(id=number).first()
            known = ("", False) if version is None else (root_of(version), speaks_for(version, self._judged))
            self._known[number] = known
        return self._known[number]


def _why_not(session: Session, lineage: str, versions: _Versions, rehearse: bool) -> str:
    """Why a session is not of the sample; empty when it is.  Raises Unread for one that is of it only in part."""
    feed = str(session.spec.get("feed", {}).get("name", ""))
    if not rehearse and not is_live(feed):
        return MADE_UP.get(feed, NOT_LIVE)
    recipe = str(session.spec.get("inputs", {}).get("recipe", ""))
    if not recipe:
        return "its lineage is not known"
    kin, counts = set(), set()
    for number in _ran_under(session):
        root, speaks = versions.of(number)
        same = lineage != "" and lineage_of(root, recipe) == lineage
        kin.add(same)
        counts.add(same and speaks)
    if counts == {True}:
        return ""
    if True in counts:  # left out, it could take a loss out of the sample; counted, it would bring another's gains
        raise Unread("it ran under versions of which only some count here, and what each did is not told apart")
    return "it ran under a version from which the judged one loosens" if True in kin else "it is of another lineage"


def _ran_under(session: Session) -> set[int]:
    """Ids of every version that it touched: one may have been activated while it ran."""
    ordered = Order.objects.filter(session=session).values_list("version_id", flat=True).distinct()
    return {int(session.spec.get("version_id", 0)), session.version_id, *ordered}


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
