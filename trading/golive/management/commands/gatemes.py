"""`manage.py gatemes`: may this configuration with this network trade futures for real?  Answered and stored."""

import getpass
import json
import sys
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading.management.history import refusals


class Command(BaseCommand):
    """See `help`."""

    help = (
        "The futures' go-live gate (MES-GATE) over what a walk-forward, the measurements of this build and the paper"
        " sessions have left; the answer is stored as a report. With --measure the build is measured first: its tests,"
        " features and the network's answers, which takes minutes. Exit status 0 only when the gate is passed, 1 when"
        " it is not, or for a refusal. docs/research.md says what each row asks for."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--config", required=True, help="profile, version (mes-topstep@3) or YAML file")
        parser.add_argument("--study", required=True, type=Path, metavar="FOLDER", help="folder of a walk-forward")
        parser.add_argument(
            "--network", type=Path, metavar="FOLDER", help="artifact that would score (manage.py train)"
        )
        parser.add_argument("--measure", action="store_true", help="measure the build before it is asked")
        words = "of --measure: this row of the gate alone; may repeat"
        parser.add_argument("--row", action="append", default=[], metavar="NAME", help=words)
        parser.add_argument(
            "--coverage", type=Path, metavar="FILE", help="report of coverage.py as JSON, of this build"
        )
        parser.add_argument("--json", action="store_true", help="print the report as JSON and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        from trading.learning.artifacts import ArtifactError

        refused: tuple[type[Exception], ...] = (*refusals(), ArtifactError)
        try:
            passed = self._ask(options)
        except refused as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror or error}") from None
        except KeyboardInterrupt:
            self.stderr.write("Stopped; what was measured is kept, and no report was made.")
            sys.exit(130)
        if not passed:
            sys.exit(1)

    def _ask(self, options: dict[str, Any]) -> bool:
        from trading.configs import resolve
        from trading.golive.mes import build
        from trading.golive.mes.report import Asked, answer, candidate_of, store_answer
        from trading.learning.artifacts import load

        artifact = None if options["network"] is None else load(options["network"])
        asked = Asked(resolve(options["config"]), options["study"], artifact)
        candidate = candidate_of(asked)
        if options["measure"]:
            say = self.stderr.write if options["json"] else self.stdout.write
            build.check_rows(options["row"])
            for name, found in build.measured(candidate, options["network"], frozenset(options["row"]), say):
                build.keep(candidate, {name: found})
        if options["coverage"] is not None:
            build.keep(candidate, {"code_coverage": build.covered(candidate, options["coverage"])})
        now_ns = time.time_ns()
        given = answer(asked, now_ns)
        row = store_answer(asked, given, f"shell:{getpass.getuser()}", now_ns)
        if options["json"]:
            values = {"report": row.pk, "passed": row.passed, "rows": row.rows, "inputs": row.inputs}
            self.stdout.write(json.dumps(values | row.figures, ensure_ascii=False))
            return row.passed
        for verdict in given.decision.rows:
            self.stdout.write(f"  {verdict.state:<9} {verdict.name}: {verdict.sentence}")
        missing = len(given.decision.missing)
        told = "PASSED" if row.passed else f"NOT PASSED, {missing} rows block"
        named = f"report {row.pk}, configuration {candidate.config_hash[:12]}, network {candidate.network_hash[:12]}"
        self.stdout.write(f"Go-live gate: {told} ({named}).")
        return row.passed
