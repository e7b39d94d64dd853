"""`manage.py loops`: which loops should run, who holds them, and how old their heartbeats are."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from trading import selectors


class Command(BaseCommand):
    help = "Loops of all sessions that are wanted or held: holder, fence, state, age of the heartbeat."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--session", type=int, default=None)
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = selectors.loop_rows(options["session"])
        if options["json"]:
            self.stdout.write(json.dumps(rows))
            return
        for row in rows:
            age = "no beat" if row["age_s"] is None else f"{row['age_s']:.1f} s"
            owner = row["owner"] or "nobody"
            self.stdout.write(f"{row['name']:<16} {row['state'] or '-':<12} fence {row['fence']:<4} {owner:<30} {age}")
        if not rows:
            self.stdout.write("no loop is wanted")
