"""`manage.py studyhand`: the process in which a worker of the queue runs trials of a shared study.

Started by `trading.studies.hand.lend`; it ends when its standard input closes.
"""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from trading.studies import hand


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Run trials of a study that was begun with optimise --distributed. A worker of studies starts this; by hand it"
        " helps as one more worker, until its standard input closes."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", type=int, help="number of the study in the database")
        parser.add_argument("--owner", required=True, help="who holds the place, any name of one's own")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit status 0 with a line that says how it ended, 3 where this study cannot be seen from here."""
        hand.end_with_parent()
        hand.stop_in_order()
        ended = hand.work(options["study"], options["owner"])
        self.stdout.write(f"study {options['study']}: {ended.words}")
        if ended.refused:
            sys.exit(hand.REFUSED)
