"""`manage.py sessions …`: make, start, stop, list sessions and send them commands, from a shell.

A start passes the same pre-flight as on the page, or is refused with the same sentence; `new --no-start` only makes.
"""

import argparse
import json
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from marketdata.core.units import NANOS, micros_from_text
from marketdata.feeds.port import FeedError
from trading import configs, selectors, services
from trading.accounts import remedies
from trading.core import states
from trading.live import universe
from trading.models import Account, Session
from trading.models import Command as GivenCommand
from trading.preflight import checks
from trading.reports import daily
from trading.reports.conduct import conduct_rows
from trading.run.journal.closing import ClosingUnknown, remember_closing
from trading.run.journal.recovery import ReplayDiffers
from trading.run.journal.segment import JournalBroken
from trading.run.spec import FeedSpec, ScorerSpec, SpecError

VERBS = ("pause", "resume", "cancel_all", "flatten", "stop")
OF_ONE = ("show", "days", "conduct", "closing", "start", "reset", "lock", "state", "transfer", "abandon")
UNIVERSE = ("replace", "resync")  # of shares with books
TEXTS = {
    "days": "summary of each trading day, from the journal",
    "conduct": "orders against trades of each trading day, and patterns that a venue would ask about",
    "closing": "read again how a session left its account, however long its journal; a start then finds it",
    "state": "state figures that the desk could not read, and lift STATE_UNREADABLE; the session stays paused",
    "transfer": "book money into the account or out of it (negative); no part of the day's net",
    "lock": "lock yourself out until a time of the session's clock: closes what is held; nothing shortens it",
    "replace": "have another share of the watched ones take the place of an active one, by the brakes of the rotation",
    "resync": "clear what the live data hold of all shares, and hold entries until the books are there again",
    "abandon": "give up a session that can never end: under the kill latch, once the venue shows nothing of it",
}
FIGURES = {
    "balance": "risk balance now",
    "peak": "highest risk balance since the account was opened, or since its last re-basing",
    "reference": "balance that the total loss is counted from",
    "day-net": "booked net of this trading day",
}


