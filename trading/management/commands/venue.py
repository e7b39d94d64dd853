"""`manage.py venue`: the paper venue's process, started by the supervisor, one per desk."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading.brokers.paper_token import refuse
from trading.brokers.paper_venue import run_venue


class Command(BaseCommand):
    help = (
        "Serve the paper venue on DESK_VAR/venue/venue.sock until SIGTERM.  Its state survives a kill.  With "
        "--refuse-token or --accept-token it serves nothing: the running venue refuses the token of that session's "
        "orders, as a broker does when it has expired, or takes it again (rehearsal of BROKER_AUTH)."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--refuse-token", metavar="SESSION", help="key of the session, as s12")
        parser.add_argument("--accept-token", metavar="SESSION", help="key of the session, as s12")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = settings.VAR / "venue"
        for option, refused in (("refuse_token", True), ("accept_token", False)):
            if (key := options[option]) is not None:
                if not (folder / f"{key}.account").exists():
                    raise CommandError(f"the venue has no account of session {key}")
                refuse(folder, key, refused)
                self.stdout.write(f"{key}: the token is {'refused' if refused else 'taken again'}")
                return
        run_venue(folder)
