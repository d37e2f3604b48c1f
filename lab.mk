# The commands of every lab, this project's own checkout included. Each sets up what it needs, once.
# `make train ARGS="-p eta 0.3"` passes papermill's options on.
# PYTHON names the Python for the environment, VENV its folder: make train PYTHON=/usr/bin/python3.12 VENV=build/python3.12
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
# The first of these that runs: a version manager may put names on the PATH that only fail. One search takes half a second, so it is
# done at the first use, and once.
PYTHON ?= $(eval PYTHON := $(shell for name in python3.13 python3.12 python3.11 python3; do \
	"$$name" -c '$(SUPPORTED)' >/dev/null 2>&1 && echo "$$name" && break; done))$(PYTHON)
VENV ?= .venv
$(if $(filter 1,$(words $(VENV))),,$(error VENV=$(VENV) cannot be used: name one folder, without spaces))
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=
PORT ?= 5000

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Python keeps the bytecode of its packages, even if the shell forbids it: without it, each command takes three times as long.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help train sweep compare test lab ui clean environment

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' lab.mk $(filter-out lab.mk,$(MAKEFILE_LIST))

train: $(READY) ## train a model in a tracked run
	@$(BIN)/papermill notebooks/train.ipynb runs/train-$$(date +%Y%m%d-%H%M%S)-$$$$.ipynb $(ARGS)

sweep: $(READY) ## search parameters of a training: a small search, ARGS for another
	@$(BIN)/papermill notebooks/sweep.ipynb runs/sweep-$$(date +%Y%m%d-%H%M%S)-$$$$.ipynb -p space quick -p n_trials 8 $(ARGS)

compare: $(READY) ## compare the runs of an experiment
	@$(BIN)/papermill notebooks/compare.ipynb runs/compare-$$(date +%Y%m%d-%H%M%S)-$$$$.ipynb $(ARGS)

lab: $(READY) ## open JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=. $(ARGS)

ui: $(READY) ## open MLflow's pages on PORT (5000)
	@$(BIN)/boostlab ui --port $(PORT) $(ARGS)

test: $(READY) ## run the tests: make test ARGS="tests/data -x"
	@$(BIN)/python -m pytest -n auto --dist loadgroup $(ARGS)

# What `rm -rf $(VENV)` may delete: nothing, an empty folder or an environment, which `venv` marks by a file.
define CHECK_VENV
@test -z "$$(ls -A $(VENV) 2>/dev/null)" || test -e $(VENV)/pyvenv.cfg || { echo "VENV=$(VENV) cannot be used: it holds files and is" \
	"no environment of Python, and make would delete it. Name another folder, or delete this one yourself." >&2; exit 1; }
endef

clean: ## remove the environment, caches and builds; runs and the store stay
	$(CHECK_VENV)
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache

# Without the mark .ready, the set-up was cut off: make the environment anew. With it, bring it up to the lock.
# uv does not read pip's settings: hand over the package index that they name.
$(READY): requirements.txt pyproject.toml
	@{ test -e $@ && test -x $(BIN)/uv && $(BIN)/python -c ''; } 2>/dev/null || \
		$(MAKE) --no-print-directory environment PYTHON="$(PYTHON)"
	@rm -f $@
	@index=$$("$(PYTHON)" -m pip config list 2>/dev/null | sed -n "s/.*\.index-url='\(.*\)'/\1/p" | tail -1); \
		export UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$index}"; \
		$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt && \
		$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps $(BOOSTLAB)
	@touch $@

# The Python's own pip installs uv from the lock, and uv the rest: in a tenth of the time that pip takes.
environment:
	@test -n "$(PYTHON)" || { echo "boostlab needs Python 3.11, 3.12 or 3.13, and none of them runs here. Install one," \
		"or name it: make train PYTHON=/path/to/python3.13" >&2; exit 1; }
	@"$(PYTHON)" -c '$(SUPPORTED)' 2>/dev/null || { echo "PYTHON=$(PYTHON) cannot be used:" \
		"$$("$(PYTHON)" --version 2>&1 | tail -1). boostlab needs Python 3.11, 3.12 or 3.13." >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) has no module venv or ensurepip. Install them" \
		"(on Debian and Ubuntu: apt install python3-venv), or name another Python: make train PYTHON=/path/to/python3.13" >&2; exit 1; }
	@echo "Setting up $(VENV) with $(PYTHON) (once; less than a minute) …"
	$(CHECK_VENV)
	@rm -rf $(VENV)
	@"$(PYTHON)" -m venv --without-pip $(VENV)
	@awk '/^[^ ]/ {wanted = /^uv==/} wanted' requirements.txt >$(VENV)/uv.txt
	@"$(PYTHON)" -c 'import pip' 2>/dev/null || $(BIN)/python -m ensurepip >/dev/null
	@if test -x $(BIN)/pip3; then set -- $(BIN)/pip3; else set -- "$(PYTHON)" -m pip --python $(BIN)/python; fi; \
		"$$@" install -qq --no-deps --require-hashes -r $(VENV)/uv.txt
