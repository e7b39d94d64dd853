"""Why there was no decision at all: what the desk, its feed and its scorer did around a minute without one.

A decision follows from a score, so a minute without one is a minute without a score: the causes below are looked for
in this order, from the journal and the kernel's state at that time; all that hold are told.  Called by `why.answer`.
"""

from typing import NamedTuple

from django.utils.translation import gettext as _

from marketdata.core import records as market
from marketdata.core.records import NO_TIME
from marketdata.core.sessions import NORMAL, PHASES, REDUCED
from marketdata.core.units import NANOS
from risk.core.holds import BY_BIT, ENTRY_MASK, HOLD_CAPACITY
from risk.core.records import UNSET
from trading.core.records import SCORE
from trading.reports.why.find import Journal, kernel_at, of
from trading.reports.why.words import time_word
from trading.run.replica import Kernel
from trading.run.spec import SessionSpec

NEAR_NS = 60 * NANOS  # a decision farther away than this does not answer for the moment
MARKET_KINDS = (market.BAR, market.QUOTE, market.TRADE, market.BOOK)
MARKET_LOOK = 40_000


class Cause(NamedTuple):
    """One thing that was so.  `code` for tables and tests, `text` for people."""

    code: str
    text: str


def causes(journal: Journal, spec: SessionSpec, at_us: int) -> list[Cause]:
    """What explains that nothing was decided around `at_us`, strongest first; never empty.  Raises JournalBroken."""
    at_ns = at_us * 1000
    if at_us < journal.first_us:
        return [Cause("BEFORE_START", _("The session's journal begins later."))]
    seq = journal.seq_at(at_us)
    kernel, _same = kernel_at(journal, seq)
    found = [*_desk(journal, kernel, seq, at_us), *_account(kernel)]
    found += _feed(journal, kernel, seq, at_ns)
    found += _phase(kernel)
    if spec.scorer.name == "none":
        found.append(Cause("NO_SCORER", _("The session runs without a scorer: it only watches.")))
    found += _holds(kernel)
    if not any(cause.code != "HELD" for cause in found):
        found.append(_no_score(journal, seq, at_ns))
    return found


def _desk(journal: Journal, kernel: Kernel, seq: int, at_us: int) -> list[Cause]:
    """Beyond the journal's end, or in a hole of it: the loops were not running."""
    last_us = int(kernel.state.account[0].now_ns) // 1000
    if seq == journal.last_seq and at_us > journal.last_us:
        ago = time_word((at_us - journal.last_us) * 1000)
        return [Cause("AFTER_END", _("The session's journal ends %(ago)s earlier.") % {"ago": ago})]
    if (at_us - last_us) * 1000 > NEAR_NS // 2:
        ago = time_word((at_us - last_us) * 1000)
        text = _("The desk wrote nothing for %(ago)s, not even its clock: its risk loop was not running.")
        return [Cause("DESK_SILENT", text % {"ago": ago})]
    return []


def _account(kernel: Kernel) -> list[Cause]:
    a, found = kernel.state.account[0], []
    if a.version == 0:
        found.append(Cause("NO_CONFIGURATION", _("No configuration version was active yet.")))
    if a.latched == 1:
        found.append(Cause("LATCHED", _("The kill latch stood.")))
    if a.trading != 1:
        found.append(Cause("NOT_TRADING", _("The session was not started, or had been stopped.")))
    return found


def _feed(journal: Journal, kernel: Kernel, seq: int, at_ns: int) -> list[Cause]:
    """The feed's own silence, its gap, or a market in which nothing moved."""
    a, limit = kernel.state.account[0], int(kernel.params.limits[0].quote_age_ns_max)
    if a.feed_ts_ns == NO_TIME:
        return [Cause("FEED_SILENT", _("The feed had not sent anything yet."))]
    if a.feed_gap == 1:
        return [Cause("FEED_GAP", _("The feed had reported a gap that was not filled."))]
    age = at_ns - int(a.feed_ts_ns)
    if limit != UNSET and age > limit:
        text = _("The feed was silent for %(age)s; at most %(limit)s is believed.")
        return [Cause("FEED_SILENT", text % {"age": time_word(age), "limit": time_word(limit)})]
    last = journal.last_of(of(*MARKET_KINDS), seq, MARKET_LOOK)
    if len(last) == 0 or at_ns - int(last["ts_ns"][0]) > NEAR_NS:
        text = _("The feed was alive, but the market said nothing: no quote, book, trade or bar for %(age)s.")
        ago = _("longer than was looked back") if len(last) == 0 else time_word(at_ns - int(last["ts_ns"][0]))
        return [Cause("MARKET_QUIET", text % {"age": ago})]
    return []


def _phase(kernel: Kernel) -> list[Cause]:
    phase = int(kernel.state.account[0].phase)
    if phase in (NORMAL, REDUCED):
        return []
    text = _("The phase was %(phase)s: no entries are admitted in it.")
    return [Cause("PHASE", text % {"phase": PHASES[phase]})]


def _holds(kernel: Kernel) -> list[Cause]:
    """Holds make no silence, but a score would have been refused by them."""
    a = kernel.state.account[0]
    standing = int(a.holds) & int(ENTRY_MASK[a.rules])
    found = []
    for bit in range(HOLD_CAPACITY):
        if not standing >> bit & 1:
            continue
        hold, since = BY_BIT[int(a.rules)][bit], int(a.now_ns) - int(kernel.state.holds[bit].since_ns)
        text = _("%(code)s had stood for %(since)s (%(why)s): a score would have been refused.")
        about = {"code": hold.code, "since": time_word(since), "why": hold.trigger}
        found.append(Cause("HELD", text % about))
    return found


def _no_score(journal: Journal, seq: int, at_ns: int) -> Cause:
    """Everything was as it should be, and still no score came."""
    last = journal.last_of(of(SCORE), seq)
    following = journal.first_of(of(SCORE), seq)
    parts = [_("The market moved, and no score came: the inference loop was away, not warm, or had nothing to say.")]
    if len(last) > 0:
        parts.append(_("The last score was %(age)s earlier.") % {"age": time_word(at_ns - int(last["ts_ns"][0]))})
    if len(following) > 0:
        later = time_word(int(following["ts_ns"][0]) - at_ns)
        parts.append(_("The next came %(age)s later.") % {"age": later})
    return Cause("NO_SCORE", " ".join(parts))
