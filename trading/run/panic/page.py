"""The guard's own HTTP page on 127.0.0.1: state as JSON, and a Kill form that needs no JavaScript and no web server.

POST /kill takes a token that may only reduce: an HMAC over who and until when, made with the secret in `var/guard`; the
desk's own page hands them out.  Requests whose Host is not this machine's own name are refused (no rebinding).
"""

import hashlib
import hmac
import html
import os
import secrets
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from trading.run.clock import write_atomic
from trading.run.guard import Guard
from trading.run.latch import guard_folder

SECRET_FILE = "secret"
GENERATIONS_FILE = "generations.json"
TOKEN_S = 12 * 3600
BODY_MAX = 10_000
HOSTS = ("127.0.0.1", "localhost", "[::1]")
_SCOPE = "reduce-only"
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><title>Panic</title><style>
:root{{color-scheme:light dark}}body{{font:16px/1.5 sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}}
button{{font-size:1.5rem;padding:.6rem 2rem;background:#b00020;color:#fff;border:0;border-radius:.3rem}}
input{{font-size:1rem;width:100%;padding:.3rem;box-sizing:border-box}}pre{{white-space:pre-wrap}}</style>
<h1>{headline}</h1><p>{words}</p>
<form method="post" action="/kill"><input type="hidden" name="token" value="{token}">
<p><label>Reason<br><input name="reason" value="panic page"></label></p>{ask}
<p><button>KILL: cancel everything, close everything</button></p></form>
<pre>{detail}</pre></html>"""


def secret(var: Path) -> bytes:
    """The token secret, made once with mode 0600.  Whoever comes second reads what the first has written."""
    path = guard_folder(var) / SECRET_FILE
    if not path.exists():
        temporary = path.with_name(f".{SECRET_FILE}.{os.getpid()}")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            temporary.unlink()
            return path.read_bytes()
        temporary.unlink()
    return path.read_bytes()


def _generation(var: Path, who: str) -> str:
    """What this person's tokens are signed with besides the secret.  A file that cannot be read voids all old ones."""
    try:
        data = (guard_folder(var) / GENERATIONS_FILE).read_bytes()
    except FileNotFoundError:
        return ""
    try:
        return msgspec.json.decode(data, type=dict[str, str]).get(who, "")
    except msgspec.DecodeError:
        return hashlib.sha256(data).hexdigest()


def void_tokens(var: Path, who: str) -> None:
    """Every token of this person stops working at once; other people's go on: theirs may be the KILL in their hand."""
    path = guard_folder(var) / GENERATIONS_FILE
    known: dict[str, str] = {}
    try:
        known = msgspec.json.decode(path.read_bytes(), type=dict[str, str]) if path.exists() else {}
    except msgspec.DecodeError:
        (guard_folder(var) / SECRET_FILE).unlink(missing_ok=True)  # whose tokens were void is lost: all are now
    write_atomic(path, msgspec.json.encode(known | {who: secrets.token_hex(16)}))
    path.chmod(0o600)


def _sign(var: Path, who: str, until_s: int) -> str:
    words = f"{_SCOPE}\n{until_s}\n{_generation(var, who)}\n{who}"
    return hmac.new(secret(var), words.encode(), hashlib.sha256).hexdigest()


def make_token(var: Path, who: str, now_s: float | None = None) -> str:
    """A token for 12 hours with which `who` may kill, and nothing else."""
    until_s = int(time.time() if now_s is None else now_s) + TOKEN_S
    return f"{until_s}.{_sign(var, who, until_s)}.{who}"


def check_token(var: Path, token: str, now_s: float | None = None) -> str:
    """Who the token belongs to; empty when it is forged, malformed or too old."""
    until, _, rest = token.partition(".")
    signature, _, who = rest.partition(".")
    if not (until.isascii() and until.isdigit() and len(until) < 16) or who == "":
        return ""
    good = hmac.compare_digest(signature.encode(), _sign(var, who, int(until)).encode())
    now = time.time() if now_s is None else now_s
    return who if good and now < int(until) else ""


class Handler(BaseHTTPRequestHandler):
    """One request.  The server carries the guard."""

    server: "PanicServer"
    timeout = 5
    server_version = "guard"
    sys_version = ""

    def do_GET(self) -> None:
        """/panic/ and /status."""
        path = urlsplit(self.path)
        if not self._host_is_ours():
            return
        if path.path == "/status":
            self._send(200, msgspec.json.encode(self.server.guard.status()), "application/json")
        elif path.path in ("/", "/panic", "/panic/"):
            self._page(parse_qs(path.query).get("token", [""])[0])
        else:
            self._send(404, b"not here\n", "text/plain")

    def do_POST(self) -> None:
        """/kill with a token in the form, or in the header X-Guard-Token."""
        if not self._host_is_ours():
            return
        length = self.headers.get("Content-Length", "0")
        if urlsplit(self.path).path != "/kill" or not length.isdigit() or int(length) > BODY_MAX:
            self._send(404, b"not here\n", "text/plain")
            return
        form = parse_qs(self.rfile.read(int(length)).decode(errors="replace"))
        token = self.headers.get("X-Guard-Token") or form.get("token", [""])[0] or form.get("typed", [""])[0]
        who = check_token(self.server.guard.var, token.strip())
        if who == "":
            words = b"The token is missing, too old or not ours: open the panic page from the desk again.\n"
            self._send(403, words, "text/plain")
            return
        report = self.server.guard.kill(f"panic:{who}", form.get("reason", ["panic page"])[0][:500])
        if "text/html" in self.headers.get("Accept", ""):
            self.send_response(303)
            self.send_header("Location", f"/panic/?token={token.strip()}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            # the token was the credential, no cookie counts here: who sent it may read what came of it
            readable = {"Access-Control-Allow-Origin": self.headers["Origin"]} if "Origin" in self.headers else {}
            self._send(200, msgspec.json.encode({**report, "road": "guard"}), "application/json", readable)

    def _host_is_ours(self) -> bool:
        host = self.headers.get("Host", "").rsplit(":", 1)[0] if self.headers.get("Host", "") != "[::1]" else "[::1]"
        if host in HOSTS:
            return True
        self._send(400, b"wrong host\n", "text/plain")
        return False

    def _page(self, token: str) -> None:
        status: dict[str, Any] = self.server.guard.status()
        if status["latch"] is not None:
            headline, words = "KILLED", "The latch stands. It is released by unlock alone."
        else:
            headline, words = "Running", "No latch stands."
        words += " Everything is flat." if status["flat"] else " NOT proved flat: see below."
        known = check_token(self.server.guard.var, token) != ""
        ask = "" if known else '<p><label>Token<br><input name="typed" autocomplete="off"></label></p>'
        text = _PAGE.format(
            headline=headline,
            words=words,
            token=html.escape(token if known else "", quote=True),
            ask=ask,
            detail=html.escape(msgspec.json.format(msgspec.json.encode(status)).decode()),
        )
        self._send(200, text.encode(), "text/html; charset=utf-8")

    def _send(self, code: int, body: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (_HEADERS | (more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Addresses hold tokens: nothing is logged."""


class PanicServer(ThreadingHTTPServer):
    """HTTP on 127.0.0.1 alone."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, guard: Guard) -> None:
        self.guard = guard
        super().__init__(("127.0.0.1", port), Handler)
