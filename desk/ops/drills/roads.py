"""How a person kills: the page's button, the page without JavaScript, the shell; each as that person's program does it.

The button is the page's own two requests: the desk's POST and, after a second without an answer or at once when it
fails, a plain form to the guard with the page's token.  Without JavaScript the form is posted; when the web is gone,
the link on that page leads to the guard's own.  Everything that a page needs is fetched before the fault.
"""

import html
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx

from desk.jitcache import BASE

SECOND_ROAD_S = 1.0  # as in static/desk/kill.js
ANSWER_S = 30.0
_FIELD = re.compile(r'<input type="hidden" name="(?P<name>[a-z]+)" value="(?P<value>[^"]*)"')
_TOKEN = re.compile(r'data-token="([^"]+)"')
_PANIC = re.compile(r'href="(http://127\.0\.0\.1:\d+/panic/\?token=[^"]+)"')


class Said(NamedTuple):
    """What the person was told.  `road`: ring, guard or both, as the report says; `by`: who answered."""

    flat: bool
    road: str
    by: str
    ms: float


class CannotPrepare(RuntimeError):
    """A page lacks what the gesture needs."""


def _since(pressed: float) -> float:
    return round((time.monotonic() - pressed) * 1000, 1)


def _first(pattern: re.Pattern[str], text: str, what: str) -> str:
    found = pattern.search(text)
    if found is None:
        raise CannotPrepare(f"the page has no {what}")
    return html.unescape(found[1])


class Button:
    """HOLD TO KILL on any page."""

    name = "button"

    def prepare(self, client: httpx.Client) -> None:
        """The page is open: it holds the CSRF token and the guard's."""
        page = client.get("/sessions/")
        page.raise_for_status()
        self.client = client
        self.token = _first(_TOKEN, page.text, "guard token")
        self.port = int(_first(re.compile(r'data-guard-port="(\d+)"'), page.text, "guard port"))

    def press(self, reason: str) -> Said:
        """Both roads as the page takes them."""
        pressed = time.monotonic()
        answer: dict[str, Any] = {}
        answered = threading.Event()
        first = threading.Thread(target=self._desk, args=(reason, answer, answered), daemon=True)
        first.start()
        second: dict[str, Any] | None = None
        if not answered.wait(SECOND_ROAD_S) or not answer:
            second = self._guard(reason)
        first.join(ANSWER_S)
        if answer:
            road = str(answer["road"]) if second is None else "both"
            return Said(bool(answer["flat"]), road, "web", _since(pressed))
        if second is None:
            return Said(False, "none", "nobody", _since(pressed))
        return Said(bool(second["flat"]), "guard", "guard's address", _since(pressed))

    def _desk(self, reason: str, answer: dict[str, Any], answered: threading.Event) -> None:
        form = {"action": "kill", "reason": reason, "csrfmiddlewaretoken": self.client.cookies["csrftoken"]}
        headers = {"Accept": "application/json", "X-CSRFToken": form["csrfmiddlewaretoken"]}
        try:
            reply = self.client.post("/kill/", data=form, headers=headers, timeout=ANSWER_S)
            if reply.status_code == 200:
                answer.update(reply.json())
        except httpx.HTTPError as error:
            answer.clear()
            self.fault = str(error)
        finally:
            answered.set()

    def _guard(self, reason: str) -> dict[str, Any]:
        form = {"token": self.token, "reason": reason}
        reply = httpx.post(f"http://127.0.0.1:{self.port}/kill", data=form, timeout=ANSWER_S)
        reply.raise_for_status()
        return dict(reply.json())


class Form:
    """The kill page without JavaScript; behind it the guard's own page."""

    name = "form"

    def prepare(self, client: httpx.Client) -> None:
        """The kill page is open."""
        page = client.get("/kill/")
        page.raise_for_status()
        self.client = client
        self.fields = {found["name"]: html.unescape(found["value"]) for found in _FIELD.finditer(page.text)}
        self.panic = _first(_PANIC, page.text, "link to the guard's page")

    def press(self, reason: str) -> Said:
        """Post the form; where nobody listens, follow the link to the guard's page and press there."""
        pressed = time.monotonic()
        fields = {**self.fields, "action": "kill", "reason": reason}
        try:
            reply = self.client.post("/kill/", data=fields, headers={"Accept": "text/html"}, timeout=ANSWER_S)
        except httpx.ConnectError:
            return self._at_the_guard(reason, pressed)
        found = re.search(r"FLAT, proved in [\d,]+ ms</b>, road: (\w+)", reply.text)
        return Said(found is not None, found[1] if found else f"status {reply.status_code}", "web", _since(pressed))

    def _at_the_guard(self, reason: str, pressed: float) -> Said:
        with httpx.Client(timeout=ANSWER_S, follow_redirects=True, headers={"Accept": "text/html"}) as guard:
            page = guard.get(self.panic)
            page.raise_for_status()
            token = _first(re.compile(r'name="token" value="([^"]+)"'), page.text, "token")
            address = str(page.url.copy_with(path="/kill", query=None))
            after = guard.post(address, data={"token": token, "reason": reason})
        flat = after.status_code == 200 and "KILLED" in after.text and "Everything is flat." in after.text
        return Said(flat, "guard", "guard's page", _since(pressed))


class Shell:
    """`manage.py kill`."""

    name = "shell"

    def prepare(self, client: httpx.Client) -> None:
        """A shell needs nothing."""

    def press(self, reason: str) -> Said:
        """The command, its start included."""
        pressed = time.monotonic()
        words = [sys.executable, str(BASE / "manage.py"), "kill", "--reason", reason, "--json"]
        done = subprocess.run(words, cwd=BASE, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            return Said(False, "guard", f"shell: {done.stderr[-200:]}", _since(pressed))
        return Said(bool(json.loads(done.stdout)["flat"]), "guard", "shell", _since(pressed))


ROADS: dict[str, Callable[[], "Button | Form | Shell"]] = {"button": Button, "form": Form, "shell": Shell}
