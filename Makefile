PYTHON ?= python3
BIN = .venv/bin
PIP = $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: demo test test-all bridge-test bench bench-all docs lint lock clean

demo: .venv/product  ## DDPM against NCSN on real digits: runs/demo/report.html
	$(BIN)/python -m experiments compare --config=configs/digits/ddpm_vs_ncsn.py --workdir=runs/demo

test: .venv/installed lint  ## all tests but the slow ones
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-all: .venv/installed lint  ## all tests: a third worker computes while another waits for a process that it started
	$(BIN)/python -m pytest -n 3 --dist worksteal

bridge-test: .venv/installed  ## torch, diffusers, transformers, torch-fidelity, for the tests that skip without them
	$(PIP) -c requirements.lock -e .[bridge-test]
	$(PIP) --no-deps torch-fidelity==0.4.0

bench: .venv/bench  ## a step of training, of sampling and of a sampler beside diffusers' and PyTorch's, minutes: runs/bench
	$(BIN)/python -m benchmarks.steps --out runs/bench --case "digits, width 32"
	$(BIN)/python -m benchmarks.overhead --out runs/bench --only ddim

bench-all: .venv/bench  ## every network and sampler of these
	$(BIN)/python -m benchmarks.steps --out runs/bench
	$(BIN)/python -m benchmarks.overhead --out runs/bench

docs: .venv/installed  ## the pages as a site: build/site/html/index.html
	$(BIN)/python -m docs.site

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

# What the product needs, at the lock's versions: less than half of what its tests and documents need.
.venv/product: setup.py requirements.lock
	$(PYTHON) -m venv .venv
	$(PIP) -c requirements.lock -e .
	touch $@

.venv/installed: .venv/product
	$(PIP) -r requirements.lock
	touch $@

# k-diffusion without what it depends on: setup.py says why.
.venv/bench: .venv/installed
	$(PIP) -c requirements.lock -e .[bench]
	$(PIP) --no-deps k-diffusion==0.1.1.post1
	touch $@

lock:  ## pins every package for every Python that jax supports
	$(PYTHON) -m venv .venv
	$(PIP) uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --extra dev --no-emit-index-url --no-header setup.py -o requirements.lock

clean:
	rm -rf .venv runs build *.egg-info
