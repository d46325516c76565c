# Two commands do everything on a fresh machine: `make quickstart` and `make test`.
# `make bench` prints the figures that README quotes; it needs an otherwise idle machine.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DB ?= joulemark.duckdb

.PHONY: quickstart test lint types contracts pytest techniques bench gate-study clean

quickstart: $(STAMP)
	$(BIN)/joulemark run scenarios/campaigns/quickstart.yaml --db $(DB)
	$(BIN)/joulemark report --db $(DB) --markdown report.md
	$(BIN)/joulemark report --db $(DB) --html report.html
	@echo
	@echo "The store is $(DB), the report is report.html (and report.md). Next:"
	@echo "  . $(BIN)/activate"
	@echo "  joulemark compare fp32-ort int8"
	@echo "  joulemark doctor"

test: lint types contracts pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports

pytest: $(STAMP)
	$(BIN)/python -m pytest -n 2

# Every compression technique, measured, and held to what is expected of it: about half an hour.
techniques: $(STAMP)
	$(BIN)/joulemark run techniques --db $(DB)
	$(BIN)/joulemark report --techniques --db $(DB) --markdown techniques.md
	$(BIN)/joulemark report --techniques --db $(DB) --expect scenarios/campaigns/techniques.expected.yaml

bench: $(STAMP)
	$(BIN)/pip install -q -c constraints.txt -e ".[bench]"
	$(BIN)/python -m tests.bench

# Whether the gate can be left switched on: live and replayed gates, and the rules of others beside it; half an hour.
gate-study: $(STAMP)
	$(BIN)/python -m tests.bench.gate_study

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev,nlp,compress,report,history]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) build dist *.egg-info
