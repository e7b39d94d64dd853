"""How much memory this process may still take: the host's, or what a cgroup above it leaves (MES-MEM-03).

Both generations of cgroups, at whatever place they are mounted, the process's own group and all its ancestors: the
tightest counts.  Everything is read below `root`, which is `/` but in tests.  A limit whose use cannot be read leaves
nothing: what is unknown is not free.  Called by `marketdata.memory.guard`.
"""

import logging
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MIB = 1 << 20
NO_LIMIT = 1 << 60  # a number from here on is how version 1 says "no limit"
BLIND_AVAILABLE, BLIND_TOTAL = 4_096 * MIB, 8_192 * MIB  # where nothing tells how much there is
HOST = "host"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Available:
    """Bytes that may still be taken, of how many, and what limits them: "host" or a cgroup's path."""

    bytes: int
    total_bytes: int
    limited_by: str
    warning: str = ""


@dataclass(frozen=True, slots=True)
class _Version:
    """The file names of one generation of cgroups."""

    limit: str
    use: str
    reclaimable: str  # the line of memory.stat that can be given back at once


V1 = _Version("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = _Version("memory.max", "memory.current", "inactive_file")


def available(root: Path = Path("/")) -> Available:
    """The tightest of the host and every cgroup of this process."""
    tightest = _host(root)
    for group, version in _groups(root):
        found = _of_group(root, group, version)
        if found is not None and found.bytes < tightest.bytes:
            tightest = found
    return tightest


def _host(root: Path) -> Available:
    """psutil's figures, else the kernel's own, else a cautious guess with a warning."""
    if root == Path("/"):
        try:
            import psutil
        except ImportError:
            log.debug("psutil is not installed: /proc/meminfo is read instead")
        else:
            memory = psutil.virtual_memory()
            return Available(int(memory.available), int(memory.total), HOST)
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if rest.strip()}
        return Available(kib["MemAvailable"] << 10, kib["MemTotal"] << 10, HOST)
    except (OSError, ValueError, KeyError):
        warning = f"how much memory is free is unknown: {BLIND_AVAILABLE // MIB} MiB are assumed"
        log.warning(warning)
        return Available(BLIND_AVAILABLE, BLIND_TOTAL, HOST, warning)


def _groups(root: Path) -> list[tuple[Path, _Version]]:
    """Folders of the process's memory cgroups and of all their ancestors, below `root`."""
    try:
        member = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []  # no cgroups here: the host alone limits
    mounts = _mounts(root)
    found = []
    for line in member:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            version, mount = V2, mounts.get("cgroup2", ("/sys/fs/cgroup", "/"))
        elif "memory" in controllers.split(","):
            version, mount = V1, mounts.get("memory", ("/sys/fs/cgroup/memory", "/"))
        else:
            continue
        top = root / mount[0].lstrip("/")
        inside = _inside(path, mount[1])
        found += [(top.joinpath(*inside[:depth]), version) for depth in range(len(inside), -1, -1)]
    return found


def _inside(path: str, mounted: str) -> tuple[str, ...]:
    """The steps from the mount's folder to the group.  In a container the mount may begin at the container's group."""
    steps = [step for step in PurePosixPath(path).parts if step not in ("/", "..")]
    base = [step for step in PurePosixPath(mounted).parts if step not in ("/", "..")]
    return tuple(steps[len(base) :] if steps[: len(base)] == base else steps)


def _mounts(root: Path) -> dict[str, tuple[str, str]]:
    """ "cgroup2" and "memory" → where they are mounted, and which group stands there."""
    found: dict[str, tuple[str, str]] = {}
    try:
        lines = (root / "proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            found.setdefault("cgroup2", (fields[4], fields[3]))
        elif kind[0] == "cgroup" and "memory" in kind[2].split(","):
            found.setdefault("memory", (fields[4], fields[3]))
    return found


def _of_group(root: Path, group: Path, version: _Version) -> Available | None:
    """What one cgroup leaves; None without a limit.  A limit beside a use that cannot be read leaves nothing."""
    name = "/" + str(group.relative_to(root))
    try:
        text = (group / version.limit).read_text().strip()
    except OSError:
        return None  # the root group has no such file
    if text == "max":
        return None
    try:
        limit = int(text)
        if limit >= NO_LIMIT:
            return None
        use = int((group / version.use).read_text())
        use = max(use - _reclaimable(group, version), 0)
    except (OSError, ValueError):
        warning = f"{name} limits memory, but its use cannot be read"
        log.warning(warning)
        return Available(0, int(text) if text.isdigit() else 0, name, warning)
    return Available(max(limit - use, 0), limit, name)


def _reclaimable(group: Path, version: _Version) -> int:
    """Bytes of file cache that the kernel gives back before it kills; 0 when it does not say."""
    try:
        lines = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [version.reclaimable]), 0)
