.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# --- the two commands of the README

demo: $(READY) ## generate videos, train with and without context blocks, compare (6 minutes on 2 cores)
	$(BIN)/video-gc ablate ablation=demo hydra/launcher=joblib hydra.launcher.n_jobs=2 data.workers=1
	ln -sfn ablations/demo/GC_s0 runs/demo
	$(BIN)/video-gc predict runs/demo/checkpoints/best.ckpt data/motions/alike/test/alike/0000.mp4
	$(BIN)/video-gc report runs/ablations/demo
	@echo "videos:      data/motions/alike"
	@echo "with GC:     runs/demo (config.yaml, checkpoints/, logs/, test/, predict/)"
	@echo "without:     runs/ablations/demo/without_s0"
	@echo "comparison:  runs/ablations/demo/report.html"

ablation: $(READY) ## kinds of context block on the generated videos, three seeds each (hours on 2 cores)
	$(BIN)/video-gc ablate ablation=kinds

test: lint types $(READY) ## lint, types and the test suite
	$(BIN)/python -m pytest -n 2

# --- the parts

lint: $(READY) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## mypy
	$(BIN)/mypy

test-slow: $(READY) ## the slow tests: several processes, many combinations, mutated files
	$(BIN)/python -m pytest -m slow -n 2

fuzz: $(READY) ## mutated videos, weights and indices, some thousands (FUZZ_SEED=1000 for others)
	$(BIN)/python -m pytest -m slow -k fuzz

# The other machine's Python has torch; what it lacks is in build/wheels, and .venv is not made.
WHEELS := $(wildcard build/wheels/*.whl)
GPU ?= --device cuda

gpu: $(if $(WHEELS),,$(READY)) ## all checks and figures of a GPU, 8 minutes (GPU="--device cpu" rehearses)
ifeq ($(WHEELS),)
	$(BIN)/video-gc benchmark gpu $(GPU)
else
	$(PYTHON) -m pip install --quiet --no-index --no-deps --upgrade --target build/gpu-site $(WHEELS)
	PYTHONPATH=$(CURDIR):$(CURDIR)/build/gpu-site $(PYTHON) -m video_gc benchmark gpu $(GPU)
endif

gpu-wheels: $(READY) ## wheels for `make gpu` on a machine without a network (THERE=its pip list --format=freeze)
	$(BIN)/python tools/benchmarks/gpu_steps/wheels.py $(if $(THERE),--there $(THERE))

docs: .venv/.docs ## the documentation as a site, in build/docs/index.html (a minute)
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs
	@echo "open build/docs/index.html"

.venv/.docs: $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	@touch $@

format: $(READY) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(READY) ## the virtual environment with everything in it

# Installed once; again when the bounds or the known-good versions change.
$(READY): setup.cfg setup.py pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"Python 3.11 to 3.13 is needed, not {v[0]}.{v[1]}; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

clean: ## remove caches and generated videos; trainings (runs/) stay
	rm -rf data/motions .mypy_cache .pytest_cache .ruff_cache .hypothesis

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo ablation test lint types test-slow fuzz gpu gpu-wheels docs format install clean help
