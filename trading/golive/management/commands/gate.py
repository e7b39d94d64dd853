"""`manage.py gate …`: make a report of the shares' go-live gate, list what is stored, show one (MOEX-GATE)."""

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading import configs
from trading.accounts import opening
from trading.golive import reports
from trading.golive.models import GateReport
from trading.golive.rows import MOEX
from trading.models import Account
from trading.run.spec import ScorerSpec

LISTED = 50


class Command(BaseCommand):
    help = (
        "The go-live gate: `make` judges the paper sessions of the last 60 days of one configuration and scorer and"
        " stores the report; a live start asks for one that passed within the last day.  `list`, `show N`."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        make = verbs.add_parser("make", help="judge and store; shares alone, futures by `gatemes`")
        make.add_argument("--config", default="moex-tinvest", help="version, like moex-tinvest@3, or a profile")
        make.add_argument("--scorer", default="baseline", help="baseline, heuristic or network")
        make.add_argument("--artifact", default="", help="folder of the network")
        make.add_argument("--account", default="", help="whose paper sessions; default: the profile's own")
        make.add_argument("--by", default="operator")
        make.add_argument("--rehearse", action="store_true", help="made-up and recorded markets count; never passes")
        make.add_argument("--json", action="store_true")
        verbs.add_parser("list", help="the newest reports").add_argument("--json", action="store_true")
        show = verbs.add_parser("show", help="one report")
        show.add_argument("number", type=int)
        show.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "list":
            for row in GateReport.objects.select_related("account").order_by("-id")[:LISTED]:
                self.stdout.write(json.dumps(values(row)) if options["json"] else f"{row.id} {reports.lines(row)[0]}")
            return
        row = self._make(options) if options["verb"] == "make" else self._find(options["number"])
        self.stdout.write(json.dumps(values(row)) if options["json"] else "\n".join(reports.lines(row)))

    def _find(self, number: int) -> GateReport:
        row = GateReport.objects.select_related("account").filter(id=number).first()
        if row is None:
            raise CommandError(f"there is no report {number}")
        return row

    def _make(self, options: dict[str, Any]) -> GateReport:
        try:
            version = configs.version_for(options["config"], by=options["by"])
            profile = configs.profile_of(version)
        except configs.ConfigError as error:
            raise CommandError(str(error)) from None
        if profile.market.venue != MOEX:
            raise CommandError(f"{version} trades at {profile.market.venue}: its gate is asked by `gatemes`")
        account = Account.objects.filter(name=options["account"]).first() if options["account"] else None
        if options["account"] and account is None:
            raise CommandError(f"there is no account {options['account']!r}")
        scorer = ScorerSpec(options["scorer"], options["artifact"])
        own = account or opening.stored(None, profile)
        given = {"by": options["by"], "now_ns": time.time_ns(), "rehearse": options["rehearse"]}
        return reports.make_moex(version, scorer, own, **given)


def values(row: GateReport) -> dict[str, Any]:
    """A report for JSON."""
    names = ("id", "gate", "profile", "lineage", "passed", "rehearsal", "rows", "figures", "inputs", "hash", "by")
    named = {name: getattr(row, name) for name in names}
    return named | {"account": row.account and row.account.name, "made_at": row.made_at.isoformat()}
