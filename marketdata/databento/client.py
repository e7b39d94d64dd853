"""The vendor's official client behind five verbs: what there is, what it costs, how many records, fetch.

The only module that imports `databento`.  It adds what the client lacks: half a second between requests, retries that
honour Retry-After, a longer time limit, and one sentence for each kind of refusal.  It never writes the key anywhere.
"""

import os
import stat
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any, TypeVar

from marketdata.core.units import MICROS
from marketdata.databento.request import DatabentoError, Series, Span, moment_ns, words

GATEWAY = "https://hist.databento.com"
KEY_VARIABLE, KEY_FILE_VARIABLE = "DATABENTO_API_KEY", "DATABENTO_API_KEY_FILE"
RETRIES = 3
PAUSE_S = 0.5  # between requests (MES-DBN-06)
TIMEOUT_S = 300
RETRY_AFTER_S_MAX = 60.0
SENTENCES = {
    400: "the request is malformed",
    401: f"the key is not accepted: check {KEY_VARIABLE}",
    402: "the account's funds do not cover it: add credit in the vendor's portal",
    403: "the account has no licence for it",
    404: "the vendor knows no such thing",
    408: "the request took too long to be sent",
    422: "the vendor cannot serve this request",
    429: "too many requests: wait a minute",
}
Answer = TypeVar("Answer")


class Refused(DatabentoError):
    """A request that the vendor did not serve.  `status`: HTTP, 0 when there was no whole answer; `again`: whether the
    same request may be served later; `after_s`: when, if the vendor said so."""

    def __init__(self, text: str, status: int = 0, again: bool = False, after_s: float | None = None) -> None:
        super().__init__(text)
        self.status, self.again, self.after_s = status, again, after_s

    def delay_s(self, attempt: int) -> float:
        """How long to wait before the next attempt; the first has number 0 (MES-DBN-06)."""
        return 2.0**attempt if self.after_s is None else self.after_s


@dataclass(frozen=True, slots=True)
class Quote:
    """What the vendor says a request takes.  micros: US dollars x 1e6, rounded up; size in bytes, uncompressed."""

    micros: int
    size: int
    records: int

    def __add__(self, other: "Quote") -> "Quote":
        return Quote(self.micros + other.micros, self.size + other.size, self.records + other.records)


NOTHING = Quote(0, 0, 0)


def dollars_up_to_micros(answer: float | int) -> int:
    """The vendor's dollars → micros, rounded up to the next one.  Raises DatabentoError on what is no amount."""
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        raise DatabentoError(f"the vendor's cost {answer!r} is no amount: nothing is bought")
    amount = Decimal(str(answer))
    if not amount.is_finite() or amount < 0 or amount > 10**9:
        raise DatabentoError(f"the vendor's cost {answer!r} is no amount: nothing is bought")
    return int((amount * MICROS).to_integral_value(ROUND_CEILING))


def read_key(environ: Any = os.environ) -> str:
    """The key from DATABENTO_API_KEY, or from the file that DATABENTO_API_KEY_FILE names.  Raises DatabentoError when
    there is none, or when others than its owner may read the file."""
    if key := environ.get(KEY_VARIABLE, "").strip():
        return str(key)
    name = environ.get(KEY_FILE_VARIABLE, "")
    if not name:
        raise DatabentoError(f"no key: set {KEY_VARIABLE}, or {KEY_FILE_VARIABLE} to a file of mode 0600 that holds it")
    path = Path(name)
    try:
        with open(path, encoding="ascii") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise DatabentoError(f"others may read {path}: chmod 600 it, and think of a new key")
            key = file.read(1000).strip()
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "it is no plain text"
        raise DatabentoError(f"the key file {path} cannot be read: {what}") from None
    if not key:
        raise DatabentoError(f"the key file {path} is empty")
    return key


