# Everything starts here: each target sets up what it needs, in .venv, on a machine with python3, python3-venv and make.
#   make setup PYTHON=python3.12                      another Python (3.10 to 3.13)
#   make setup VENV_FLAGS=--system-site-packages      the board's own picamera2, OpenCV or onnxruntime: docs/cameras.md
#   make run ARGS="--source clip.mp4"                 further arguments for the command
PYTHON ?= python3
VENV_FLAGS ?=
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check
BOARD := $(VENV)/board.stamp
WORKSTATION := $(VENV)/workstation.stamp
DOCS := $(VENV)/docs.stamp

.NOTPARALLEL:
.PHONY: help setup workstation run fleet-demo test check bench model docs environment

help:
	@echo "make run     start the terminal (without a camera: the demo)"
	@echo "make setup   prepare the environment and the models only"
	@echo "make workstation  prepare the environment for training and export only"
	@echo "make fleet-demo  three terminals around a PostgreSQL of their own, in a temporary folder"
	@echo "make test    run the test suite"
	@echo "make check   lint, types, import rule"
	@echo "make attack  attack a terminal of its own on this machine, some minutes: ARGS=\"--seconds 60 --fuzz 600\""
	@echo "make bench   measure this machine"
	@echo "make docs    build the documentation as a site, in site/"
	@echo "make model   weights -> verified, calibrated model files: export CLOCKFACE_SHARED=... first (docs/models.md)"

# A broken environment is named before anything else fails because of it.
environment:
	@if [ -e $(VENV)/bin ] && ! $(PY) -c "" 2>/dev/null; then \
		echo "error: $(VENV) does not work any more (Python was replaced?); delete it with 'rm -rf $(VENV)' and try again" >&2; exit 1; fi
	@if [ ! -e $(VENV)/bin ]; then \
		$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 10))" 2>/dev/null \
			|| { echo "error: '$(PYTHON)' is missing or older than 3.10; install one or name it: make PYTHON=python3.11 ..." >&2; exit 1; }; \
		mkdir -p $(VENV) 2>/dev/null && [ -w $(VENV) ] \
			|| { echo "error: $(CURDIR)/$(VENV) cannot be written; run make as the owner of this folder, on a disk that is not read-only" >&2; exit 1; }; \
		$(PYTHON) -m venv $(VENV_FLAGS) $(VENV) >/dev/null \
			|| { rm -rf $(VENV); echo "error: no virtual environment; 'sudo apt install python3-venv' and see that the disk is not full" >&2; exit 1; }; fi

# The stamps are newer than the requirement files they stand for, so a second start asks pip nothing.
$(BOARD): device/requirements.txt | environment
	@echo "setting up $(VENV) for the terminal (once, some 100 MB) ..."
	@$(PIP) install -r device/requirements.txt
	@touch $@

$(WORKSTATION): tests/requirements.txt docs/requirements.txt requirements.txt device/requirements.txt | environment
	@echo "setting up $(VENV) for training, export and tests (once) ..."
	@$(PIP) install -r tests/requirements.txt
	@touch $@ $(BOARD) $(DOCS)

$(DOCS): docs/requirements.txt | environment
	@echo "setting up $(VENV) for the documentation (once) ..."
	@$(PIP) install -r docs/requirements.txt
	@touch $@

setup: environment $(BOARD)
	@$(PY) -m device models pull

workstation: environment $(WORKSTATION)

run: setup
	@echo
	@echo "next: enrol yourself      $(PY) -m device enroll \"Your Name\" --camera 0      (or a photo in place of --camera 0)"
	@echo "      start the terminal  $(PY) -m device run --source 0"
	@echo "      read the log        $(PY) -m device log      (the demo has its own: --db data/demo.db)"
	@echo "      stop with Ctrl-C; what is wrong here: $(PY) -m device doctor"
	@echo
	@$(PY) -m device run $(ARGS)

fleet-demo: setup
	@$(PY) -m tests.device.fleet.demo $(ARGS)

bench: setup
	@$(PY) -m device models pull --all
	@$(PY) -m device bench $(ARGS)

model: environment $(WORKSTATION)
	@$(PY) -m device models pull --all
	@$(PY) -m export model $(ARGS)

test: environment $(WORKSTATION)
	@$(PY) -m device models pull --all || echo "models could not be pulled: the tests that need them are skipped" >&2
	@$(PY) -m pytest $(ARGS)

attack: environment $(WORKSTATION)
	@$(PY) -m device models pull --all
	@$(PY) -m tests.device.web.attack $(ARGS)

# Strict: a broken link, or a page that the navigation does not lead to, is an error. The variable silences an advertisement.
docs: environment $(DOCS)
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict
	@echo "site/index.html; with its search: $(PY) -m http.server --directory site, then http://127.0.0.1:8000"

check: environment $(WORKSTATION)
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest -q tests/test_import_rule.py
