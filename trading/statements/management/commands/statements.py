"""`manage.py statements …`: end-of-day statements from a shell: list, take, import a venue's file, settle (T-03)."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading.brokers.statement import StatementRefused
from trading.control import CommandRefused
from trading.models import Session
from trading.statements import services
from trading.statements.models import Statement


class Command(BaseCommand):
    help = "End-of-day statements against the ledger: list, take, import FILE (form desk-statement-1), settle."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        texts = {
            "list": "every statement of a session, with what differs",
            "take": "ask the simulated venue for the days of a session that have no statement",
            "import": "compare a venue's own statement with the ledger; it replaces that of its day",
        }
        for name, text in texts.items():
            verbs.add_parser(name, help=text).add_argument("session", type=int)
        verbs.choices["import"].add_argument("file", type=Path)
        settle = verbs.add_parser("settle", help="say why the account may trade on although a statement differs")
        settle.add_argument("statement", type=int)
        settle.add_argument("--reason", required=True)
        for name in ("take", "import", "settle"):
            verbs.choices[name].add_argument("--by", default="operator")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            session_id = self._session(options)
        except (StatementRefused, CommandRefused, services.NotYet) as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{options['file']}: {error}") from None
        for row in services.listed(session_id):
            if row["current"]:
                self.stdout.write(_line(row))
                for one in row["differences"]:
                    self.stdout.write("    {kind} {about}: venue {venue!r}, desk {desk!r}".format(**one))

    def _session(self, options: dict[str, Any]) -> int:
        """Do what was asked; the number of the session that it was about."""
        verb = options["verb"]
        if verb == "settle":
            try:
                return services.settle(options["statement"], options["by"], options["reason"]).statement.session_id
            except Statement.DoesNotExist:
                raise CommandError(f"no statement has the number {options['statement']}") from None
        session_id: int = options["session"]
        if not Session.objects.filter(id=session_id).exists():
            raise CommandError(f"no session has the number {session_id}")
        if verb == "take":
            services.take(session_id, options["by"])
        elif verb == "import":
            services.import_file(session_id, options["file"], options["by"])
        return session_id


def _line(row: dict[str, Any]) -> str:
    told = row["fault"] or f"{row['orders']} orders, {row['fills']} fills"
    settled = f"; settled by {row['settled'].by}: {row['settled'].reason}" if row["settled"] else ""
    return f"{row['id']}  {row['day']}  {row['state']}  {row['source']}  {told}{settled}"
