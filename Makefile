# The commands of the README. Everything lives in .venv; `make clean` takes it away.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint clean

$(VENV)/%.installed: setup.py requirements.txt
	@echo "Installing into $(VENV), about a minute the first time …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

demo: $(VENV)/demo.installed
	@$(BIN)/python -m demo

test: $(VENV)/dev.installed
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build *.egg-info
