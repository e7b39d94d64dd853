"""`manage.py run`: the whole desk on this machine, in the foreground, until Ctrl-C.

`make run` calls it after the set-up.  It prepares, starts the supervisor, prints where to go, and waits.
"""

import os
import subprocess
import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.utils import timezone

from desk.accounts.services import make_link
from desk.ops.embedded import NoRedis
from desk.ops.launch import (
    LaunchError,
    check_services,
    collect_static,
    layout,
    make_folders,
    migrate,
    take_lock,
    web_url,
)
from desk.ops.programs import Layout, child_environment, programs
from desk.ops.supervise import Supervisor
from desk.ops.warming import is_warm

BANNER = """
  The desk answers at   {url}/
  Sign in, once         {link}
                        (from this machine only, for {minutes} minutes; another: manage.py signin_link)
  Logs                  {logs}
  Stop                  Ctrl-C
"""


class Command(BaseCommand):
    help = (
        "Run the whole desk on this machine: embedded Redis, paper venue, guard, web and workers under one supervisor. "
        "Ctrl-C stops everything. Ports: DESK_PORT (8000), DESK_GUARD_PORT, DESK_REDIS_PORT; data folder: DESK_VAR."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--wait", type=float, default=90.0, help="seconds to wait for the web's first answer (90)")

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def handle(self, *args: Any, **options: Any) -> None:
        place = layout()
        try:
            make_folders(place)
            lock = take_lock(place)
            check_services(place)
            self.prepare(place)
            status = self.supervise(place, lock, options["wait"])
        except (LaunchError, NoRedis) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("stopped before the desk was up", returncode=130) from None
        if status != 0:
            sys.exit(status)

    def prepare(self, place: Layout) -> None:
        began = time.monotonic()
        migrate()
        collect_static(place)
        if not is_warm():
            self.say("compiling the kernels (once for this version; about a minute)")
            # the wrapper ends the compilation when this process is killed
            warm = [sys.executable, "-m", "desk.ops.child", "--", sys.executable, str(place.base / "manage.py"), "warm"]
            if subprocess.run(warm, cwd=place.base, env=child_environment(place), check=False).returncode != 0:
                raise LaunchError("the kernels could not be compiled: run `manage.py warm` to see why")
        self.say(f"prepared in {time.monotonic() - began:.1f} s")

    def supervise(self, place: Layout, lock: int, wait_s: float) -> int:
        began = time.monotonic()
        supervisor = Supervisor(place, programs(place), lock, self.say)
        os.close(lock)  # the supervisor holds it from here: it outlives this process
        try:
            if not supervisor.wait_until_answering(wait_s):
                return 0
            link = make_link(now=timezone.now())
            connection.close()
            self.say(f"started in {time.monotonic() - began:.1f} s")
            self.say(
                BANNER.format(
                    url=web_url(place), link=web_url(place) + link.path, minutes=link.minutes, logs=place.logs
                )
            )
            return supervisor.wait()
        finally:
            self.say("stopping")
            supervisor.stop()
            self.say("stopped; no process is left")
