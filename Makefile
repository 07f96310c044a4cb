# After a clone, run `make run` and `make test`; both set up .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOWEST := .venv-lowest
NODE := tests/page/tools
UV := .venv-uv
SITE := .venv-site

# The suite starts hundreds of Python processes; without byte code each of them would compile all modules again.
test test-nightly: export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test test-nightly test-lowest constraints lint lint-page format bench docs site pictures clean install uninstall

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nozzled needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	touch $@

run: $(READY)  ## prints the example on a simulated printer, through the HTTP API; ARGS=--exit ends after the print
	@$(BIN)/nozzled demo $(ARGS)

test: $(READY)  ## all tests but the nightly ones
	$(BIN)/python -m pytest -n auto --dist worksteal --durations 15 -m 'not nightly' $(ARGS)

test-nightly: $(READY)  ## all tests, with more examples
	NOZZLED_PROFILE=nightly $(BIN)/python -m pytest -p schemathesis.pytest.plugin -n auto --dist worksteal --timeout 1800 $(ARGS)

$(LOWEST)/.ready: pyproject.toml
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --editable . pytest pytest-timeout hypothesis \
	  $$($(PYTHON) -c 'import re, tomllib; print(*(re.sub(">=([^,]+).*", r"==\1", each) for each in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]))')
	touch $@

test-lowest: $(LOWEST)/.ready  ## the tests of attacks over HTTP, with the oldest version of each dependency that pyproject.toml allows
	$(LOWEST)/bin/python -m pytest -q -m 'not nightly' tests/daemon/test_http_threats.py $(ARGS)

constraints:  ## updates systemd/constraints.txt, the exact packages that `make install` installs
	$(PYTHON) -m venv $(UV)
	$(UV)/bin/python -m pip install --quiet --disable-pip-version-check uv
	printf 'hatchling>=1.25\n' | $(UV)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-emit-index-url --custom-compile-command 'make constraints' -o systemd/constraints.txt pyproject.toml -

lint: $(READY)  ## ruff, its formatter, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(NODE)/node_modules/.ready: $(NODE)/package-lock.json
	cd $(NODE) && npm ci --ignore-scripts
	touch $@

lint-page:  ## types and lint of the page, with tools from npm; no other target needs npm
ifneq ($(shell command -v npm),)
	@$(MAKE) --no-print-directory $(NODE)/node_modules/.ready
	$(NODE)/node_modules/.bin/tsc --project $(NODE)
	$(NODE)/node_modules/.bin/biome lint --error-on-warnings --config-path=$(NODE) daemon/front/page daemon/farm/page
else
	@echo 'SKIPPED: types and lint of the page: npm is not installed' >&2
	@test "$$NOZZLED_NO_SKIP" != 1
endif

format: $(READY)  ## fixes and formats what ruff can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(READY)  ## lists the benchmarks; ARGS='link S2q' runs one: on a quiet machine
	$(BIN)/python -m bench $(ARGS)

docs: $(READY)  ## redraws the parts of docs/ that are generated from the code
	$(BIN)/python -m daemon.core.job.diagram > docs/job-states.md
	$(BIN)/python -m gcode.recovery_diagram > docs/link-states.md
	PYTHONPATH=tests $(BIN)/python -m support.generated

$(SITE)/.ready: pyproject.toml
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check --group site
	touch $@

site: $(SITE)/.ready  ## builds docs/ as a site in site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build --strict $(ARGS)

pictures: $(READY)  ## takes the pictures of both pages in docs/images, in Chromium; ARGS=now-dark or ARGS=farm takes one
	PYTHONPATH=tests:tests/page $(BIN)/python tests/page/pictures.py $(ARGS)

install:  ## installs the service, with sudo; ARGS='--wheels FOLDER' needs no network, ARGS=--no-start does not restart it
	@systemd/install $(ARGS)

uninstall:  ## removes the service; configuration and state stay
	@systemd/uninstall

clean:  ## removes the environments, the site and the caches
	rm -rf $(VENV) $(LOWEST) $(UV) $(SITE) site $(NODE)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
