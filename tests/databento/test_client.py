"""MES-DBN-05, -06: the official client against the vendor's protocol: prices, refusals in plain words, the key."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from marketdata.databento.client import Quote, Refused, Vendor, dollars_up_to_micros, read_key
from marketdata.databento.request import DatabentoError, Span, day_ns, moment_ns, months, series, without
from tests.databento.server import END, KEY, START, Market

MES = series("MES.v.0", "ohlcv-1h")
JANUARY = Span(day_ns("2024-01-01"), day_ns("2024-02-01"))


def test_a_quote_says_dollars_bytes_and_records_and_buys_nothing(vendor: Vendor, market: Market) -> None:
    assert vendor.available(MES) == Span(START, END)
    assert vendor.quote(MES, JANUARY) == Quote(31 * 24 * 100, 31 * 24 * 56, 31 * 24)
    assert vendor.degraded(MES, JANUARY) == ["2024-01-03 degraded"]
    assert market.billed == []


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (400, r"malformed \(HTTP 400: planted as planned\)"),
        (401, "key is not accepted: check DATABENTO_API_KEY"),
        (402, "funds do not cover it"),
        (403, "no licence"),
        (404, "no such thing"),
        (422, "cannot serve this request"),
    ],
)
def test_a_refusal_is_one_sentence_and_is_not_repeated(
    vendor: Vendor, market: Market, slept: list[float], status: int, sentence: str
) -> None:
    market.fault("get_cost", status)
    with pytest.raises(Refused, match=sentence) as refused:
        vendor.quote(MES, JANUARY)
    assert refused.value.status == status
    assert market.asked["get_cost"] == 1 and slept == []


def test_too_many_requests_waits_as_long_as_the_vendor_says(vendor: Vendor, market: Market, slept: list[float]) -> None:
    market.fault("get_cost", 429, 429)
    assert vendor.quote(MES, JANUARY).records == 744
    assert slept == [7.0, 7.0]


def test_a_fault_of_the_vendor_is_tried_four_times(vendor: Vendor, market: Market, slept: list[float]) -> None:
    market.fault("get_cost", 500, 503, "html", 504)
    with pytest.raises(Refused, match=r"the vendor has a fault \(HTTP 504"):
        vendor.quote(MES, JANUARY)
    assert slept == [1.0, 2.0, 4.0]


def test_silence_ends_with_the_time_limit(vendor_of: Callable[..., Vendor], market: Market) -> None:
    market.fault("get_cost", *["silence"] * 4)
    with pytest.raises(Refused, match=r"did not answer in time|cannot be reached"):
        vendor_of(timeout_s=0.3).quote(MES, JANUARY)
    assert market.asked["get_cost"] == 4


def test_nobody_there(vendor_of: Callable[..., Vendor]) -> None:
    lost = Vendor(KEY, "https://localhost:9", pause_s=0.0, sleep=lambda _: None)
    with pytest.raises(Refused, match=r"cannot be reached \(ConnectionError\)"):
        lost.available(MES)


def test_half_a_second_lies_between_two_requests(place: tuple[Market, str], slept: list[float]) -> None:
    careful = Vendor(KEY, place[1], pause_s=600.0, sleep=slept.append)
    careful.available(MES)
    careful.available(MES)
    assert len(slept) == 1 and 0 < slept[0] <= 600


def test_a_wrong_key_is_told_without_the_key(
    vendor_of: Callable[..., Vendor], caplog: pytest.LogCaptureFixture
) -> None:
    secret = "db-" + "S" * 29
    caplog.set_level("DEBUG")
    with pytest.raises(Refused, match=r"key is not accepted") as refused:
        vendor_of(secret).available(MES)
    said = f"{refused.value} {refused.value!r} {refused.value.__cause__} {caplog.text}"
    assert "S" * 29 not in said and "HTTP 401" in said


def test_the_key_comes_from_the_environment_or_a_file_of_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY + "\n")
    path.chmod(0o600)
    assert read_key({"DATABENTO_API_KEY": KEY}) == KEY
    assert read_key({"DATABENTO_API_KEY_FILE": str(path)}) == KEY
    path.chmod(0o640)
    with pytest.raises(DatabentoError, match=r"others may read"):
        read_key({"DATABENTO_API_KEY_FILE": str(path)})
    with pytest.raises(DatabentoError, match=r"no key: set DATABENTO_API_KEY"):
        read_key({})
    with pytest.raises(DatabentoError, match=r"cannot be read: No such file"):
        read_key({"DATABENTO_API_KEY_FILE": os.devnull + "/none"} | {"DATABENTO_API_KEY_FILE": str(tmp_path / "no")})


def test_a_key_never_goes_in_the_clear() -> None:
    with pytest.raises(DatabentoError, match=r"is not https"):
        Vendor(KEY, "http://localhost:9")


@pytest.mark.parametrize("answer", [-0.01, float("nan"), float("inf"), True, "1", None, 1e12])
def test_what_is_no_amount_is_refused(answer: object) -> None:
    with pytest.raises(DatabentoError, match=r"is no amount: nothing is bought"):
        dollars_up_to_micros(answer)  # type: ignore[arg-type]


def test_a_cost_is_rounded_up() -> None:
    assert [dollars_up_to_micros(x) for x in (0, 0.1, 1.0000001, 1e-9)] == [0, 100_000, 1_000_001, 1]


def test_symbols_tell_their_kind_mes_dbn_02() -> None:
    assert [series(s, "trades").stype_in for s in ("MES.v.0", "MES.FUT", "MESH6")] == [
        "continuous", "parent", "raw_symbol",
    ]  # fmt: skip
    for symbol, schema in (("MES.v.0", "ohlcv-5m"), ("../x", "trades"), ("MES v", "trades"), ("", "trades")):
        with pytest.raises(DatabentoError):
            series(symbol, schema)


def test_a_span_is_cut_at_months_and_what_is_held_is_left_out() -> None:
    cut = months(Span(day_ns("2023-12-15"), day_ns("2024-02-02")))
    assert cut == [
        (day_ns("2023-12-15"), day_ns("2024-01-01")),
        (day_ns("2024-01-01"), day_ns("2024-02-01")),
        (day_ns("2024-02-01"), day_ns("2024-02-02")),
    ]
    assert without(Span(0, 10), [Span(2, 4), Span(6, 20)]) == [(0, 2), (4, 6)]
    assert without(Span(0, 10), [Span(-5, 10)]) == []
    assert moment_ns("2024-01-01T00:00:00.000000001Z") == day_ns("2024-01-01") + 1
    with pytest.raises(DatabentoError, match=r"nothing lies between"):
        months(Span(5, 5))
