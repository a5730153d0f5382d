# Two commands do everything on a machine with python3, venv and make: `make demo` and `make test`.
# A third, `make demo-verify`, trains a small net with torch, and tries a wrong fix and the right one on it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo demo-verify test lint clean

demo: .venv/.installed
	$(BIN)/plateau-doctor analyze examples/logs --format concise --html report.html --fail-on never
	@echo "open report.html in a browser for the curves, the evidence and the fixes"

TRAIN := $(BIN)/python examples/train_torch.py --sick unnormalized_inputs --logdir build/demo/run

demo-verify: .venv/.trains
	rm -rf build/demo
	$(TRAIN)
	$(BIN)/plateau-doctor verify build/demo/run --fix raise_lr --fix normalize_inputs --folder build/demo/trials \
		--gpus none --format concise --html report.html -- $(TRAIN)
	@echo "open report.html in a browser for the curves of control and treated"

# Files of tests in parallel: each in one process, at most four processes.
test: .venv/.tested
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile

lint: .venv/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/.tested: .venv/.installed
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

.venv/.trains: .venv/.installed
	$(BIN)/python -m pip install --quiet --editable ".[torch]"
	touch $@

clean:
	rm -rf .venv build report.html report_runs
