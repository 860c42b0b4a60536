# Everything a contributor runs. `make demo` or `make test` sets a fresh machine up.
# Needs make, a Python >= 3.11 with its venv module, and a package index.
#
#   make test PYTHON=python3.13 VENV=.venv-3.13     the same with another interpreter

VENV ?= .venv
PYTHON ?=

PY := $(VENV)/bin/python
PIP := $(PY) -m pip install -qq --disable-pip-version-check
SOURCES := src tests $(wildcard benchmarks examples)

# Tests run what is installed, not what a shell happens to point at.
unexport PYTHONPATH
unexport PYTHONHOME
# No question to the network about newer versions.
export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1

.DEFAULT_GOAL := help
.PHONY: help demo test check bench bench-profile compare-reliability mutants format clean lint format-check types coverage core-coverage wheel

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.base ## set up, then run the main job on an embedded database
	@$(VENV)/bin/pepperpy-resources demo

test: $(VENV)/.test ## set up, then run every test; branch coverage must exceed 95 %
	@$(PY) -m coverage erase
	$(PY) -m coverage run -m pytest
	@$(PY) -m coverage combine --quiet
	$(PY) -m coverage report

check: lint format-check types coverage core-coverage wheel ## lint, format, types, coverage, the wheel

lint: $(VENV)/.check
	$(PY) -m ruff check .

format-check: $(VENV)/.check
	$(PY) -m ruff format --check .

types: $(VENV)/.check $(VENV)/.test
	$(PY) -m mypy
	$(PY) -m pyright --pythonpath $(PY)

coverage: $(VENV)/.test
	@if [ -f .coverage ]; then $(PY) -m coverage report; else $(MAKE) --no-print-directory test; fi

# The core decides everything, so tests of its own see every branch of it, without the actors' help.
core-coverage: $(VENV)/.test
	@$(PY) -m coverage erase --data-file=$(VENV)/core.coverage
	@$(PY) -m coverage run --data-file=$(VENV)/core.coverage --source=pepperpy_resources.core -m pytest -q tests/core
	@$(PY) -m coverage combine --quiet --data-file=$(VENV)/core.coverage
	$(PY) -m coverage report --data-file=$(VENV)/core.coverage --fail-under=100

# The wheel alone, in an environment of its own and with the source out of sight: a file left
# out of the package or a dependency left out of pyproject.toml shows here and nowhere else.
define IMPORT_ALL
import importlib, pathlib, pkgutil, sys
import pepperpy_resources as package
home = pathlib.Path(package.__file__).resolve().parent
if not home.is_relative_to(pathlib.Path(sys.prefix).resolve()):
    sys.exit(f"imported from {home}, not from the wheel")
if not (home / "py.typed").is_file():
    sys.exit("py.typed is not in the wheel")
names = [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
names = [name for name in names if not name.endswith(".__main__")]  # importing that runs it
for name in names:
    importlib.import_module(name)
print(f"wheel: {len(names) + 1} modules import")
endef
export IMPORT_ALL

wheel: $(VENV)/.base
	@rm -rf dist
	$(PY) -m pip wheel -qq --disable-pip-version-check --no-deps --wheel-dir dist .
	@away=$$(mktemp -d) && trap 'rm -rf "$$away"' EXIT && \
	$(PY) -m venv "$$away/venv" && \
	"$$away/venv/bin/python" -m pip install -qq --disable-pip-version-check dist/*.whl && \
	cd "$$away" && \
	venv/bin/python -I -W error -c "$$IMPORT_ALL" && \
	venv/bin/pepperpy-resources --help >/dev/null

bench: $(VENV)/.bench ## measure against the peers in the same run
	@$(PY) -m benchmarks
	@$(PY) -m benchmarks.supervision

bench-profile: $(VENV)/.bench ## count the bytecodes of one cycle, by function
	@$(PY) -m benchmarks --profile

compare-reliability: $(VENV)/.reliability ## run scripted mishaps against the peers, write docs/reliability.md
	@$(PY) -m benchmarks.reliability --write docs/reliability.md

# Half an hour on two cores. mutants/ remembers what is done; deleting it begins anew.
mutants: $(VENV)/.mutants ## mutate guards and the core, and see that tests notice; ONLY=core/queueing.py for one file
	@$(PY) -m tests.mutants $(ONLY)

format: $(VENV)/.check ## format the code and mend what ruff can mend
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .

clean: ## remove the environment and everything built
	rm -rf $(VENV) dist build mutants .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up: one stamp for the environment, one for each set of dependencies ----------------

# A name on the PATH may be a shim that fails, or a Python without venv, so each is tried.
PROBE := import ensurepip, sqlite3, ssl, sys, venv; sys.exit(sys.version_info < (3, 11))

$(VENV)/.made:
	@for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	  if "$$python" -c '$(PROBE)' >/dev/null 2>&1; then \
	    echo "making $(VENV) with $$("$$python" -c 'import sys; print(sys.executable)')"; \
	    "$$python" -m venv $(VENV) && touch $@; exit; \
	  fi; \
	done; \
	echo "error: no usable Python >= 3.11 (tried: $(or $(PYTHON),python3 python3.13 python3.12 python3.11); it needs venv, ssl and sqlite3; on Debian: apt-get install python3 python3-venv); or name one: make PYTHON=/path/to/python3" >&2; \
	exit 1

$(VENV)/.base: pyproject.toml $(VENV)/.made
	@echo "installing pepperpy-resources into $(VENV)"
	@$(PIP) --editable . && touch $@

$(VENV)/.test $(VENV)/.check $(VENV)/.bench $(VENV)/.reliability $(VENV)/.mutants: $(VENV)/.%: pyproject.toml $(VENV)/.base
	@echo "installing what '$*' needs into $(VENV)"
	@$(PIP) --editable '.[$*]' && touch $@
