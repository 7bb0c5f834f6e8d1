# Everything happens in .venv; nothing is installed elsewhere. Paths are relative, since the checkout's own may
# hold a space, which also breaks the first line of scripts in .venv/bin: they are called through its python.

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test pages screenshots faults sweep mutants bench lint format messages clean

PYTHON := .venv/bin/python
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
	@echo 'make faults    what a run does when it is killed, cut off, misled; takes half an hour'
	@echo 'make sweep     kill it everywhere, and pairs of kills (SWEEP="--pairs 1000 --seed 7"); takes longer'
	@echo 'make mutants   break it in ways that the sweep has to notice'
	@echo 'make bench     what whole runs cost (CASES="idle-200 mixed-20k" SCALE=0.1 WORKERS=2); takes long'
	@echo 'make lint      ruff, mypy --strict, translations'
	@echo 'make format    let ruff put the code in order'
	@echo 'make messages  extract, update and compile translations'
	@echo 'make screenshots  take the pictures of docs/img anew'
	@echo 'make clean     remove .venv and caches'

demo: .venv/.installed
	@env -u PYTHONPATH $(PYTHON) .venv/bin/mentat-reporter.py demo

# Against the checkout, not against what is installed.
test: lint
	@$(PYTHON) -m mentat_reporter.render.catalogues compile
	@PYTHONPATH="$(CURDIR)" $(PYTHON) -m pytest -n 2 $(TESTS)

pages: .venv/.developed
	@$(PYTHON) -m mentat_reporter.render.catalogues compile
	@PYTHONPATH="$(CURDIR)" $(PYTHON) -m pytest -n 2 tests/pages

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
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/.installed: setup.py pyproject.toml $(PACKED) .venv/.created
	@echo 'Installing mentat-reporter into .venv ...'
	@$(PYTHON) -m pip install '.[embedded]'
	@touch $@

.venv/.developed: setup.py pyproject.toml .venv/.created
	@echo 'Installing mentat-reporter and what its tests need into .venv ...'
	@$(PYTHON) -m pip install '.[embedded,pynspect,pgp,dev]'
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
