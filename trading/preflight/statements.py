"""The row of the last statement: unreconciled or missing refuses a live start, and warns before a paper one (T-03).

What is not known refuses, too.  Called by `checks`.
"""

from django.utils.translation import gettext as _

from trading.accounts.past import last_ran
from trading.core import states
from trading.models import Account
from trading.preflight.probes import FAIL, PASS, SKIP, WARN, Found
from trading.run.spec import FeedSpec
from trading.statements.models import Statement
from trading.statements.services import open_statements

REHEARSAL = "replay"


def row(account: Account, mode: str, feed: FeedSpec) -> Found:
    """How the account's days stand with its venue; `mode`: of the session that is to start."""
    if feed.name == REHEARSAL and mode == "paper":
        return Found(SKIP, _("not needed for a recording"))
    bad = WARN if mode == "paper" else FAIL
    if account.pk is None:
        return Found(PASS, _("the first session of this account"))
    opened = open_statements().filter(session__account=account)
    if (first := opened.first()) is not None:
        words = {"session": first.session.key, "day": first.trading_day, "all": opened.count(), "why": first.fault}
        text = _("%(session)s, %(day)s: missing: %(why)s") if first.fault else _("%(session)s, %(day)s differs")
        if opened.count() > 1:
            text += _("; %(all)d days are open")
        return Found(bad, text % words, _("An admin settles it with a reason on the session's page of statements"))
    try:
        last = last_ran(account, account.mode)
    except OSError as error:
        return Found(bad, _("not known: %s") % error, _("Try again"))
    if last is None:
        return Found(PASS, _("no session of this account has traded"))
    if last.status not in states.SESSION_OVER:
        return Found(bad, _("session %s is not over") % last.key, _("Its page stops it"))
    made = Statement.objects.filter(session=last, current=True, final=True).first()
    if made is None:
        advice = _("manage.py statements take %d") % last.id
        return Found(bad, _("session %s has no statement of its last day") % last.key, advice)
    words = {"session": last.key, "day": made.trading_day, "fills": made.fills}
    if getattr(made, "settlement", None) is not None:
        return Found(PASS, _("%(session)s, %(day)s: settled by a person") % words)
    return Found(PASS, _("%(session)s, %(day)s: orders, %(fills)d fills, fees and balance equal") % words)
