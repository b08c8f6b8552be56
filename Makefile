# The commands of the README. Everything lives in .venv and .demo; `make clean` takes it away.
PYTHON ?= python3
RUNNER ?= process
PROCESSES ?= 3
VENV := .venv
BIN := $(VENV)/bin
CHECKOV := $(VENV)/checkov
POLICY_CHECKER := checkov==3.3.30
TEMPLATE := covalent_awsbatch_plugin/assets/infra/template.yaml

.PHONY: demo test lint bench base-image clean

$(VENV)/%.installed: setup.py requirements.txt
	@echo "Installing into $(VENV), about a minute the first time …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

demo: $(VENV)/demo.installed
	@$(BIN)/python -m demo --runner $(RUNNER)

test: $(VENV)/dev.installed
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) $(ARGS)

lint: $(VENV)/dev.installed $(CHECKOV).installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/cfn-lint $(TEMPLATE)
	$(CHECKOV)/bin/checkov --file $(TEMPLATE) --framework cloudformation --skip-download --compact --quiet

# An environment of its own: it pins much of what the others need in other versions.
$(CHECKOV).installed: Makefile
	@$(PYTHON) -m venv $(CHECKOV)
	@$(CHECKOV)/bin/python -m pip install --quiet --disable-pip-version-check $(POLICY_CHECKER)
	@touch $@

# What docs/performance.md tells of, half an hour in all; with ARGS only the first, as ARGS say.
bench: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.scale $(ARGS)
ifeq ($(strip $(ARGS)),)
	$(BIN)/python -m benchmarks.transfers
	$(BIN)/python -m benchmarks.lattice
endif

# For machines that reach no public registry of images; as root, on Debian or Ubuntu.
base-image:
	.ci/base-image covalent-awsbatch-base:3.11

clean:
	rm -rf $(VENV) .demo build *.egg-info
