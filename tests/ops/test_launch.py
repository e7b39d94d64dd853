"""Why a desk does not start: one sentence each, exit 1, nothing left behind (issue, point 2)."""

import os
import socket
from pathlib import Path

import pytest
from django.core.checks import ERROR, run_checks

from desk.ops.launch import LaunchError, check_services, make_folders, port_faults, take_lock
from desk.ops.programs import Layout
from tests.bootstrap import ROOT, free_ports
from tests.ops.desks import desk_environment, manage, processes_of


def layout_of(var: Path) -> Layout:
    web, guard, redis = free_ports(3)
    return Layout(ROOT, var, web, guard, redis, external_redis=False)


def test_a_taken_port_is_named_with_its_variable(tmp_path: Path) -> None:
    environment = desk_environment(tmp_path / "v")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(environment["DESK_PORT"])))
        taken.listen()
        result = manage(environment, "run")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert f"port {environment['DESK_PORT']} (the web) is taken" in result.stderr
    assert "DESK_PORT" in result.stderr
    assert processes_of(tmp_path / "v") == {}


@pytest.mark.parametrize(("field", "variable"), [("guard_port", "DESK_GUARD_PORT"), ("redis_port", "DESK_REDIS_PORT")])
def test_every_port_is_checked(tmp_path: Path, field: str, variable: str) -> None:
    place = layout_of(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        faults = port_faults(place._replace(**{field: taken.getsockname()[1]}))
    assert len(faults) == 1
    assert variable in faults[0]


def test_one_port_for_two_uses_is_refused(tmp_path: Path) -> None:
    place = layout_of(tmp_path)
    faults = port_faults(place._replace(guard_port=place.web_port))
    assert faults == [f"port {place.web_port} is asked for twice: set DESK_GUARD_PORT to another one"]


def test_a_port_number_out_of_range_is_refused(tmp_path: Path) -> None:
    faults = port_faults(layout_of(tmp_path)._replace(web_port=70000))
    assert faults == ["DESK_PORT=70000 is not a port number (1 to 65535)"]


def test_a_port_that_is_no_number_is_one_sentence(tmp_path: Path) -> None:
    result = manage(desk_environment(tmp_path, DESK_PORT="eighty"), "run")
    assert result.returncode == 1
    assert "DESK_PORT='eighty' is not a whole number" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_lock_is_exclusive_and_freed(tmp_path: Path) -> None:
    place = layout_of(tmp_path)
    first = take_lock(place)
    with pytest.raises(LaunchError, match=rf"a desk already runs on the folder .* \(process {os.getpid()}, http"):
        take_lock(place)
    os.close(first)
    os.close(take_lock(place))


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(LaunchError, match=r"cannot write .*: set DESK_VAR to a folder of yours"):
        make_folders(layout_of(blocked / "var"))


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="too long for a Unix socket: set DESK_VAR"):
        make_folders(layout_of(tmp_path / ("x" * 100)))


def test_a_named_redis_that_is_silent_is_one_sentence(tmp_path: Path) -> None:
    silent = free_ports(1)[0]
    result = manage(desk_environment(tmp_path / "v", DESK_REDIS_URL=f"redis://127.0.0.1:{silent}/0"), "run")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert "does not answer" in result.stderr
    assert "DESK_REDIS_URL" in result.stderr


def test_free_ports_are_no_fault(tmp_path: Path) -> None:
    place = layout_of(tmp_path)
    check_services(place)
    assert port_faults(place) == []


def test_djangos_own_checks_find_nothing() -> None:
    """No command and no worker runs them at its start, for they load every page."""
    assert [fault for fault in run_checks() if fault.level >= ERROR] == []
