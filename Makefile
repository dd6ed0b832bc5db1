# Bootstrap only: `make demo`, `make test`, `make setup`. Everything else is an invoke task, and
# `make X` forwards to `invoke X`; options go behind ARGS, as in: make run ARGS="--exp-id demo"

VENV := .venv
INVOKE := $(VENV)/bin/invoke
STAMP := $(VENV)/.installed
BY_UV := pip install --quiet --compile-bytecode --require-hashes --python $(VENV)/bin/python
BY_PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes
PYTHON ?= python3
ARGS ?=

.PHONY: help setup demo test

help: setup
	@echo 'make demo   a forecast on this machine: the example experiment, its table and report'
	@echo 'make test   the whole test suite; `invoke test` runs the tests of what you changed'
	@echo 'make setup  the virtual environment alone; then `source .venv/bin/activate`'
	@echo
	@$(INVOKE) --list
	@$(INVOKE) config-show --brief || true  # a broken .env is named, and hides no task

setup: $(STAMP)

demo: setup
	@$(INVOKE) run --local --exp-id demo $(ARGS)

test: setup
	@$(INVOKE) test --lane all $(ARGS)

# With uv, which is fetched where it is missing, and otherwise with pip, which takes minutes; either way only what
# the hashes allow.
$(STAMP): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'error: $(PYTHON) is older than 3.11; install a newer one, or: make setup PYTHON=python3.12' >&2; exit 2; }
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" $(VENV) && \
	  uv $(BY_UV) -r requirements-dev.txt; \
	else \
	  { $(PYTHON) -m venv $(VENV) || \
	    { echo 'error: $(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv' >&2; exit 2; }; } && \
	  { $(BY_PIP) -r docker/requirements-uv.txt && $(VENV)/bin/uv $(BY_UV) -r requirements-dev.txt || \
	    { echo 'note: uv cannot install the packages, see above; pip does' >&2; $(BY_PIP) -r requirements-dev.txt; }; }; \
	fi
	@echo 'compiling the engine for this machine, about half a minute'
	@$(VENV)/bin/python -m modeling.engine.precompile --here || true  # then the first run compiles, or says why not
	@touch $(STAMP)

# The name in older documents: make run-workflow EXP_ID=demo. Settings may be given in the same way.
.PHONY: run-workflow
run-workflow: setup
	@test -n "$$EXP_ID" || { echo 'error: EXP_ID is not set; use: make run-workflow EXP_ID=demo' >&2; exit 2; }
	@$(INVOKE) run --cloud --exp-id "$$EXP_ID" $(if $(RUN_ID),--run-id "$$RUN_ID") $(ARGS)

# made by hand or by `invoke lock`, not by the rule below
Makefile requirements-dev.txt: ;

%: setup
	@$(INVOKE) $@ $(ARGS)
