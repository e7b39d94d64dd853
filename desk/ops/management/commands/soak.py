"""`manage.py soak`: faults on a private desk under load, and the proof that nothing was lost or doubled."""

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from desk.ops.bench.private import NotStarted, PrivateDesk
from trading.run.context import LOOPS

RUN_S = 3600.0


class Command(BaseCommand):
    help = "Kill loops and venue, lose Redis, lock the database on a private desk; prints what the desk did about it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--kills", type=int, default=20, help="SIGKILLs of each loop's worker")
        parser.add_argument("--venue-kills", type=int, default=5, help="SIGKILLs of the paper venue")
        parser.add_argument("--redis-s", type=float, default=10.0, help="how long Redis is away")
        parser.add_argument("--database-s", type=float, default=30.0, help="how long the database is locked")
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--inside", action="store_true", help="(internal) drill the desk of this environment")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["inside"]:
            self.stdout.write(json.dumps(self._drill(options)))
            return
        words = ["soak", "--inside", "--kills", str(options["kills"]), "--venue-kills", str(options["venue_kills"])]
        words += ["--redis-s", str(options["redis_s"]), "--database-s", str(options["database_s"])]
        try:
            with PrivateDesk() as desk:
                done = desk.manage(*words, timeout_s=RUN_S)
        except NotStarted as error:
            raise CommandError(f"the private desk did not start: {error}") from None
        if done.returncode != 0:
            raise CommandError(f"the drills were cut short:\n{done.stderr[-3000:]}")
        rows = json.loads(done.stdout.splitlines()[-1])
        if options["json"]:
            self.stdout.write(json.dumps(rows))
        else:
            for row in rows:
                self.stdout.write(
                    f"{'ok  ' if row['ok'] else 'FAIL'} {row['name']:<44} {row['seconds']:6.2f} s  {row['detail']}"
                )
        if not all(row["ok"] for row in rows):
            raise CommandError("a drill failed; see the rows above")

    def _drill(self, options: dict[str, Any]) -> list[dict[str, Any]]:
        from desk.ops.bench import faults, ring  # they need the private desk's settings

        session = ring.start(seed=5, changed=ring.CHANGED)
        ring.wait_for_position(session)
        rows = [faults.kill_loop(session, loop) for _ in range(options["kills"]) for loop in LOOPS]
        for _ in range(options["venue_kills"]):
            rows.append(faults.kill_venue(session))
        if options["redis_s"] > 0:
            rows.append(faults.lose_redis(session, options["redis_s"]))
        if options["database_s"] > 0:
            rows.append(faults.lock_database(session, options["database_s"]))
        time.sleep(5)
        ring.stop(session)
        return [row._asdict() for row in [*rows, *faults.prove(session)]]