class Vendor:
    """One account at the vendor.  Raises Refused from every verb; `sleep` is for tests."""

    def __init__(
        self,
        key: str,
        gateway: str = GATEWAY,
        timeout_s: float = TIMEOUT_S,
        pause_s: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not gateway.startswith("https://"):
            raise DatabentoError(f"the gateway {gateway} is not https: a key is not sent in the clear")
        with warnings.catch_warnings():  # the package sets filters of its own on import
            import databento
        self._key, self._sleep, self._next = key, sleep, 0.0
        self._pause_s = PAUSE_S if pause_s is None else pause_s
        try:
            self._client = databento.Historical(key, gateway=gateway)
        except ValueError:
            raise DatabentoError("the key or the gateway cannot be used: neither may be empty") from None
        for part in (self._client.timeseries, self._client.metadata):
            part.TIMEOUT = timeout_s  # type: ignore[assignment]

    def available(self, series: Series) -> Span:
        """The span that the vendor has of a dataset, of its schema where that is told."""
        answer: Any = self._ask(lambda: self._client.metadata.get_dataset_range(series.dataset))
        try:
            told = {**answer, **(answer.get("schema") or {}).get(series.schema, {})}
            return Span(moment_ns(told["start"]), moment_ns(told["end"]))
        except (KeyError, TypeError, AttributeError):
            raise Refused("the vendor's answer about its range cannot be read") from None

    def degraded(self, series: Series, span: Span) -> list[str]:
        """Days of the span that the vendor itself calls less than good (MES-DBN-09), as `2024-01-02 degraded`."""
        first, last = words(span.start_ns)[:10], words(span.end_ns - 1)[:10]
        answer = self._ask(lambda: self._client.metadata.get_dataset_condition(series.dataset, first, last))
        return [f"{day['date']} {day['condition']}" for day in answer if day.get("condition") != "available"]

    def quote(self, series: Series, span: Span) -> Quote:
        """Dollars, bytes and records of one part; asking is free."""
        asked: Any = _words_of(series, span)
        metadata = self._client.metadata
        cost = self._ask(lambda: metadata.get_cost(**asked))
        size = self._ask(lambda: metadata.get_billable_size(**asked))
        records = self._ask(lambda: metadata.get_record_count(**asked))
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in (size, records)):
            raise Refused(f"the vendor's size {size!r} or count {records!r} is no number: nothing is bought")
        return Quote(dollars_up_to_micros(cost), size, records)

    def fetch(self, series: Series, span: Span, path: Path) -> None:
        """Buy one part into a file that does not exist yet.  Never repeated here: each call may be billed.  After an
        error the file may be there in part; what is raised says whether to try again, and when."""
        asked: Any = _words_of(series, span)
        self._once(lambda: self._client.timeseries.get_range(**asked, path=path))

    def _ask(self, call: Callable[[], Answer]) -> Answer:
        """A free question, repeated where that may help."""
        for attempt in range(RETRIES + 1):
            try:
                return self._once(call)
            except Refused as refused:
                if not refused.again or attempt == RETRIES:
                    raise
                self._sleep(refused.delay_s(attempt))
        raise AssertionError("unreachable")

    def wait(self, seconds: float) -> None:
        """Sleep as the retries do."""
        self._sleep(seconds)

    def _once(self, call: Callable[[], Answer]) -> Answer:
        if (early := self._next - time.monotonic()) > 0:
            self._sleep(early)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the vendor's deprecations are no business of the reader's
                return call()
        except Exception as error:  # noqa: BLE001 - every kind is raised again, those of vendor and network in words
            raise self._told(error) from None
        finally:
            self._next = time.monotonic() + self._pause_s

    def _told(self, error: Exception) -> Exception:
        """One sentence for what went wrong; what is no failure of vendor or network is given back as it is."""
        import databento_dbn
        import requests
        import zstandard
        from databento.common.error import BentoError, BentoHttpError

        if isinstance(error, BentoHttpError):
            return self._answered(error)
        if isinstance(error, requests.exceptions.SSLError):
            return Refused("the vendor's certificate is not accepted: is a proxy in between?")
        if isinstance(error, requests.exceptions.Timeout):
            return Refused("the vendor did not answer in time", again=True)
        if isinstance(error, requests.exceptions.RequestException):
            return Refused(f"the vendor cannot be reached ({type(error).__name__})", again=True)
        if isinstance(error, BentoError | databento_dbn.DBNError | zstandard.ZstdError):
            return Refused(f"the vendor's data broke off ({self._clean(str(error))})", again=True)
        if isinstance(error, ValueError):  # an empty or foreign body
            return Refused(f"the vendor's data cannot be read ({self._clean(str(error))})", again=True)
        return error

    def _answered(self, error: Any) -> Refused:
        status = int(error.http_status)
        told = str(error.headers.get("Retry-After", ""))  # in seconds; a date, which is legal too, is not sent
        after_s = min(float(told), RETRY_AFTER_S_MAX) if told.isascii() and told.isdigit() else None
        said = SENTENCES.get(status, "the vendor has a fault" if status >= 500 else "the vendor refuses")
        text = self._clean(str(error.message or ""))
        return Refused(
            f"{said} (HTTP {status}{': ' + text if text else ''})", status, status == 429 or status >= 500, after_s
        )

    def _clean(self, text: str) -> str:
        """One line, no key, of bounded length."""
        return " ".join(text.replace(self._key, "***").split())[:300]


def _words_of(series: Series, span: Span) -> dict[str, Any]:
    return {
        "dataset": series.dataset,
        "symbols": series.symbol,
        "schema": series.schema,
        "stype_in": series.stype_in,
        "start": span.start_ns,
        "end": span.end_ns,
    }
