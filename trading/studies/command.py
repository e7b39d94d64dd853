"""What `optimise` and `walkforward` are alike in: how a study is ended, by itself, by a refusal or by Ctrl-C.

A study that was stopped is kept, and the same words go on with it: whoever stops it is told where.
"""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from trading.management.history import refusals


class StudyCommand(BaseCommand):
    """A command that works on a study.  `folder`: where the study is, empty before it is open; `as_json`: what
    is said goes to standard error."""

    folder = ""
    as_json = False

    def say(self, words: str) -> None:
        """Tell it now, beside the result: whoever follows a file of the output waits for no buffer."""
        out = self.stderr if self.as_json else self.stdout
        out.write(words)
        out.flush()

    def work(self, options: dict[str, Any]) -> dict[str, Any]:
        """Do it and tell of it in words, unless JSON is wanted.  Returns the result as JSON values."""
        raise NotImplementedError

    def conclude(self, values: dict[str, Any]) -> None:
        """What is left to say when no JSON was wanted.  Raises CommandError for a study without a result."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit status 0 when the study is done, 1 for a refusal, 130 for Ctrl-C."""
        self.folder, self.as_json = "", options["json"]
        try:
            values = self.work(options)
        except KeyboardInterrupt:
            kept = f"what was tried is kept in {self.folder}; the same command goes on." if self.folder else ""
            self.stderr.write(f"Stopped; {kept or 'nothing was tried.'}")
            sys.exit(130)
        except refusals() as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{error.filename or options['out']}: {error.strerror or error}") from None
        if options["json"]:
            self.stdout.write(json.dumps(values, ensure_ascii=False))
        else:
            self.conclude(values)
