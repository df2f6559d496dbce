# `make help` explains each target.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
RUN := infra/run
PORT_MLFLOW ?= 5000
PORT_API ?= 8600

.PHONY: help setup demo test lint format airflow mlflow bench quality notebook lock serve distclean

help: ## Explain each target
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: ## Create .venv from the lock, fetch the Delta jars (done by the other targets too)
	@command -v $(PYTHON) >/dev/null || sh infra/system.sh python java $(ALSO)
	@$(PYTHON) infra/setup.py $(ALSO)

demo: setup ## Run the nightly pipeline on a year of real retail data and show the result
	@infra/airflow/init
	@$(RUN) topshelf demo

test: ALSO = redis browser
test: setup ## Run every check and test
	@$(MAKE) --no-print-directory lint
	@$(RUN) pytest

lint: setup ## Check style, types and the import contracts
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@$(RUN) lint-imports

format: setup ## Format the code
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

airflow: setup ## Start Airflow's scheduler and UI on loopback (AIRFLOW_PORT=8080)
	@infra/airflow/serve

mlflow: setup ## Start MLflow's UI on loopback (PORT_MLFLOW=5000)
	@$(RUN) topshelf mlflow --port $(PORT_MLFLOW)

serve: setup ## Serve the demo's release by HTTP on loopback (PORT_API=8600) and print a key
	@$(RUN) topshelf keys add --name "make serve" --scope read --scope events | sed 's|^|API http://127.0.0.1:$(PORT_API), key: |'
	@$(RUN) topshelf serve --port $(PORT_API)

bench: setup ## Run the benchmarks and print their tables
	@for file in benchmarks/*.py; do $(RUN) python $$file || exit 1; done

quality: setup ## Measure every method on four dates of the demo's data (docs/quality.md; 10 minutes)
	@$(RUN) python -m benchmarks.quality

notebook: setup ## Execute the notebooks in place (after `make demo`)
	@$(RUN) jupyter execute --inplace notebooks/*.ipynb

lock: setup ## Resolve the dependencies anew
	@$(RUN) uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra demo --extra dev pyproject.toml -o infra/requirements.lock

distclean: ## Remove .venv and all state (.topshelf)
	rm -rf .venv .topshelf
