# One target per habit. Everything a target needs is installed first (scripts/bootstrap.py), and
# nothing is installed twice.

.DEFAULT_GOAL := help
.PHONY: help install demo test lint format translations screenshots bench chaos openapi requirements clean

PYTHON ?= python3
PYTEST_ARGS ?=
BENCH_ARGS ?=
ROUNDS ?= 20
SEED ?=
CHAOS_ARGS ?=

VENV := .venv/bin
# The first Python that finds this file's syntax strange should say so itself.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
READY := { $(PYTHON) -c '$(SUPPORTED)' || { \
	echo "relance: '$(PYTHON)' is not a Python 3.11, 3.12 or 3.13: install one and say which," \
	"as in: make $@ PYTHON=python3.12" >&2; exit 1; }; } \
	&& $(PYTHON) scripts/bootstrap.py $(if $(filter file default,$(origin PYTHON)),,--chosen)

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

install: ## set this clone up, without running anything
	@$(READY) --dev --browser

demo: ## the whole product on this machine, with simulated WhatsApp; ONCE=1 ends after one round
	@$(READY) --browser
	@exec $(VENV)/python manage.py demo $(if $(ONCE),--once)

test: ## tests; PYTEST_ARGS="-k outbox" passes through
	@$(READY) --dev --browser
	@exec $(VENV)/python -m pytest $(PYTEST_ARGS)

lint: ## formatting, types, import rules, migrations, the Compose file, addresses in lock files, dead links
	@$(READY) --dev
	@exec $(VENV)/python scripts/lint.py

format: ## let ruff put the formatting right
	@$(READY) --dev
	@$(VENV)/ruff format . && $(VENV)/ruff check --fix .

translations: ## take texts into locale/*/LC_MESSAGES/django.po and compile them
	@$(READY) --dev
	@$(VENV)/python -m scripts.translations

screenshots: ## take the pictures of docs/screenshots anew
	@$(READY) --dev --browser
	@$(VENV)/python -m scripts.screenshots

bench: ## comparisons against peers and limits; BENCH_ARGS passes through
	@$(READY) --dev --browser
	@exec $(VENV)/python -m bench $(BENCH_ARGS)

chaos: ## kill, stop and cut what the product depends on, and count; ROUNDS=200 SEED=7
	@$(READY) --dev --browser
	@exec $(VENV)/python -m tests.chaos --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(CHAOS_ARGS)

openapi: ## write docs/openapi.yaml from the code; `make lint` compares
	@$(READY) --dev
	@$(VENV)/python manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

requirements: ## compile requirements/*.in and package.json into their lock files
	@$(READY) --dev --browser
	@for set in base dev node; do \
		constraint=; [ $$set = dev ] && constraint="-c requirements/base.txt"; \
		$(VENV)/uv pip compile -q --universal --python-version 3.11 --fork-strategy fewest \
			--generate-hashes \
			--custom-compile-command "make requirements" $(UPGRADE) $$constraint \
			-o requirements/$$set.txt requirements/$$set.in || exit 1; \
	done
	@PATH="$$PATH:$(CURDIR)/$(VENV)" npm install --package-lock-only --ignore-scripts

clean: ## remove what make and runs have made, but not the database (.relance) nor .env
	rm -rf .venv node_modules .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
