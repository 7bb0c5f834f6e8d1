# Everything happens in .venv; nothing is installed elsewhere. Paths are relative, since the checkout's own may
# hold a space, which also breaks the first line of scripts in .venv/bin: they are called through its python.

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test pages test-mentat screenshots faults sweep mutants bench lint format messages clean

PYTHON := .venv/bin/python
MENTAT := .mentat/bin/python
POSTGRESQL := postgresql-15 postgresql-15-ip4r
PACKED := $(shell find mentat_reporter templates etc bin -type f ! -name '*.py[co]' ! -name '*.mo' | LC_ALL=C sort)
TESTS ?= tests/unit tests/integration tests/model
SWEEP ?= --singles all --pairs 400
CASES ?=
SCALE ?= 1
WORKERS ?= 1
BENCH ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_QUIET := 1
export PIP_ROOT_USER_ACTION := ignore

help:
	@echo 'make demo      install and try everything with sample data, nothing else needed'
	@echo 'make test      lint and the suite but for faults (TESTS=tests/unit for a part)'
	@echo 'make pages     report pages and HTML mails in a real Chromium (apt install chromium)'
	@echo 'make test-mentat  beside a Mentat of its own (apt install $(POSTGRESQL) gcc libpq-dev python3-dev)'
	@echo 'make faults    what a run does when it is killed, cut off, misled; takes half an hour'
	@echo 'make sweep     kill it everywhere, and pairs of kills (SWEEP="--pairs 1000 --seed 7"); takes longer'
	@echo 'make mutants   break it in ways that the sweep has to notice'
	@echo 'make bench     what whole runs cost (CASES="idle-200 mixed-20k" SCALE=0.1 WORKERS=2); takes long'
	@echo 'make lint      ruff, mypy --strict, translations'
	@echo 'make format    let ruff put the code in order'
	@echo 'make messages  extract, update and compile translations'
	@echo 'make screenshots  take the pictures of docs/img anew'
	@echo 'make clean     remove .venv, .mentat and caches'

demo: .venv/.installed
	@env -u PYTHONPATH $(PYTHON) .venv/bin/mentat-reporter.py demo

# Against the checkout, not against what is installed.
test: lint
	@$(PYTHON) -m mentat_reporter.render.catalogues compile
	@PYTHONPATH="$(CURDIR)" $(PYTHON) -m pytest -n 2 $(TESTS)

pages: .venv/.developed
	@$(PYTHON) -m mentat_reporter.render.catalogues compile
	@PYTHONPATH="$(CURDIR)" $(PYTHON) -m pytest -n 2 tests/pages

test-mentat: .venv/.developed .mentat/.installed
	@$(PYTHON) -m mentat_reporter.render.catalogues compile
	@PYTHONPATH="$(CURDIR)" MENTAT_PYTHON="$(CURDIR)/$(MENTAT)" MENTAT_REPORTER_MAY_NOT_SKIP=1 \
	  $(PYTHON) -m pytest -n 2 tests/mentat

screenshots: .venv/.developed
	@$(PYTHON) -m mentat_reporter.render.catalogues compile
	@PYTHONPATH="$(CURDIR):$(CURDIR)/tests" $(PYTHON) -m pages.screenshots docs/img

faults: .venv/.developed
	@$(PYTHON) -m mentat_reporter.render.catalogues compile
	@PYTHONPATH="$(CURDIR)" $(PYTHON) -m pytest -n 2 tests/faults

sweep: .venv/.developed
	@$(PYTHON) -m mentat_reporter.render.catalogues compile
	@PYTHONPATH="$(CURDIR):$(CURDIR)/tests" $(PYTHON) -m faults.sweep $(SWEEP)

mutants: .venv/.developed
	@$(PYTHON) -m mentat_reporter.render.catalogues compile
	@PYTHONPATH="$(CURDIR):$(CURDIR)/tests" $(PYTHON) -m faults.mutants

bench: .venv/.developed
	@$(PYTHON) -m mentat_reporter.render.catalogues compile
	@PYTHONPATH="$(CURDIR)" $(PYTHON) -m benchmarks.bench $(CASES) --scale $(SCALE) --workers $(WORKERS) $(BENCH)

lint: .venv/.developed
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@$(PYTHON) -m mentat_reporter.render.catalogues check

format: .venv/.developed
	@$(PYTHON) -m ruff check --fix-only .
	@$(PYTHON) -m ruff format .

messages: .venv/.developed
	@$(PYTHON) -m mentat_reporter.render.catalogues extract
	@$(PYTHON) -m mentat_reporter.render.catalogues update
	@$(PYTHON) -m mentat_reporter.render.catalogues compile

clean:
	@rm -rf .venv .mentat build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/.installed: setup.py pyproject.toml $(PACKED) .venv/.created
	@echo 'Installing mentat-reporter into .venv ...'
	@$(PYTHON) -m pip install '.[embedded]'
	@touch $@

.venv/.developed: setup.py pyproject.toml .venv/.created
	@echo 'Installing mentat-reporter and what its tests need into .venv ...'
	@$(PYTHON) -m pip install '.[embedded,pynspect,pgp,dev]'
	@touch $@

# An environment of its own: what Mentat needs is no business of the reporter's. psycopg-c, which it needs, has no
# wheels and is compiled.
.mentat/.installed: tests/mentat/requirements.txt .venv/.created
	@lacking=; \
	command -v gcc >/dev/null || lacking="$$lacking gcc"; \
	pg_config --includedir >/dev/null 2>&1 || lacking="$$lacking libpq-fe.h"; \
	$(PYTHON) -c 'import os, sysconfig; open(os.path.join(sysconfig.get_path("include"), "Python.h"))' \
	  2>/dev/null || lacking="$$lacking Python.h"; \
	if [ -n "$$lacking" ]; then \
	  echo "To compile psycopg-c, which mentat-ng needs, these are missing:$$lacking;" \
	    'install them (Debian, Ubuntu: apt install gcc libpq-dev python3-dev).' >&2; \
	  exit 1; \
	fi
	@echo 'Installing Mentat into .mentat ...'
	@$(PYTHON) -m venv --clear .mentat
	@$(MENTAT) -m pip install -r tests/mentat/requirements.txt
	@touch $@

.venv/.created:
	@for name in python3.13 python3.12 python3.11 python3 python3.14 ''; do \
	  if [ -z "$$name" ]; then \
	    echo 'Python 3.11 or newer is missing; install it (Debian, Ubuntu: apt install python3 python3-venv).' >&2; \
	    exit 1; \
	  fi; \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
	done; \
	if ! "$$name" -c 'import venv, ensurepip' 2>/dev/null; then \
	  echo "$$name has no venv module; install it (Debian, Ubuntu: apt install $${name}-venv, or python3-venv)." >&2; \
	  exit 1; \
	fi; \
	echo "Creating .venv with $$("$$name" --version) ..."; \
	"$$name" -m venv --clear .venv
	@touch $@
