# Each target sets up what it needs, once. `make train ARGS="-p eta 0.3"` passes papermill's options on.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=
PORT ?= 5000

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: train compare test lint lab ui bench clean

train: $(READY)
	@$(BIN)/papermill notebooks/train.ipynb runs/train-$$(date +%Y%m%d-%H%M%S)-$$$$.ipynb $(ARGS)

compare: $(READY)
	@$(BIN)/papermill notebooks/compare.ipynb runs/compare-$$(date +%Y%m%d-%H%M%S)-$$$$.ipynb $(ARGS)

test: $(READY)
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

lint: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

lab: $(READY)
	@$(BIN)/jupyter lab --notebook-dir=. $(ARGS)

ui: $(READY)
	@$(BIN)/boostlab ui --port $(PORT) $(ARGS)

bench: $(READY)
	@$(BIN)/python -m benchmarks.train_overhead $(ARGS)
	@$(BIN)/python -m benchmarks.large_table $(ARGS)
	@$(BIN)/python -m benchmarks.live_progress $(ARGS)
	@$(BIN)/python -m benchmarks.compare_many $(ARGS)
	@! docker info >/dev/null 2>&1 || $(BIN)/python -m benchmarks.serving $(ARGS)

clean:
	rm -rf .venv build lib/*.egg-info .mypy_cache .pytest_cache .ruff_cache

$(READY): requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "boostlab needs Python 3.11 or newer: install it, or name it as PYTHON=/path/to/python3."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11: name a newer one as PYTHON=/path/to/python3."; exit 1; }
	@echo "Setting up .venv (once; a minute or two) …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --require-hashes -r requirements.txt
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
