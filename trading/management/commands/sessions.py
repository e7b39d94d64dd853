"""`manage.py sessions …`: make, start, stop, list sessions and send them commands, from a shell.

A start passes the same pre-flight as on the page, or is refused with the same sentence; `new --no-start` only makes.
"""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from marketdata.feeds.port import FeedError
from trading import configs, selectors, services
from trading.models import Account, Session
from trading.preflight import checks
from trading.reports import daily
from trading.run.journal.recovery import ReplayDiffers
from trading.run.journal.segment import JournalBroken
from trading.run.spec import FeedSpec, ScorerSpec

VERBS = ("pause", "resume", "cancel_all", "flatten", "stop")


class Command(BaseCommand):
    help = "Sessions: list, show, days, new (make and start one), and pause, resume, cancel_all, flatten, stop, reset."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list", help="all sessions").add_argument("--json", action="store_true")
        new = verbs.add_parser("new", help="make a session and start it")
        new.add_argument("--config", default="demo-mes", help="profile: a version, or one of those shipped")
        new.add_argument("--feed", choices=("simulated", "replay"), default="simulated")
        new.add_argument("--symbols", default="", help="comma-separated; default: the profile's first")
        new.add_argument("--path", default="", help="file to replay")
        new.add_argument("--schema", default="", help="its schema, where it cannot be found out")
        new.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="option of the feed")
        new.add_argument("--seed", type=int, default=1)
        new.add_argument("--speed", type=float, default=1.0, help="1 … 1000; 0 = as fast as it goes")
        new.add_argument("--scorer", default="baseline", help="baseline, network or none")
        new.add_argument("--artifact", default="", help="folder of the network")
        new.add_argument("--account", default="", help="account's name; default: the profile's paper account")
        new.add_argument("--by", default="operator")
        new.add_argument("--no-start", action="store_true", help="only make it")
        new.add_argument("--json", action="store_true")
        for name in ("show", "days", "start", "reset", *VERBS):
            text = "summary of each trading day, from the journal" if name == "days" else f"{name} one session"
            verb = verbs.add_parser(name, help=text)
            verb.add_argument("session", type=int)
            verb.add_argument("--by", default="operator")
            verb.add_argument("--reason", default="")
            verb.add_argument("--json", action="store_true")
        reset = verbs.choices["reset"]
        reset.add_argument(
            "--hold", action="append", default=[], metavar="CODE", help="halt to lift, as the page names it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            values = self._values(options)
        except (services.StartRefused, services.CommandRefused) as error:
            raise CommandError(f"{error.code}: {error}") from None
        except (configs.ConfigError, FeedError) as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(values, default=str))
            return
        for row in values if isinstance(values, list) else [values]:
            self.stdout.write(
                "  ".join(f"{name}={value}" for name, value in row.items() if value not in ("", None, {}, []))
            )

    def _values(self, options: dict[str, Any]) -> Any:
        verb = options["verb"]
        if verb == "list":
            return selectors.session_list().rows
        if verb == "new":
            return self._new(options)
        if verb == "show":
            return selectors.session_row(options["session"])
        if verb == "days":
            return self._days(options["session"])
        if verb == "start":
            return self._start(options)
        if verb == "stop":
            return selectors.session_row(services.stop_session(options["session"], options["by"], options["reason"]).id)
        target = options["session"], options["by"], options["reason"]
        if verb == "reset":
            command = services.reset_halt(target[0], options["hold"], *target[1:])
        else:
            command = services.send_command(target[0], verb, *target[1:])
        return {"command": str(command.key), "kind": command.kind, "state": command.state, "detail": command.detail}

    def _new(self, options: dict[str, Any]) -> Any:
        version = configs.version_for(options["config"], by=options["by"])
        profile = configs.profile_of(version)
        words = [word.partition("=") for word in options["option"]]
        feed = FeedSpec(
            name=options["feed"],
            symbols=options["symbols"].upper().split(",") if options["symbols"] else profile.market.instruments[:1],
            seed=options["seed"],
            speed=options["speed"],
            path=options["path"],
            schema=options["schema"],
            options={name: value for name, _, value in words},
        )
        account = services.demo_account(profile)
        if options["account"]:
            found = Account.objects.filter(name=options["account"]).first()
            if found is None:
                raise CommandError(f"no account is named {options['account']!r}")
            account = found
        scorer = ScorerSpec(name=options["scorer"], artifact=options["artifact"])
        by = options["by"]
        if options["no_start"]:
            made = services.create_session(account=account, version=version, feed=feed, scorer=scorer, by=by)
        else:
            plan = checks.Plan(f"{version.profile}@{version.number}", feed, scorer, account=account)
            made = checks.start(plan, _evidence(), by)
        return selectors.session_row(made.id)

    def _days(self, session_id: int) -> list[dict[str, Any]]:
        try:
            return daily.days_of(session_id)
        except (FileNotFoundError, JournalBroken, ReplayDiffers) as error:
            raise CommandError(f"session {session_id}: {error}") from None

    def _start(self, options: dict[str, Any]) -> Any:
        session = Session.objects.select_related("version", "account").filter(id=options["session"]).first()
        if session is None:
            raise CommandError(f"no session has the number {options['session']}")
        return selectors.session_row(checks.start_made(session, _evidence(), options["by"]).id)


def _evidence() -> checks.Evidence:
    """What only the floor above knows, by the function that the settings name."""
    found: checks.Evidence = import_string(settings.PREFLIGHT_EVIDENCE)()
    return found
