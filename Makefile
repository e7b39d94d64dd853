# The commands people use; `make` alone lists them.  All set-up is in desk/ops/setup.sh.
ROOT := $(CURDIR)
PYTHON_BIN := "$(ROOT)/.venv/bin/python"
MANAGE := $(PYTHON_BIN) "$(ROOT)/manage.py"

# Ten processes start from one set of compiled modules: without them every start takes three times as long.
unexport PYTHONDONTWRITEBYTECODE

LIVES := 20000
JOBS := 1

.DEFAULT_GOAL := help
.PHONY: help setup run test lint bench bench-peers soak stress screenshots doctor clean

help:  ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(lastword $(MAKEFILE_LIST)) | expand -t 20

setup:  ## virtual environment, packages and browser libraries (done by the others, too)
	@"$(ROOT)/desk/ops/setup.sh"

run: setup  ## the desk on this machine, until Ctrl-C
	@cd "$(ROOT)" && exec $(MANAGE) run

test: setup  ## the whole test suite on SQLite and PostgreSQL, then ruff and mypy
	@exec "$(ROOT)/desk/ops/test.sh"

lint: setup  ## ruff and mypy
	@cd "$(ROOT)" && $(PYTHON_BIN) -m ruff check . && $(PYTHON_BIN) -m ruff format --check . && $(PYTHON_BIN) -m mypy .

bench: setup  ## benchmarks, one table; peers beside the desk where they are installed
	@cd "$(ROOT)" && exec $(MANAGE) bench

bench-peers: setup  ## install the peers that `make bench` runs beside the desk, into var/peers
	@exec "$(ROOT)/desk/ops/peers.sh"

stress: setup  ## random lives of a desk through the kernel and an independent oracle: LIVES=200000 JOBS=2 LEDGER=file to go on
	@cd "$(ROOT)" && exec $(PYTHON_BIN) -m tests.oracle --sequences $(LIVES) --jobs $(JOBS) $(if $(LEDGER),--ledger $(LEDGER))

soak: setup  ## every drill in its long form, about five hours (manage.py soak --quick: 20 minutes)
	@cd "$(ROOT)" && exec $(MANAGE) soak

screenshots: setup  ## pictures of every page, into var/screenshots
	@cd "$(ROOT)" && exec $(MANAGE) screenshots

doctor: setup  ## check the installation
	@cd "$(ROOT)" && exec $(MANAGE) doctor

clean:  ## remove the virtual environment, browser libraries and caches; var/ with its ledger stays
	@cd "$(ROOT)" && rm -rf .venv desk/assets/node_modules desk/assets/vendor .mypy_cache .ruff_cache .pytest_cache var/jit
	@find "$(ROOT)" -name __pycache__ -type d -prune -exec rm -rf {} +
