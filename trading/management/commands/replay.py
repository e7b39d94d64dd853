"""`manage.py replay SESSION --verify`: runs a journal through the kernel again, compares every output bit for bit."""

import json
from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading.control import session_folder
from trading.run.journal.verify import verify_journal


class Command(BaseCommand):
    help = (
        "Replay a session's journal through the kernel.  SESSION is its number, its key (s12) or a journal's folder."
        "  With --verify every output must equal the recorded one and the hash chain must hold; exits 1 otherwise."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("session", help="number, key or folder")
        parser.add_argument("--verify", action="store_true", help="compare, and fail on the first difference")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        word = options["session"]
        number = word.removeprefix("s")
        folder = session_folder(int(number)) if number.isdigit() else Path(word)
        if not folder.is_dir():
            raise CommandError(f"{word}: no session has a journal in {folder}")
        report = verify_journal(folder)
        if options["json"]:
            self.stdout.write(json.dumps(msgspec.to_builtins(report) | {"ok": report.ok}))
        else:
            self.stdout.write(
                f"{report.frames} frames in {report.segments} segments:"
                f" {report.inputs} inputs, {report.outputs} outputs\n"
                f"recorded {report.sha256}\n"
                f"computed {report.state_sha256} (state after the last frame)"
            )
        if options["verify"] and not report.ok:
            raise CommandError(report.chain_fault or report.difference)
        if options["verify"] and not options["json"]:
            self.stdout.write("every output equals")
