#!/usr/bin/env bash
# The peers that `make bench` measures beside the desk, each in an environment of its own under var/peers.
#
# Called by `make bench-peers` after the set-up; safe to repeat: what stands in its version is skipped.  A peer that
# cannot be installed is told and does not keep the others from it; the benchmark then shows its stored figure.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
VENV="$ROOT/.venv"
PEERS="$ROOT/var/peers"
LOG="$ROOT/var/logs/peers.log"
# name, then the packages; setuptools below 81 has the pkg_resources that vectorbt's dependencies still ask for
WANTED=(
    "nautilus nautilus_trader==1.221.0"
    "vectorbt vectorbt==1.2.0 setuptools<81"
    "backtesting backtesting==0.6.6"
    "hftbacktest hftbacktest==2.4.4"
)

mkdir -p "$PEERS" "$ROOT/var/logs"
: >"$LOG"
failed=0
[ -x "$VENV/bin/uv" ] || "$VENV/bin/python" -m pip install --quiet uv >>"$LOG" 2>&1 || {
    printf 'peers: uv cannot be installed; the reason is at the end of %s\n' "$LOG" >&2
    exit 1
}
for row in "${WANTED[@]}"; do
    read -r name packages <<<"$row"
    if [ -f "$PEERS/$name/stamp" ] && [ "$(cat "$PEERS/$name/stamp")" = "$packages" ]; then
        printf 'peers: %s stands\n' "$name"
        continue
    fi
    printf 'peers: %s\n' "$packages"
    rm -rf "${PEERS:?}/$name"
    # shellcheck disable=SC2086
    if "$VENV/bin/uv" venv --quiet --python "$VENV/bin/python" "$PEERS/$name" >>"$LOG" 2>&1 &&
        UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}" \
            UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-}}" \
            UV_INDEX="${UV_INDEX:-${PIP_EXTRA_INDEX_URL:-}}" \
            VIRTUAL_ENV="$PEERS/$name" "$VENV/bin/uv" pip install --quiet $packages >>"$LOG" 2>&1; then
        printf '%s' "$packages" >"$PEERS/$name/stamp"
    else
        printf 'peers: %s cannot be installed; the reason is at the end of %s\n' "$name" "$LOG" >&2
        tail -n 3 "$LOG" >&2
        failed=1
    fi
done
exit "$failed"
