"""The vendor's HTTP protocol on a real TLS socket, for its own client: a market by formula, a ledger of what was
billed, and faults on demand.  The same request always gives the same bytes."""

import base64
import ipaddress
import itertools
import json
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import databento_dbn as dbn
import zstandard
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KEY = "db-" + "k" * 29
SECOND = 10**9
DAY = 86_400 * SECOND
HOUR_STEP, MINUTE = 3600 * SECOND, 60 * SECOND
ROLL = date(2024, 2, 15)  # the front month changes inside February
IDS = (5002, 7113)


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


START, END = ns("2024-01-01"), ns("2024-03-11T12:00:00")


def day_of(at_ns: int) -> date:
    return datetime.fromtimestamp(at_ns // SECOND, UTC).date()


def certificate(folder: Path) -> Path:
    """A certificate for localhost with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1000)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "localhost.pem"
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return path


def times(form: dict[str, str]) -> list[int]:
    """Hourly records of the span, inclusive and exclusive as the vendor's; of minutes those of an hour of each weekday,
    when the exchange is open."""
    first = -(-max(int(form["start"]), START) // HOUR_STEP) * HOUR_STEP
    hours = range(first, min(int(form["end"]), END), HOUR_STEP)
    if form["schema"] != "ohlcv-1m":
        return list(hours)
    last = min(int(form["end"]), END)
    open_hours = [at for at in hours if datetime.fromtimestamp(at // SECOND, UTC).hour == 15 and is_open(day_of(at))]
    return [at + k * MINUTE for at in open_hours for k in range(60) if at + k * MINUTE < last]


def is_open(day: date) -> bool:
    """A weekday that is no holiday of the span."""
    return day.weekday() < 5 and day != date(2024, 1, 1)


def body_of(form: dict[str, str], spoil: str = "") -> bytes:
    """The DBN stream of a request.  `spoil`: what is wrong with it."""
    stamps = times(form)
    if spoil == "short":
        stamps.pop()
    if spoil == "order":
        stamps[3], stamps[4] = stamps[4], stamps[3]
    schema = form["schema"] if spoil != "schema" else "ohlcv-1d"
    first, last = day_of(int(form["start"])), day_of(int(form["end"]) - 1) + timedelta(days=1)
    turns = [first, *([ROLL] if first < ROLL < last else []), last]
    intervals = [
        SimpleNamespace(start_date=a, end_date=b, symbol=str(IDS[a >= ROLL])) for a, b in itertools.pairwise(turns)
    ]
    instrument_id: Any = dbn.SType.INSTRUMENT_ID
    header = dbn.Metadata(
        dataset=form["dataset"],
        start=int(form["start"]),
        end=int(form["end"]),
        stype_in=dbn.SType.from_str(form["stype_in"]),
        stype_out=instrument_id,
        schema=dbn.Schema.from_str(schema),
        symbols=[form["symbols"]],
        partial=[],
        not_found=[form["symbols"]] if spoil == "unknown" else [],
        mappings=[SimpleNamespace(raw_symbol=form["symbols"], intervals=intervals)],
        version=3,
    )
    rtype = {"ohlcv-1s": 32, "ohlcv-1m": 33}.get(form["schema"], 34)
    records = [bar(at, rtype, stray=spoil == "stray" and at == stamps[-1]) for at in stamps]
    plain = bytes(header) + b"".join(records)
    if spoil == "half a record":
        plain = plain[:-20]
    packed = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(plain)
    if spoil == "flipped":
        packed = packed[:-9] + bytes([packed[-9] ^ 0x40]) + packed[-8:]
    return packed[: len(packed) // 2] if spoil == "cut frame" else packed


def bar(at: int, rtype: int = 34, stray: bool = False) -> bytes:
    close = 5_000_000_000_000 + (at // HOUR_STEP % 97) * 250_000_000
    number = IDS[day_of(at) >= ROLL] + (7 if stray else 0)
    return bytes(
        dbn.OHLCVMsg(
            rtype=rtype, publisher_id=1, instrument_id=number, ts_event=at, open=close, high=close, low=close,
            close=close, volume=1 + at // HOUR_STEP % 11,
        )
    )  # fmt: skip


class Market:
    """State of the server.  `faults`: path's last word → what becomes of its next requests, in order."""

    def __init__(self) -> None:
        self.faults: dict[str, deque[Any]] = {}
        self.asked: Counter[str] = Counter()
        self.billed: list[tuple[int, int]] = []
        self.end_ns = END
        self.micros_a_record = 100
        self.slow_piece = 0  # bytes of a body sent at a time; 0: all at once
        self.sent: Callable[[int], None] = lambda total: None  # after each piece of a body
        self.total_sent = 0

    def fault(self, path: str, *what: Any) -> None:
        self.faults.setdefault(path, deque()).extend(what)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    market: Market

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def answer(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send(json.dumps(value).encode(), status, headers or {}, "application/json")

    def send(self, body: bytes, status: int, headers: dict[str, str], kind: str) -> None:
        self.send_response(status)
        for name, text in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.serve(dict(parse_qsl(self.path.partition("?")[2])))

    def do_POST(self) -> None:
        self.serve(dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode())))

    def serve(self, form: dict[str, str]) -> None:
        word = self.path.partition("?")[0].rpartition(".")[2]
        market = self.market
        market.asked[word] += 1
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(f"{KEY}:".encode()).decode():
            self.refuse(401, "auth_authentication_failed", "Authentication failed.")
            return
        queue = market.faults.get(word)
        fault = queue.popleft() if queue else None
        if isinstance(fault, int):
            self.refuse(fault, "planted", "as planned", {"Retry-After": "7"} if fault == 429 else {})
        elif fault == "html":
            self.send(b"<html>bad gateway</html>", 502, {}, "text/html")
        elif fault == "silence":
            time.sleep(1.5)
            self.close_connection = True
        elif word == "get_range":
            self.stream(form, fault or "")
        else:
            self.answer(self.value(word, form))

    def refuse(self, status: int, case: str, text: str, headers: dict[str, str] | None = None) -> None:
        detail = {"case": case, "message": text, "status_code": status, "docs": "", "payload": {}}
        self.answer({"detail": detail}, status, headers)

    def value(self, word: str, form: dict[str, str]) -> Any:
        if word == "get_dataset_range":
            return {"start": iso(START), "end": iso(self.market.end_ns), "schema": {}}
        if word == "get_dataset_condition":
            return [
                {"date": "2024-01-03", "condition": "degraded", "last_modified_date": "2024-01-04"},
                {"date": "2024-01-04", "condition": "available", "last_modified_date": "2024-01-05"},
            ]
        count = len(times(form))
        return {
            "get_cost": count * self.market.micros_a_record / 1e6,
            "get_billable_size": count * 56,
            "get_record_count": count,
        }[word]

    def stream(self, form: dict[str, str], spoil: str) -> None:
        market = self.market
        market.billed.append((int(form["start"]), int(form["end"])))
        body = b"" if spoil == "empty" else body_of(form, spoil)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if spoil == "cut":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        step = market.slow_piece or max(len(body), 1)
        for at in range(0, len(body), step):
            piece = body[at : at + step]
            self.wfile.write(piece)
            market.total_sent += len(piece)
            market.sent(market.total_sent)


def iso(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000000Z")


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed in the middle is what some tests are about."""


@contextmanager
def serving(pem: Path) -> Iterator[tuple[Market, str]]:
    """The server and the address of its gateway."""
    market = Market()
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"market": market}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield market, f"https://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
