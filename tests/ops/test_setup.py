"""desk/ops/setup.sh and the entry points: faults are one clear sentence, an unchanged checkout is left alone."""

import hashlib
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bootstrap import ROOT, free_ports

pytestmark = pytest.mark.processes

TOOLS = (
    "bash",
    "sh",
    "sha256sum",
    "cut",
    "tr",
    "cat",
    "mkdir",
    "chmod",
    "dirname",
    "rm",
    "cp",
    "flock",
    "env",
    "uname",
    "sed",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the set-up's files only, and nothing to install."""
    root = tmp_path / "a checkout"
    (root / "desk" / "ops").mkdir(parents=True)
    shutil.copy(ROOT / "desk" / "ops" / "setup.sh", root / "desk" / "ops" / "setup.sh")
    shutil.copytree(
        ROOT / "desk" / "assets", root / "desk" / "assets", ignore=shutil.ignore_patterns("node_modules", "vendor")
    )
    (root / "requirements.txt").write_text("# nothing\n")
    return root


def offline(root: Path, **more: str) -> dict[str, str]:
    """An environment in which no registry answers and no cache helps."""
    address = f"http://127.0.0.1:{free_ports(1)[0]}/"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "npm_"))}
    pip = {"PIP_INDEX_URL": address, "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1"}
    npm = {"npm_config_registry": address, "npm_config_cache": str(root / "npm"), "npm_config_fetch_retries": "0"}
    npm["npm_config_fetch_retry_mintimeout"] = "1"  # ms before the one try that the set-up asks for itself
    return {**kept, **pip, **npm, "PYTHON": sys.executable, **more}


def set_up(root: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(root / "desk" / "ops" / "setup.sh")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def digest(*paths: Path) -> str:
    return "".join(hashlib.sha256(path.read_bytes()).hexdigest() + " " for path in paths)


def test_no_python_311_is_one_sentence(checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in TOOLS:
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    result = set_up(checkout, {"PATH": str(tools), "HOME": str(tmp_path)})
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert "Python 3.11 was not found; install it" in result.stderr


def test_a_python_registry_that_is_away_is_one_sentence(checkout: Path) -> None:
    (checkout / "requirements.txt").write_text("no-such-package==1.0\n")
    result = set_up(checkout, offline(checkout))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert "the Python packages cannot be installed: is the package registry reachable" in result.stderr
    assert "no-such-package" in (checkout / "var" / "logs" / "setup.log").read_text()
    assert not (checkout / ".venv" / "requirements.stamp").exists()


def test_an_npm_registry_that_is_away_is_one_sentence(checkout: Path) -> None:
    result = set_up(checkout, offline(checkout))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert "the browser libraries cannot be installed: is the npm registry reachable" in result.stderr
    assert not (checkout / "desk" / "assets" / "vendor" / "stamp").exists()


def test_an_unchanged_checkout_is_left_alone(checkout: Path) -> None:
    """Nothing is asked of any registry, nothing is said, and it takes less than a second."""
    assets = checkout / "desk" / "assets"
    stamps = {
        checkout / ".venv" / "requirements.stamp": digest(checkout / "requirements.txt"),
        assets / "vendor" / "stamp": digest(
            assets / "package-lock.json", assets / "package.json", checkout / "desk" / "ops" / "setup.sh"
        ),
    }
    for path, text in stamps.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (checkout / ".venv" / "bin").mkdir()
    (checkout / ".venv" / "bin" / "python").symlink_to(sys.executable)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = set_up(checkout, offline(checkout))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    # its own time, not that of whatever else runs here
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


def test_changed_requirements_are_installed_again(checkout: Path) -> None:
    stamp = checkout / ".venv" / "requirements.stamp"
    stamp.parent.mkdir()
    stamp.write_text(digest(checkout / "requirements.txt"))
    (checkout / "requirements.txt").write_text("no-such-package==1.0\n")
    result = set_up(checkout, offline(checkout))
    assert "the Python packages cannot be installed" in result.stderr


def test_make_names_its_commands() -> None:
    result = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in ("run", "test", "lint", "bench", "bench-peers", "soak", "screenshots", "clean"):
        assert f"make {name}" in result.stdout


def test_ci_calls_make_test() -> None:
    script = ROOT / ".ci" / "run"
    text = script.read_text()
    assert "make test" in text
    assert "set -euo pipefail" in text
    assert os.access(script, os.X_OK)
    assert os.access(ROOT / "desk" / "ops" / "setup.sh", os.X_OK)
    assert os.access(ROOT / "desk" / "ops" / "test.sh", os.X_OK)


@pytest.mark.parametrize("script", ["desk/ops/setup.sh", "desk/ops/test.sh", "desk/ops/peers.sh", ".ci/run"])
def test_shell_scripts_parse(script: str) -> None:
    result = subprocess.run(["bash", "-n", str(ROOT / script)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_list_that_no_lane_could_take_is_no_pass(tmp_path: Path) -> None:
    """Both lanes read any failure to make its folder as "the other one has it"."""
    words = """
        set -euo pipefail
        SHARED=$1 FAILED=0
        say() { echo "$1"; }
        source <(sed -n '/^take() {/,/^}/p; /^check_lists() {/,/^}/p' "$2")
        for list in computing rows patient patient_on_postgres clocks desks_on_postgres; do take "$list"; done
        check_lists
        take rows_on_postgres
        check_lists
        echo "$FAILED"
    """
    command = ["bash", "-c", words, "bash", str(tmp_path), str(ROOT / "desk" / "ops" / "test.sh")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stdout.splitlines() == ["rows_on_postgres: no lane took it", "1"], result.stderr
