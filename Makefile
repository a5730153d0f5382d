# Two commands do everything on a machine with python3, venv and make: `make demo` and `make test`.
# A third, `make demo-verify`, records a small sick net in torch, and tries a wrong fix and the right one on it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo demo-verify test lint clean

demo: .venv/.installed
	$(BIN)/plateau-doctor analyze examples/logs --format concise --html report.html --fail-on never
	@echo "open report.html in a browser for the curves, the evidence and the fixes"

SEED ?= 0
TRAIN := $(BIN)/python examples/train_torch.py --sick unshuffled_data --seed $(SEED) --logdir build/demo/own

demo-verify: .venv/.trains
	rm -rf build/demo
	$(BIN)/plateau-doctor record --logdir build/demo/run -- $(TRAIN)
	$(BIN)/plateau-doctor analyze build/demo/run --format concise --fail-on never
	$(BIN)/plateau-doctor verify build/demo/run --fix raise_lr --fix shuffle_data --folder build/demo/trials \
		--gpus none --html report.html -- $(TRAIN)
	@echo "open report.html in a browser for the curves of control and treated"

# Files of tests in parallel: each in one process, at most four processes, of one thread: more would wait for each other.
test: .venv/.tested
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile

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
