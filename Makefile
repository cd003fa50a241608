# Two commands matter: `make run` and `make test`. Both set up what they need; stamp files make the second time quick.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
NODE := .ci/with-node
PAGES := streamer/web/dist/watch.html
PYTEST := $(BIN)/python -m pytest
export PYTHONDONTWRITEBYTECODE := 1

# TEST_NO_SKIP=1 makes everything that would be skipped a failure. `.ci/run` sets it.
export TEST_NO_SKIP ?=

.PHONY: help install dev web run test test-long test-setup checks lock docs fmt clean

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

install: $(STAMPS)/project ## the command at .venv/bin/streamer, with what it needs to run and nothing else

dev: $(STAMPS)/dev ## install, and what tests and checks need

web: $(PAGES) ## build the pages

run: install web ## a node with a demo host; ARGS="--http :9000" adds flags
	@$(BIN)/streamer serve --demo $(ARGS)

test: test-setup checks ## every check and every test but the long ones
	@$(PYTEST) -m "not long"

test-long: test-setup ## soaks, kill matrices, the large encoder matrix
	@$(PYTEST) -m long --timeout 3600

checks: dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@if [[ -d web/node_modules ]]; then $(NODE) npm --prefix web run --silent check && $(NODE) npm --prefix web run --silent test; fi

# What cannot be set up is named here and skipped by the tests, so that the rest still runs.
test-setup: dev
	@$(MAKE) web || .ci/skipped "the pages and their tests: npm packages could not be installed"
	@.ci/debian chromium chromium || .ci/skipped "browser tests: there is no chromium, and installing it needs root and apt-get"
	@.ci/native $(VENV) || .ci/skipped "tests of the part in C: it needs a C compiler, and Python's and OpenSSL's headers"
	@.ci/debian nft nftables && .ci/debian ip iproute2 || .ci/skipped "tests with a network of their own: they need nft and ip"
	@.ci/gstreamer || .ci/skipped "tests with GStreamer's webrtcbin: it is not there, and installing it needs root and apt-get"
	@.ci/debian redis-sentinel redis-server redis-sentinel || .ci/skipped "tests with Debian's Redis: it is not there, and installing it needs root and apt-get"

lock: ## make the locks anew from pyproject.toml and requirements/*.in
	@.ci/lock

docs: $(STAMPS)/project ## docs/configuration.md, from the schema
	@$(BIN)/python -m streamer.config_docs > docs/configuration.md

fmt: dev ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## back to a fresh clone
	rm -rf $(VENV) web/node_modules streamer/web/dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMPS)/venv:
	@.ci/venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/runtime: requirements/runtime.txt requirements/build.txt $(STAMPS)/venv
	$(PIP) --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@touch $@

# The build backend comes from the lock too: without isolation pip fetches nothing on its own.
$(STAMPS)/project: pyproject.toml setup.py relay/_fanout.c relay/_inbox.c relay/_stun.c $(STAMPS)/runtime
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(STAMPS)/dev: requirements/dev.txt $(STAMPS)/project
	$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

# The venv is needed where the machine's own Node.js is missing or too old.
web/node_modules/.stamp: web/package.json web/package-lock.json web/.npmrc | $(STAMPS)/venv
	$(NODE) npm --prefix web ci --no-fund --no-audit --loglevel=error
	@touch $@

$(PAGES): web/node_modules/.stamp web/vite.config.ts web/tsconfig.json $(wildcard web/*.html) web/compress.mjs $(shell find web/sdk web/watch web/i18n web/public web/console web/studio -type f)
	@$(NODE) npm --prefix web run --silent build
	@touch $@
