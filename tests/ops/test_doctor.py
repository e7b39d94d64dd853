"""`manage.py doctor`: each fault is found and says what to do."""

import json
from pathlib import Path

import pytest

from desk.ops import doctor
from desk.ops.programs import Layout
from marketdata.store.limits import Limit
from tests.bootstrap import ROOT, free_ports
from tests.ops.desks import desk_environment, manage


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    tmp_path.chmod(0o700)
    web, guard, redis = free_ports(3)
    return Layout(ROOT, tmp_path, web, guard, redis, external_redis=False)


def test_a_fresh_folder_has_faults_and_each_has_advice(tmp_path: Path) -> None:
    result = manage(desk_environment(tmp_path / "v"), "doctor", "--json")
    assert result.returncode == 1, result.stderr
    rows = {row["check"]: row for row in json.loads(result.stdout)}
    assert not rows["database"]["good"]
    assert not rows["static files"]["good"]
    assert all(row["advice"] for row in rows.values() if not row["good"])
    assert rows["python"]["good"]
    assert rows["packages"]["good"], rows["packages"]


def test_text_output_says_what_to_do(tmp_path: Path) -> None:
    result = manage(desk_environment(tmp_path / "v"), "doctor")
    assert "FAULT" in result.stdout
    assert "do: run `make run` once" in result.stdout


def test_an_open_folder_is_a_fault(place: Layout) -> None:
    place.var.chmod(0o755)
    finding = doctor.check_folder(place)
    assert not finding.good
    assert "chmod 700" in finding.advice


def test_a_readable_key_is_a_fault(place: Layout) -> None:
    key = place.var / "secret_key"
    key.write_text("x")
    key.chmod(0o644)
    finding = doctor.check_folder(place)
    assert "chmod 600" in finding.advice


def test_a_package_of_another_version_is_a_fault(place: Layout, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("django==1.0\nno-such-package==2\n# note\nredis[hiredis]==8.1.0\n")
    finding = doctor.check_packages(place._replace(base=tmp_path))
    assert "wanted 1.0" in finding.found
    assert "no-such-package is missing" in finding.found
    assert "redis" not in finding.found


def test_a_latched_kill_switch_is_a_fault(place: Layout) -> None:
    assert doctor.check_latch(place).good
    (place.var / "guard").mkdir()
    (place.var / "guard" / "latch.json").write_text("{}")
    finding = doctor.check_latch(place)
    assert "manage.py unlock" in finding.advice


def test_browser_libraries_of_another_version_are_a_fault(place: Layout, tmp_path: Path) -> None:
    assets = tmp_path / "desk" / "assets"
    installed = assets / "node_modules" / "lightweight-charts"
    installed.mkdir(parents=True)
    lock = json.loads((ROOT / "desk" / "assets" / "package-lock.json").read_text())
    lock["packages"] = {
        path: row for path, row in lock["packages"].items() if path.endswith(("lightweight-charts",)) or not path
    }
    (assets / "package-lock.json").write_text(json.dumps(lock))
    (installed / "package.json").write_text('{"version": "0.0.1"}')
    finding = doctor.check_browser_libraries(place._replace(base=tmp_path))
    assert "0.0.1" in finding.found
    assert "make setup" in finding.advice


def test_disk_space_is_named(place: Layout) -> None:
    finding = doctor.check_disk(place)
    assert "GB free" in finding.found
    assert finding.good or "free some space" in finding.advice


def test_mapped_columns_of_no_data_set_are_a_fault(place: Layout, settings, monkeypatch) -> None:
    """They may stand only beside their data set, and within their limit."""
    settings.COLUMN_CACHE_MB = 8192
    monkeypatch.setattr(Limit, "folders", None)  # those of other tests of this process are not the desk's
    folder = place.var / "data" / "columns"
    assert doctor.check_columns(place).good
    folder.mkdir(parents=True)
    (folder.parent / "MES-1s-0123456789ab.json").write_text("{}")
    (folder / "MES-1s-0123456789ab-0123456789abcdef.columns").write_bytes(bytes(2 << 20))
    finding = doctor.check_columns(place)
    assert finding.good and finding.found == "1 files, 2 of 8192 MB"
    settings.COLUMN_CACHE_MB = 1
    assert "more than allowed" in doctor.check_columns(place).found
    settings.COLUMN_CACHE_MB = 8192
    (folder.parent / "MES-1s-0123456789ab.json").unlink()
    finding = doctor.check_columns(place)
    assert not finding.good and "belongs to no data set" in finding.found and "rm " in finding.advice
