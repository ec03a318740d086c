# Two commands do everything: `make run` and `make test`. `make help` lists the rest.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
ARGS   ?=

.PHONY: help run test lab bench bench-mapping bench-quality soak docs lint clean lock setup

help:            ## list what make can do
	@grep -hE '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

run: $(READY)    ## set up, run all six notebooks, say where the report is (ARGS="--size small" adds options)
	@$(BIN)/python run_pipeline.py $(ARGS)

test: $(READY)   ## set up, run every test (ARGS="-k lake" adds options)
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lab: $(READY)    ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=.

bench: $(READY)  ## measure whole runs: CPU and wall seconds, peak memory (ARGS="--size large"; TARGET=postgres: both)
	@$(BIN)/python -m tests.bench $(if $(TARGET),--target $(TARGET)) $(ARGS)

bench-mapping: $(READY)  ## measure a mapping by expressions beside a plain one, on 6 million lines (ARGS="--rows 600000")
	@$(BIN)/python -m tests.bench_mapping $(ARGS)

bench-quality: $(READY)  ## measure how good the checks are, against the ledger of defects (ARGS="--seeds 5 --scales 1,10,0 --show")
	@$(BIN)/python -m tests.bench_quality $(ARGS)

soak: $(READY)   ## long campaigns: thirty single days for several seeds, kills at every write (ARGS="--days 5 --seeds 1")
	@$(BIN)/python -m tests.soak $(ARGS)

# A copy of the published file: dbt would keep readers out of it.
docs: $(READY)   ## write dbt's catalog of every table and column, as they are published on DuckDB, to outputs/catalog
	@test -f data/shop.duckdb || { echo "make: data/shop.duckdb is not there: nothing is published yet. Run: make run" >&2; exit 2; }
	@mkdir -p outputs/catalog && cp data/shop.duckdb outputs/catalog/shop.duckdb
	@SHOP_WAREHOUSE_PATH=$(CURDIR)/outputs/catalog/shop.duckdb DO_NOT_TRACK=1 $(BIN)/dbt --quiet docs generate --static \
	  --project-dir sql --profiles-dir sql --target-path $(CURDIR)/outputs/catalog --log-path $(CURDIR)/outputs/catalog
	@rm outputs/catalog/shop.duckdb && echo "Catalog: $(CURDIR)/outputs/catalog/static_index.html"

lint: $(READY)   ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

lock: $(READY)   ## renew requirements.lock from the ranges in pyproject.toml
	@rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install -q ".[dev]" \
	  && $(VENV)-lock/bin/pip freeze --exclude shop-analytics > requirements.lock; rm -rf $(VENV)-lock

clean:           ## remove all data, runs and the virtual environment
	@rm -rf $(VENV) build *.egg-info sql/target; find data outputs -mindepth 1 ! -name README.md -delete
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +; rm -rf .pytest_cache .mypy_cache .ruff_cache

setup: $(READY)  ## make the virtual environment

# One recipe, whatever is asked first; done again when a dependency changes.
$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) was not found. Install Python 3.11, or name one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "Setting up $(VENV) (about a minute, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check -r requirements.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	@touch $(READY)
