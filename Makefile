# Each target sets up what it needs; `make help` lists them. ARGS is passed on, for example
#   make test ARGS="-k sandbox -x"        make demo ARGS="--seed 3"
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup system demo test test-all test-programs lerobot-env ray-env mutants lint typecheck format bench clean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: system $(READY) ## build .venv and install what demo and test need

system: # packages of the operating system: installed where that is allowed, else named
	@scripts/system_packages.sh

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) scripts/check_python.py
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[room,sim,pusht,search,llm,train,dev]'
	@touch $@

demo: setup ## four simulated stations improve a policy: in the control room, or headless to the end
	@$(BIN)/enpire-tui --autonomous --room $(ARGS)

test: setup ## the tests, under ten minutes
	$(BIN)/python -m pytest -m "not long" -n 2 $(ARGS)

test-all: setup ## the tests with the long ones, then the mutants
	@scripts/system_packages.sh long
	-@PYTHON=$(PYTHON) scripts/lerobot_env.sh
	-@PYTHON=$(PYTHON) scripts/ray_env.sh
	PATH="$$(scripts/agent_programs.sh)$$PATH" $(BIN)/python -m pytest $(ARGS)
	$(BIN)/python -m tests.mutants

test-programs: setup ## Claude Code, Codex, Kimi, opencode from npm, against stand-ins of providers
	PATH="$$(scripts/agent_programs.sh)$$PATH" $(BIN)/python -m pytest tests/agents/test_programs.py $(ARGS)

lerobot-env: ## the lerobot package apart, for its test (1.5 GB)
	@PYTHON=$(PYTHON) scripts/lerobot_env.sh $(ARGS)

ray-env: ## Ray apart, for the tests of jobs under it (400 MB)
	@PYTHON=$(PYTHON) scripts/ray_env.sh $(ARGS)

mutants: setup ## each guard is taken out in turn, and a named test has to fail
	$(BIN)/python -m tests.mutants $(ARGS)

lint: setup ## ruff, and the contract between the floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

typecheck: setup ## pyright, strict outside recipes
	$(BIN)/pyright $(ARGS)

format: setup ## ruff format and the fixes that are safe
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## one benchmark: make bench NAME=wire
	$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

clean: ## remove .venv and what tools left behind
	rm -rf .venv .venv-lerobot .venv-ray build dist .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
