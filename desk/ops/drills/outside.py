"""Runs a drill's parts on a private desk, keeps every row, and ends when somebody cancels.

The parts are commands of the private desk (`manage.py drill … --inside PART`) that print one JSON object a line; this
process keeps them in its own desk's database, because the private one is thrown away.
"""

import json
from collections.abc import Callable
from typing import Any

from desk.ops.bench.private import PrivateDesk
from desk.ops.drills.record import Recorder, Row

Say = Callable[[Row], None]


class Cancelled(RuntimeError):
    """A person asked the run to end."""


class Private:
    """One drill on one private desk."""

    def __init__(self, desk: PrivateDesk, recorder: Recorder, say: Say) -> None:
        self.desk, self.recorder, self.say = desk, recorder, say

    def part(self, step: str, *words: str) -> list[Row]:
        """Run one part to its end; its rows.  Raises CommandFailed, Cancelled."""
        self.step(step)
        rows: list[Row] = []
        for line in self.desk.lines(*words):
            if line:
                message: dict[str, Any] = json.loads(line)
                if "head" in message:
                    self.recorder.head(message["head"])
                if "row" in message:
                    rows.append(message["row"])
                    self.recorder.add(message["row"])
                    self.say(message["row"])
                if "step" in message:
                    self.recorder.step(f"{step}: {message['step']}")
            if who := self.recorder.cancelled_by():
                raise Cancelled(who)
        return rows

    def step(self, words: str) -> None:
        """What is done now, and a look whether it still should be."""
        self.recorder.step(words)
        if who := self.recorder.cancelled_by():
            raise Cancelled(who)

    def restart(self, how: str) -> None:
        """Stop and start the whole desk: `how` is "SIGKILL" or "stop"."""
        self.step(f"the whole desk: {how}, start")
        if how == "SIGKILL":
            self.desk.crash()
        else:
            self.desk.stop()
        self.desk.start()


def tell(**message: Any) -> None:
    """One line from inside."""
    print(json.dumps(message), flush=True)


def as_text(found: Row) -> str:
    """One row for a terminal."""
    mark = {True: "ok  ", False: "FAIL", None: "    "}[found["ok"]]
    value = "—" if found["value"] is None else f"{found['value']:.1f}"
    goal = "" if found["goal"] is None else f"≤ {found['goal']:g}"
    road = f"road {found['road']}" if found.get("road") else ""
    return f"{mark} {found['name']:<58} {value:>9} {found['unit']:<11} {goal:<8} {road:<12} {found['detail']}".rstrip()
