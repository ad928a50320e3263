PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test test-all bridge-test bench lint lock clean

demo: .venv/installed  ## DDPM against NCSN on real digits: runs/demo/report.html
	$(BIN)/python -m experiments compare --config=configs/digits/ddpm_vs_ncsn.py --workdir=runs/demo

test: .venv/installed lint  ## all tests but the slow ones
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-all: .venv/installed lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

bridge-test: .venv/installed  ## torch, diffusers and torch-fidelity, for the tests that skip without them
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e .[bridge-test]
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps torch-fidelity==0.4.0

bench: .venv/installed  ## steps of training and sampling, and samplers, beside those of diffusers and plain PyTorch: runs/bench
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e .[bench]
	$(BIN)/python -m benchmarks.steps --out runs/bench
	$(BIN)/python -m benchmarks.overhead --out runs/bench

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

.venv/installed: setup.py requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

lock:  ## pins every package for every Python that jax supports
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --extra dev --no-emit-index-url --no-header setup.py -o requirements.lock

clean:
	rm -rf .venv runs build *.egg-info
