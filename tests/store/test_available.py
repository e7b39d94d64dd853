"""MES-MEM-03: free memory over the host and every cgroup above the process, in trees made on the spot."""

import logging
from pathlib import Path

import pytest

from marketdata.memory.available import HOST, MIB, NO_LIMIT, available

GIB = 1024 * MIB


def write(root: Path, name: str, text: object) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


@pytest.fixture
def root(tmp_path) -> Path:
    """A host of 8 GiB with 6 GiB free and no cgroup."""
    write(tmp_path, "proc/meminfo", f"MemTotal: {8 << 20} kB\nMemFree: 100 kB\nMemAvailable: {6 << 20} kB\n")
    return tmp_path


def group_v2(root: Path, name: str, limit: object, use: int, inactive: int = 0) -> None:
    write(root, f"sys/fs/cgroup/{name}/memory.max", limit)
    write(root, f"sys/fs/cgroup/{name}/memory.current", use)
    write(root, f"sys/fs/cgroup/{name}/memory.stat", f"anon 5\ninactive_file {inactive}\nactive_file 9")


def group_v1(root: Path, name: str, limit: int, use: int, inactive: int = 0) -> None:
    folder = f"sys/fs/cgroup/memory/{name}"
    write(root, f"{folder}/memory.limit_in_bytes", limit)
    write(root, f"{folder}/memory.usage_in_bytes", use)
    write(root, f"{folder}/memory.stat", f"inactive_file 1\ntotal_inactive_file {inactive}")


def test_without_cgroups_the_host_limits(root):
    found = available(root)
    assert (found.bytes, found.total_bytes, found.limited_by, found.warning) == (6 * GIB, 8 * GIB, HOST, "")


def test_v2_the_file_cache_that_can_be_given_back_does_not_count(root):
    write(root, "proc/self/cgroup", "0::/desk/loop")
    group_v2(root, "desk/loop", 2 * GIB, GIB, inactive=GIB // 2)
    found = available(root)
    assert (found.bytes, found.total_bytes, found.limited_by) == (GIB * 3 // 2, 2 * GIB, "/sys/fs/cgroup/desk/loop")


@pytest.mark.parametrize("tight", ["", "a", "a/b", "a/b/c"])
def test_every_ancestor_counts(root, tight):
    """MES-MEM-03: the process's cgroup and all its ancestors."""
    write(root, "proc/self/cgroup", "0::/a/b/c")
    for name in ("a", "a/b", "a/b/c"):
        group_v2(root, name, "max", 5)
    group_v2(root, tight, GIB, 100 * MIB)
    found = available(root)
    assert found.bytes == 924 * MIB and found.limited_by == f"/sys/fs/cgroup/{tight}".rstrip("/")


def test_v1_beside_v2_and_a_number_that_means_no_limit(root):
    write(root, "proc/self/cgroup", "9:cpu:/x\n4:memory:/pod/one\n0::/")
    group_v1(root, "", NO_LIMIT, 5)
    group_v1(root, "pod", 2**63 - 4096, 5)
    group_v1(root, "pod/one", 3 * GIB, GIB, inactive=100 * MIB)
    found = available(root)
    assert (found.bytes, found.limited_by) == (2 * GIB + 100 * MIB, "/sys/fs/cgroup/memory/pod/one")
    group_v1(root, "pod/one", NO_LIMIT, GIB)
    assert available(root).limited_by == HOST
    group_v1(root, "pod/one", NO_LIMIT - 1, GIB)
    assert available(root).limited_by == HOST  # a limit, but far above the host


def test_mounts_elsewhere_and_a_container_whose_mount_begins_at_its_own_group(root):
    write(root, "proc/self/cgroup", "4:memory:/docker/abc/inner\n0::/unified/abc")
    write(
        root,
        "proc/self/mountinfo",
        "30 20 0:25 /docker/abc /mnt/mem rw - cgroup cgroup rw,memory\n"
        "31 20 0:26 / /mnt/two rw,nosuid shared:1 - cgroup2 cgroup2 rw",
    )
    write(root, "mnt/mem/inner/memory.limit_in_bytes", GIB)
    write(root, "mnt/mem/inner/memory.usage_in_bytes", 24 * MIB)
    assert available(root).bytes == 1000 * MIB
    write(root, "mnt/two/unified/memory.max", GIB // 2)
    write(root, "mnt/two/unified/memory.current", 12 * MIB)
    found = available(root)
    assert (found.bytes, found.limited_by) == (500 * MIB, "/mnt/two/unified")


@pytest.mark.parametrize("use", [None, "nonsense", ""])
def test_a_limit_whose_use_is_unknown_leaves_nothing(root, use, caplog):
    write(root, "proc/self/cgroup", "0::/a")
    write(root, "sys/fs/cgroup/a/memory.max", GIB)
    if use is not None:
        write(root, "sys/fs/cgroup/a/memory.current", use)
    found = available(root)
    assert found.bytes == 0 and "its use cannot be read" in found.warning and "cannot be read" in caplog.text


def test_a_group_above_its_limit_leaves_nothing(root):
    write(root, "proc/self/cgroup", "0::/a")
    group_v2(root, "a", GIB, 2 * GIB)
    assert available(root).bytes == 0


def test_a_blind_host_is_4096_of_8192_with_a_warning(tmp_path, caplog):
    """MES-MEM-03."""
    for text in (None, "MemTotal: 5 kB", "MemAvailable: many"):
        if text is not None:
            write(tmp_path, "proc/meminfo", text)
        with caplog.at_level(logging.WARNING):
            found = available(tmp_path)
        assert (found.bytes, found.total_bytes, found.limited_by) == (4096 * MIB, 8192 * MIB, HOST)
        assert "4096 MiB are assumed" in found.warning and "4096 MiB are assumed" in caplog.text
        caplog.clear()


def test_this_machine():
    found = available()
    assert 0 <= found.bytes <= found.total_bytes and found.total_bytes > 256 * MIB
