# The project's own commands; those of every lab (train, sweep, compare, test, lab, ui) are in lab.mk.
BOOSTLAB := --no-build-isolation --editable .
include lab.mk

.PHONY: lint fix docs bench lock team

lint: $(READY) ## check form, types, imports between packages, and that notebooks hold no outputs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/nbstripout --verify --keep-id --drop-empty-cells notebooks/*.ipynb

fix: $(READY) ## repair what `make lint` says, as far as tools can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format . && $(BIN)/nbstripout --keep-id --drop-empty-cells notebooks/*.ipynb

docs: $(READY) ## run the notebooks for the gallery, build the documentation into build/docs
	@BIN=$(BIN) docs/gallery.sh
	@$(BIN)/sphinx-build -W -n --keep-going -q docs build/docs $(ARGS)

team: ## start a team's server on this machine, with Docker; make team ARGS=down stops it
	@team/make-secrets team/secrets.env
	@compose="docker compose"; docker compose version >/dev/null 2>&1 || compose=docker-compose; \
		$$compose --env-file team/secrets.env -f team/compose.yaml $(or $(ARGS),up --detach --build)

bench: $(READY) ## run the benchmarks
	@$(BIN)/python -m benchmarks.train_overhead $(ARGS)
	@$(BIN)/python -m benchmarks.cross_validation $(ARGS)
	@$(BIN)/python -m benchmarks.contributions $(ARGS)
	@$(BIN)/python -m benchmarks.large_table $(ARGS)
	@$(BIN)/python -m benchmarks.scale.files $(ARGS)
	@$(BIN)/python -m benchmarks.scale.training $(if $(filter --readme,$(ARGS)),--readme)
	@$(BIN)/python -m benchmarks.scale.scoring $(if $(filter --readme,$(ARGS)),--readme)
	@$(BIN)/python -m benchmarks.scale.workers $(if $(filter --readme,$(ARGS)),--readme)
	@$(BIN)/python -m benchmarks.scale.cost_model $(if $(filter --readme,$(ARGS)),--readme)
	@$(BIN)/python -m benchmarks.live_progress $(ARGS)
	@$(BIN)/python -m benchmarks.compare_many $(ARGS)
	@$(BIN)/python -m benchmarks.kernel_start $(ARGS)
	@$(BIN)/python -m benchmarks.sweep $(ARGS)
	@$(BIN)/python -m benchmarks.sweep.coordination
	@for study in comparison gate drift folds; do $(BIN)/python -m benchmarks.calibration.$$study || exit; done
	@! docker info >/dev/null 2>&1 || $(BIN)/python -m benchmarks.serving $(ARGS)

lock: $(READY) ## lock again after a change in pyproject.toml; versions locked before stay (ARGS=--upgrade: newest)
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --group dev --output-file requirements.txt \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links $(ARGS) pyproject.toml
