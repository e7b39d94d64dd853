"""`manage.py replay SESSION`: a journal through the kernel again, bit for bit; with --parity beside its backtest."""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading.control import session_folder
from trading.management.progress import Bar
from trading.run.journal.segment import JournalBroken
from trading.run.journal.verify import verify_journal
from trading.run.spec import SpecError


class Command(BaseCommand):
    help = (
        "Replay a session's journal through the kernel.  SESSION is its number, its key (s12) or a journal's folder."
        "  With --verify every output must equal the recorded one and the hash chain must hold; exits 1 otherwise."
        "  With --parity the session is made a backtest: the same market with its books, commands and times through"
        " kernel, simulated venue and scorer; orders, fills and P&L of both, the first difference explained; exits 1"
        " when there is one."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("session", help="number, key or folder")
        parser.add_argument("--verify", action="store_true", help="compare, and fail on the first difference")
        parser.add_argument("--parity", action="store_true", help="as a backtest, side by side with the session")
        parser.add_argument("--out", type=Path, help="of --parity: folder for parity.json, orders.csv and fills.csv")
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--progress-lines", action="store_true", help="tell a program how far it is, on stderr")

    def handle(self, *args: Any, **options: Any) -> None:
        word = options["session"]
        number = word.removeprefix("s")
        folder = session_folder(int(number)) if number.isdigit() else Path(word)
        if not folder.is_dir():
            raise CommandError(f"{word}: no session has a journal in {folder}")
        if options["parity"]:
            self._parity(folder, options)
            return
        if options["out"] is not None:
            raise CommandError("--out is for --parity")
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

    def _parity(self, folder: Path, options: dict[str, Any]) -> None:
        """Exit status 0 where nothing that was compared differs, 1 where something does, 130 for Ctrl-C."""
        from trading.reports.parity.proof import prove
        from trading.reports.parity.tell import DIFFERS, spoken, write

        try:
            with Bar(quiet=options["json"], lines=options["progress_lines"]) as bar:
                found = prove(folder, lambda done, total: bar.show(done, total, f"{done:,} of {total:,} events"))
        except KeyboardInterrupt:
            self.stderr.write("Cancelled; nothing was written.")
            sys.exit(130)
        except (SpecError, JournalBroken) as error:
            raise CommandError(str(error)) from None
        if options["out"] is not None:
            write(options["out"], found.spec, found.values, found.orders, found.fills)
        if options["json"]:
            self.stdout.write(json.dumps(found.values, ensure_ascii=False))
        else:
            for line in spoken(found.values):
                self.stdout.write(line)
        if found.values["verdict"] == DIFFERS:
            raise CommandError("session and backtest differ")