class Command(BaseCommand):
    help = (
        "Sessions: list, show, days, conduct, closing, new (make and start one), and pause, resume, cancel_all,"
        " flatten, stop, reset, lock, state, transfer, abandon; of shares also replace, resync."
    )
    requires_system_checks = ()

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
        new.add_argument("--scorer", default="baseline", help="baseline, heuristic, network or none")
        new.add_argument("--record", action="store_true", help="keep the feed as it is received, with its books")
        new.add_argument("--artifact", default="", help="folder of the network")
        new.add_argument("--account", default="", help="account's name; default: the profile's paper account")
        new.add_argument("--by", default="operator")
        new.add_argument("--no-start", action="store_true", help="only make it")
        new.add_argument("--json", action="store_true")
        for name in (*OF_ONE, *UNIVERSE, *VERBS):
            text = TEXTS.get(name, f"{name} one session")
            verb = verbs.add_parser(name, help=text)
            verb.add_argument("session", type=int)
            verb.add_argument("--by", default="operator")
            verb.add_argument("--reason", default="")
            verb.add_argument("--json", action="store_true")
        reset = verbs.choices["reset"]
        reset.add_argument(
            "--hold", action="append", default=[], metavar="CODE", help="hold to lift, as the page names it"
        )
        for name, text in FIGURES.items():
            verbs.choices["state"].add_argument(
                f"--{name}", type=_micros, required=True, metavar="MONEY", help=f"{text}, in the account's currency"
            )
        offset = "with its offset: 2026-03-04T18:00:00+03:00"
        verbs.choices["lock"].add_argument("--until", type=_moment_ns, required=True, metavar="TIME", help=offset)
        verbs.choices["pause"].add_argument(
            "--until", type=_moment_ns, metavar="TIME", help=f"of shares: when it ends, {offset}"
        )
        for name, text in (("current", "share that leaves"), ("replacement", "share that comes")):
            verbs.choices["replace"].add_argument(f"--{name}", required=True, metavar="SYMBOL", help=text)
        verbs.choices["transfer"].add_argument("--amount", type=_micros, required=True, metavar="MONEY", help="signed")

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
        if verb == "conduct":
            return self._conduct(options["session"])
        if verb == "closing":
            return self._closing(options["session"])
        if verb == "start":
            return self._start(options)
        if verb == "stop":
            return selectors.session_row(services.stop_session(options["session"], options["by"], options["reason"]).id)
        target = options["session"], options["by"], options["reason"]
        if verb in UNIVERSE:
            return _ask_universe(options)
        if verb == "abandon":
            return selectors.session_row(remedies.abandon(*target).id)
        if verb == "transfer":
            command, _ = remedies.transfer(target[0], options["amount"], *target[1:])
            if command.state == states.UNKNOWN:
                raise services.CommandRefused("OUTCOME_UNKNOWN", command.detail)
        elif verb == "reset":
            lifted = remedies.lift(target[0], options["hold"], *target[1:], day_loss=True)  # this shell is the admin's
            if len(lifted) > 1:
                return [_said(command) for command in lifted]
            command = lifted[0]
        elif verb == "lock":
            command = remedies.lock_out(target[0], options["until"], *target[1:])
        elif verb == "pause" and options["until"] is not None:
            command = remedies.pause_until(target[0], options["until"], *target[1:])
        elif verb == "state":
            names = [name.replace("-", "_") for name in FIGURES]
            stated = {f"{name}_micros": options[name] for name in names}
            command = remedies.state_figures(target[0], stated, *target[1:])
        else:
            command = services.send_command(target[0], verb, *target[1:])
        return _said(command)

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
            record=options["record"],
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

    def _conduct(self, session_id: int) -> list[dict[str, Any]]:
        try:
            return conduct_rows(session_id)
        except (SpecError, JournalBroken) as error:
            raise CommandError(f"session {session_id}: {error}") from None

    def _closing(self, session_id: int) -> dict[str, Any]:
        def tell(replayed: int) -> None:
            self.stderr.write(f"{replayed} frames", ending="\r")

        try:
            closing = remember_closing(services.session_folder(session_id), session_id, settings.CODE_HASH, tell)
        except ClosingUnknown as error:
            raise CommandError(f"session {session_id}: {error}") from None
        return {"session": session_id, "seq": closing.seq} | closing.figures

    def _start(self, options: dict[str, Any]) -> Any:
        session = Session.objects.select_related("version", "account").filter(id=options["session"]).first()
        if session is None:
            raise CommandError(f"no session has the number {options['session']}")
        return selectors.session_row(checks.start_made(session, _evidence(), options["by"]).id)


def _ask_universe(options: dict[str, Any]) -> dict[str, Any]:
    """Raises CommandRefused with the engine's sentence."""
    session, by, reason = options["session"], options["by"], options["reason"]
    if options["verb"] == "resync":
        universe.resync(session, by, reason)
        return {"session": session, "done": "resync"}
    universe.replace(session, options["current"], options["replacement"], by, reason)
    return {"session": session, "done": "replace", "leaves": options["current"], "comes": options["replacement"]}


def _said(command: GivenCommand) -> dict[str, Any]:
    return {"command": str(command.key), "kind": command.kind, "state": command.state, "detail": command.detail}


def _micros(text: str) -> int:
    """Money as a person writes it → micros."""
    try:
        return micros_from_text(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _moment_ns(text: str) -> int:
    """A time as a person writes it, with its offset → ns UTC."""
    moment: datetime | None = None
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time with its offset, like 2026-03-04T18:00:00+03:00")
    return int(moment.timestamp()) * NANOS


def _evidence() -> checks.Evidence:
    """What only the floor above knows, by the function that the settings name."""
    found: checks.Evidence = import_string(settings.PREFLIGHT_EVIDENCE)()
    return found
