# annul: two commands do all set-up: `make demo` and `make test`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
export ANNUL_HOME ?= $(CURDIR)/.annul
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test check check-wheel bench mutate test-postgres drill-backup drill-kill drill-database corpus mutations drill-verifier drill-feed verify-statuslists fuzz house tour lock clean drill-overload drill-disk soak sbom mirror

help: ## show this help
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/code.done ## install annul into .venv (the command is .venv/bin/annul)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "annul needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11 demo" >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/run.done: requirements/run.lock pyproject.toml | .venv/bin/python
	@echo "annul: installing (once; hash-locked)"
	@$(BIN)/python -m pip install -q --require-hashes -r requirements/run.lock
	@$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

# What every start would compile anew otherwise (also with PYTHONDONTWRITEBYTECODE): modules, kernels, templates of the pages.
.venv/code.done: .venv/run.done $(shell find src -name '*.py' -o -name '*.html')
	@$(BIN)/python -m compileall -q src
	@$(BIN)/python -c "from annul.listings import native; from annul.registry.answering import machine; from annul.web.door import pages; native.warm(); machine.warm(); pages.warm()"
	@touch $@

.venv/dev.done: requirements/dev.lock requirements/chip.lock .venv/run.done | .venv/code.done
	@echo "annul: installing what tests need"
	@$(BIN)/python -m pip install -q --require-hashes -r requirements/dev.lock
	@if [ -e /usr/include/PCSC/winscard.h ]; then $(BIN)/python -m pip install -q --require-hashes -r requirements/chip.lock; \
	  else echo "annul: left out: cards over PC/SC (Debian packages $(shell grep -v '^#' requirements/debian.txt | xargs))"; fi
	@touch $@

demo: .venv/code.done ## start a fictional country: register, doors, credentials, four commands to try
	@$(BIN)/annul demo

test: .venv/dev.done ## run every test (under 10 minutes)
	@ANNUL_HOME= $(BIN)/python scripts/test.py

check: .venv/dev.done ## style, types, layers, dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/deptry src
	$(BIN)/python tests/vectors/generate.py
	@git diff --exit-code --stat -- tests/vectors

check-wheel: .venv/dev.done ## the wheel alone, in a clean environment and an empty folder: does it start?
	@$(BIN)/python scripts/check_wheel.py

bench: .venv/dev.done ## measure against peers in the same run and print ratios
	@$(BIN)/annul bench all

mutate: .venv/dev.done ## small faults in changed modules (or MODULES="registry/answering/quota.py …"): which do the tests not notice
	@ANNUL_HOME= $(BIN)/python scripts/mutate.py $(MODULES)

test-postgres: .venv/dev.done ## the register's tests on every PostgreSQL of this machine, 15 and later
	@for version in $$($(BIN)/python -c "from annul.registry.postgres import major_of, servers; print(*map(major_of, servers()))"); do \
	  echo "PostgreSQL $$version"; ANNUL_HOME= ANNUL_TEST_SERVER=$$version $(BIN)/python -m pytest -q -n auto tests/registry || exit 1; done

drill-backup: .venv/dev.done ## a backup of 1 million documents beside 2,000 checks/s, restored elsewhere and proved
	@ANNUL_HOME= $(BIN)/python -m tests.drills.backup

drill-kill: .venv/dev.done ## 200 x kill -9 of workers, follower, sealer and database under load
	@ANNUL_HOME= $(BIN)/python -m tests.drills.kill --kills 200

drill-database: .venv/dev.done ## database stopped for 60 s under load: checks go on, accounts complete afterwards
	@ANNUL_HOME= $(BIN)/python -m tests.drills.database --seconds 60

drill-overload: .venv/dev.done ## three times what the machine can answer: reports go on, the rest is refused with Retry-After
	@ANNUL_HOME= $(BIN)/python -m tests.drills.overload --seconds 60

