PYTHON ?= python3
VENV := .venv/bin
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
# docker-compose.yml requires these variables for services that run.
UNUSED := SECRET_KEY=unused POSTGRES_PASSWORD=unused
# tests/conftest.py chooses the number of workers. A worker without tests takes some from another, but tests that
# share a site stay together, the longest first.
PARALLEL := -n auto --dist worksteal
PARALLEL_SITES := -n logical --dist loadgroup
HELM := helm.sh/helm/v3/cmd/helm@v3.16.4
KUBE_SCORE := github.com/zegl/kube-score/cmd/kube-score@v1.20.0
# Their sources have the schemas of the custom resources in deploy/helm.
CUSTOM_RESOURCES := github.com/kedacore/keda/v2@v2.15.1 github.com/prometheus-operator/prometheus-operator@v0.76.0
export PORT COMMIT
# Our programs and tests start many processes, each of which would compile the same thousand modules.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run serve worker beat docs test test-system test-browser test-postgres test-s3 check-deploy test-often mutants check format admin manage redis-cache-cli redis-store-cli docker-build docker-test lock engine clean python

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: python ## start everything, load the samples, show where to look (PORT=8000)
	@$(PYTHON) run/install.py run
	@$(VENV)/python -m run.stack

serve: python ## start the web server alone, as in production: all settings from the environment (PORT=8000)
	@$(PYTHON) run/install.py run
	@WEB_PORT=$${WEB_PORT:-$${PORT:-8000}} exec $(VENV)/python -m run.web

worker: python ## start a worker alone, in the same way
	@$(PYTHON) run/install.py run
	@exec $(VENV)/python -m celery --quiet -A tecken worker --loglevel info

beat: python ## start beat alone, which sends the scheduled jobs, in the same way
	@$(PYTHON) run/install.py run
	@exec $(VENV)/python -m celery --quiet -A tecken beat --loglevel info

test: python ## run all tests except the slow ones, in parallel (ARGS="-k name", ARGS="-n 0 -x")
	@$(PYTHON) run/install.py dev
	@$(VENV)/python -m pytest $(PARALLEL) $(ARGS)

test-system: python ## run the slow tests: whole sites of many processes, with faults (ARGS="-k name")
	@$(PYTHON) run/install.py dev
	@$(VENV)/python -m pytest tests/system $(PARALLEL_SITES) $(ARGS)

test-postgres: python ## run the tests on PostgreSQL: DATABASE_URL, else a private server (ARGS="-k name")
	@$(PYTHON) run/install.py dev
	@$(VENV)/python -m tests.support.postgres $(VENV)/python -m pytest $(PARALLEL) $(ARGS)

test-browser: python ## run every page and flow in Chromium (ARGS="-k name")
	@$(PYTHON) run/install.py dev
	@$(PYTHON) run/install.py browser
	@$(VENV)/python -m pytest tests/browser $(ARGS)

test-s3: python ## run the storage tests on a real S3 server, built with go (ARGS="-k name")
	@$(PYTHON) run/install.py dev
	@GOBIN=$(CURDIR)/.cache/go go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
	@S3_SERVER=.cache/go/versitygw $(VENV)/python -m pytest tests/contract tests/storage $(ARGS)

check-deploy: python ## check deploy/ with the programs that are installed, and those built with go (ARGS="-k helm")
	@$(PYTHON) run/install.py dev
	@$(PYTHON) run/install.py deploy
	@! command -v go >/dev/null || GOBIN=$(CURDIR)/.cache/go go install $(HELM)
	@! command -v go >/dev/null || GOBIN=$(CURDIR)/.cache/go go install $(KUBE_SCORE)
	@! command -v go >/dev/null || GOFLAGS=-mod=mod go mod download $(CUSTOM_RESOURCES)
	@PATH="$(CURDIR)/.cache/go:$$PATH" $(VENV)/python -m pytest tests/deploy $(ARGS)

test-often: python ## run the tests 20 times on a busy machine (ARGS="--runs 20 --hogs 2 -- -k name")
	@$(PYTHON) run/install.py dev
	@$(VENV)/python -m tests.support.often $(ARGS)

mutants: python ## change code of a package in small ways, and list the changes that its tests miss (ARGS="tecken/limits")
	@$(PYTHON) run/install.py dev
	@$(PYTHON) run/install.py mutants
	@$(VENV)/python -m tests.support.mutants $(ARGS)

docs: python ## make the documentation site in .cache/docs; a link that leads nowhere is an error
	@$(PYTHON) run/install.py docs
	@$(VENV)/python -m sphinx --quiet --fail-on-warning --nitpicky --fresh-env -d .cache/doctrees docs .cache/docs
	@echo "Open .cache/docs/index.html"

check: python ## format, lint, types, import contracts
	@$(PYTHON) run/install.py dev
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@$(VENV)/mypy
	@$(VENV)/lint-imports --no-logo

format: python ## format and fix what ruff can fix
	@$(PYTHON) run/install.py dev
	@$(VENV)/ruff format .
	@$(VENV)/ruff check --fix .

engine: python ## build the optional Rust engine and tecken-dump into the environment that is there (needs cargo)
	@[ -x $(VENV)/python ] || $(PYTHON) run/install.py run
	@$(VENV)/python -m run.engine

admin: python ## create the account admin of make run, or reset its password
	@$(PYTHON) run/install.py run
	@$(VENV)/python -m run.admin

manage: python ## run a management command (ARGS="symbols show FILE/ID")
	@$(PYTHON) run/install.py run
	@$(VENV)/python -m run.checkout $(ARGS)

redis-cache-cli: python ## open a command line on redis-cache (ARGS="info memory", or on stdin)
	@set -f; $(PYTHON) run/redis_cli.py cache $(ARGS)

redis-store-cli: python ## open a command line on redis-store (ARGS="config get maxmemory", or on stdin)
	@set -f; $(PYTHON) run/redis_cli.py store $(ARGS)

docker-build: ## build the images of docker-compose.yml
	@$(UNUSED) $(COMPOSE) build --build-arg COMMIT=$$(git rev-parse HEAD)

docker-test: ## run the tests in Docker (ARGS="-k name")
	@$(UNUSED) $(COMPOSE) build test
	@$(UNUSED) $(COMPOSE) run --rm --no-deps test $(ARGS)

lock: python ## pin the newest packages of requirements*.in, with hashes
	@$(PYTHON) run/install.py run
	@$(PYTHON) run/lock.py

clean: ## remove the files of make run and make test, but not your symbols (var/)
	@rm -rf .venv .venv-cli .run .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache version.json

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "Tecken needs Python 3.11 or newer, and $(PYTHON) is not (try PYTHON=python3.13)" >&2; exit 1; }
