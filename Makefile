# The two commands after a clone are `make run` and `make test`; both set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOWEST := .venv-lowest
NODE := tests/page/tools
UV := .venv-uv
SITE := .venv-site

# The suite starts hundreds of Python processes; without byte code each of them would compile all modules anew.
test test-nightly: export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test test-nightly test-lowest constraints lint lint-page format bench docs site pictures clean install uninstall

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nozzled needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	touch $@

run: $(READY)  ## print the example on a simulated printer through the HTTP API; ARGS=--exit ends after it
	@$(BIN)/nozzled demo $(ARGS)

test: $(READY)  ## all tests but the nightly ones
	$(BIN)/python -m pytest -n auto --dist worksteal --durations 15 -m 'not nightly' $(ARGS)

test-nightly: $(READY)  ## the long profile: more examples, peers, fuzzing
	NOZZLED_PROFILE=nightly $(BIN)/python -m pytest -p schemathesis.pytest.plugin -n auto --dist worksteal --timeout 1800 $(ARGS)

$(LOWEST)/.ready: pyproject.toml
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --editable . pytest pytest-timeout hypothesis \
	  $$($(PYTHON) -c 'import re, tomllib; print(*(re.sub(">=([^,]+).*", r"==\1", each) for each in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]))')
	touch $@

test-lowest: $(LOWEST)/.ready  ## the tests of threats, with the oldest version of each dependency that pyproject.toml allows
	$(LOWEST)/bin/python -m pytest -q -m 'not nightly' tests/daemon/test_http_threats.py $(ARGS)

constraints:  ## systemd/constraints.txt anew: what `make install` installs, to the byte
	$(PYTHON) -m venv $(UV)
	$(UV)/bin/python -m pip install --quiet --disable-pip-version-check uv
	printf 'hatchling>=1.25\n' | $(UV)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-emit-index-url --custom-compile-command 'make constraints' -o systemd/constraints.txt pyproject.toml -

lint: $(READY)  ## every check that CI makes besides the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(NODE)/node_modules/.ready: $(NODE)/package-lock.json
	cd $(NODE) && npm ci --ignore-scripts
	touch $@

lint-page:  ## types and lint of the page, by tools of npm; nothing else here needs them
ifneq ($(shell command -v npm),)
	@$(MAKE) --no-print-directory $(NODE)/node_modules/.ready
	$(NODE)/node_modules/.bin/tsc --project $(NODE)
	$(NODE)/node_modules/.bin/biome lint --error-on-warnings --config-path=$(NODE) daemon/front/page daemon/farm/page
else
	@echo 'SKIPPED: types and lint of the page, as there is no npm' >&2
	@test "$$NOZZLED_NO_SKIP" != 1
endif

format: $(READY)
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(READY)  ## the benchmarks, by hand on a quiet machine
	$(BIN)/python -m bench $(ARGS)

docs: $(READY)  ## the parts of docs/ that are generated from the code
	$(BIN)/python -m daemon.core.job.diagram > docs/job-states.md
	$(BIN)/python -m gcode.recovery_diagram > docs/link-states.md
	PYTHONPATH=tests $(BIN)/python -m support.generated

$(SITE)/.ready: pyproject.toml
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check --group site
	touch $@

site: $(SITE)/.ready  ## docs/ as a site, in site/; a link that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build --strict $(ARGS)

pictures: $(READY)  ## those of both pages in docs/images; ARGS=now-dark or ARGS=farm takes one; wants Chromium
	PYTHONPATH=tests:tests/page $(BIN)/python tests/page/pictures.py $(ARGS)

install:  ## as a service, with sudo; ARGS='--wheels FOLDER' does without the network, ARGS=--no-start waits
	@systemd/install $(ARGS)

uninstall:  ## removes the service and keeps configuration and state
	@systemd/uninstall

clean:
	rm -rf $(VENV) $(LOWEST) $(UV) $(SITE) site $(NODE)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