drill-disk: .venv/dev.done ## disk filled and freed 20 times under load: answers come back, nothing acknowledged is lost
	@ANNUL_HOME= $(BIN)/python -m tests.drills.disk --rounds 20

SECONDS ?= 86400
soak: .venv/dev.done ## a day under load (or SECONDS=180): what grew, of every process, folder and table
	@ANNUL_HOME= $(BIN)/python -m tests.drills.soak --seconds $(SECONDS)

drill-verifier: .venv/dev.done ## 100,000 receipts changed at random: the JavaScript verifier refuses all
	@$(BIN)/python -m tests.drills.verifier --mutations 100000

drill-feed: .venv/dev.done ## 50 devices follow a register: from the report to the refusal at each of them
	@ANNUL_HOME= $(BIN)/python -m tests.drills.feed --devices 50 --reports 100

verify-statuslists: .venv/dev.done ## status lists of this register, read by the verifiers of others (needs npm)
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; cp tests/drills/status_lists.mjs "$$folder"; \
	cd "$$folder" && npm install --silent --no-audit --no-fund @sd-jwt/jwt-status-list@0.19.0 @digitalbazaar/vc-bitstring-status-list@2.0.1 && \
	cd - > /dev/null && $(BIN)/python -m tests.drills.status_lists "$$folder/lists" && node "$$folder/status_lists.mjs" "$$folder/lists"

corpus: .venv/dev.done ## read every document of the corpus, from print and chip
	@ANNUL_HOME= $(BIN)/python -m pytest -q tests/corpus

mutations: .venv/dev.done ## 1 million random faults in the corpus: none is another document in silence
	@$(BIN)/python -m tests.corpus.mutations --count 1000000

fuzz: .venv/dev.done ## 60 s of hostile input for every decoder
	@$(BIN)/python -m tests.fuzz --seconds 60

house: .venv/dev.done ## draw docs/house.md anew from the imports
	@$(BIN)/python scripts/house.py

tour: .venv/dev.done ## walk through a fresh demo and write docs/tour.md with its pictures
	@$(BIN)/python scripts/tour.py

sbom: .venv/run.done ## the bill of materials of what runs (CycloneDX), in dist/annul.cdx.json
	@test -x .venv/sbom/bin/cyclonedx-py || { $(PYTHON) -m venv .venv/sbom && .venv/sbom/bin/pip install -q -r requirements/sbom.txt; }
	@$(BIN)/python scripts/sbom.py .venv/sbom/bin/cyclonedx-py dist/annul.cdx.json

FOLDER ?= dist/wheels
mirror: .venv/run.done ## the wheels of this release in FOLDER, with their hashes; pip installs from it without a network
	@mkdir -p $(FOLDER)
	@$(BIN)/python -m pip download -q --require-hashes --only-binary :all: -r requirements/run.lock -d $(FOLDER)
	@$(BIN)/python -m pip wheel -q --no-deps --no-build-isolation -w $(FOLDER) .
	@cd $(FOLDER) && sha256sum -- *.whl > SHA256SUMS
	@$(BIN)/python -m pip install -q --dry-run --ignore-installed --no-index --find-links $(FOLDER) 'annul[demo]'
	@echo "$(FOLDER): $$(ls $(FOLDER)/*.whl | wc -l) wheels; pip install --no-index --find-links $(FOLDER) annul"

lock: .venv/bin/python ## write requirements/*.lock anew from pyproject.toml
	$(BIN)/python -m pip install -q uv
	$(call lock,pyproject.toml --extra demo requirements/build.in,run)
	$(call lock,pyproject.toml --extra demo --group dev requirements/build.in -c requirements/run.lock,dev)
	$(call lock,--extra chip pyproject.toml -c requirements/dev.lock,chip)

define lock
$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header $(1) -o requirements/$(2).lock
endef

clean: ## remove the environment and the demo's data
	rm -rf .venv .annul build dist
