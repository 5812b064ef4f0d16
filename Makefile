EXTRA =
SERVE = 1
SEED  =
PORT  = 8000
DB    = fathom.db
ARGS  =
NAME  =
JOBS  = 3

BIN = .venv/bin

.PHONY: help setup demo test pytest test-full check fix bench golden family serve clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

setup: ## Make .venv, with the packages for this machine. EXTRA=cpu or gpu decides otherwise.
	@.ci/setup $(EXTRA)

demo: setup ## Evaluate two small models on a fresh seed with vLLM, then serve the results. SERVE=0 SEED= PORT=8000
	@set -e; export HF_HUB_OFFLINE=1; seed="$(SEED)"; \
	test -n "$$seed" || seed=$$($(BIN)/python -c 'import secrets; print(secrets.token_hex(8))'); \
	echo "seed $$seed"; \
	for model in reference/pebble reference/pebble-early; do \
	  $(BIN)/fathom run --model $$model --suite quick --engine vllm --seed $$seed --db demo.db; \
	done; \
	test "$(SERVE)" = 0 || $(BIN)/fathom serve --db demo.db --port $(PORT)

test: setup ## Check the code and run the tests, offline. ARGS=--quick for 90 seconds, ARGS='tests/tasks -k depo' for some.
	@.ci/needs
	@$(MAKE) --no-print-directory -j2 check pytest

pytest: setup # beside the checks of `check`, which take a minute of one core
	@PYTHONDONTWRITEBYTECODE= HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-full: ## Run the exhaustive variants as well: every level, view and README line in a process of its own.
	@$(MAKE) test ARGS="--full $(ARGS)"

check: setup ## Lint, format check, types and import rules; changes nothing.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: setup ## Format the code and mend what the linter can mend.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## Time the generators and the harness beside their peers.
	$(BIN)/python -m tests.bench.run

golden: setup ## Write the pinned items and pages anew; then read the diff.
	$(BIN)/python tests/golden/write.py

family: setup ## Check one family: contract, pinned items (written if there are none), gallery. NAME=depo
	@test -n "$(NAME)" || { echo "name a family: make family NAME=depo"; exit 2; }
	@$(BIN)/python tests/golden/write.py --missing $(NAME)
	@HF_HUB_OFFLINE=1 $(BIN)/pytest -q --full tests/tasks -k "$(NAME)"
	@$(BIN)/fathom gallery

serve: setup ## Serve the leaderboard. DB=fathom.db PORT=8000
	$(BIN)/fathom serve --db $(DB) --port $(PORT)

clean: ## Remove .venv, caches and demo.db; never fathom.db.
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache demo.db*
	find harness server tasks tests -name __pycache__ -prune -exec rm -rf {} +
