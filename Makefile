# `make help` lists the targets. A fresh machine needs only make and Python 3.11 or later.

PYTHON ?= python3
VENV ?= .venv
BACKEND = local-process
ARGS =
SEEDS = 50
SEED =

.DEFAULT_GOAL := help
.PHONY: help demo test chaos lint types bench parity faults docs dist check-dist format clean

py := $(VENV)/bin/python
projects := VERSION pyproject.toml backends/azure/pyproject.toml backends/localdocker/pyproject.toml \
	examples/plugins/batchcore-slurm/pyproject.toml
demos := local-process local-docker azure-emulated
# pip cannot resolve the distributions one by one while they are not published.
install := $(py) -m pip install --quiet --disable-pip-version-check \
	-r examples/sum_of_powers/requirements.txt -e .
for-local-process :=
for-local-docker := -e backends/localdocker
for-azure-emulated := -e "backends/azure[emulator]"
for-slurm := -e examples/plugins/batchcore-slurm

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1@\2/p' $(MAKEFILE_LIST) | while IFS=@ read -r name text; do \
		printf '  %-10s %s\n' $$name "$$text"; done

ifeq ($(filter $(BACKEND),$(demos)),)
$(error BACKEND=$(BACKEND) has no demo; one of $(demos) has)
endif

demo: $(VENV)/.demo-$(BACKEND)-installed  ## run the example; BACKEND=local-docker or azure-emulated
ifneq ($(BACKEND),local-process)
	@$(py) tools/docker_engine.py
	@$(py) tools/worker_image.py
endif
ifeq ($(BACKEND),azure-emulated)
	@$(py) tools/azurite.py
	@$(py) -m batchcore_azure.emulator --run $(py) examples/sum_of_powers/controller.py --backend azure
else
	@$(py) examples/sum_of_powers/controller.py --backend $(BACKEND)
endif

# Without an engine, an image, Azurite or a cluster the tests still run; those that need one say so.
test: $(VENV)/.dev-installed  ## set up everything and run the tests; ARGS="-k name" goes to pytest
	@$(py) tools/docker_engine.py && $(py) tools/base_image.py || true
	@$(py) tools/azurite.py || true
	@$(py) tools/slurm.py || true
	@$(py) tools/shells.py || true
	@$(py) tools/chromium.py || true
	@$(py) tools/faketime.py || true
	@$(py) -m pytest $(ARGS)

# A seed's faults come by the clock: one that goes wrong on a busy machine may go right here.
chaos: $(VENV)/.dev-installed  ## break runs by chance: SEEDS=50 BACKEND=local-docker; SEED=17 one
	@$(py) tools/docker_engine.py && $(py) tools/base_image.py || true
	@$(py) tools/azurite.py || true
	@CHAOS_BACKEND=$(BACKEND:-emulated=) CHAOS_SEEDS=$(SEEDS) CHAOS_SEED=$(SEED) \
		$(py) -m pytest tests/chaos -q --tb=short -k no_seed $(ARGS)

lint: $(VENV)/.dev-installed  ## check style and formatting
	@$(py) -m ruff check .
	@$(py) -m ruff format --check .

types: $(VENV)/.dev-installed  ## check types
	@$(py) -m mypy

# A figure of a machine that is busy with something else says little.
bench: $(VENV)/.dev-installed  ## measure; ARGS="--only planning" measures one thing
	@$(py) benchmarks/main.py $(ARGS)

parity: $(VENV)/.dev-installed  ## hold every backend to the contract and write docs/parity.md
	@$(py) tools/parity.py

faults: $(VENV)/.dev-installed  ## run the tests of every fault in docs/guarantees.md and tell how they went
	@$(py) tools/docker_engine.py && $(py) tools/base_image.py || true
	@$(py) tools/azurite.py || true
	@$(py) tools/faketime.py || true
	@$(py) tools/faults.py

docs: $(VENV)/.dev-installed  ## build the documentation into build/docs
	@$(py) -m sphinx -b html -E -W --keep-going -q -d build/doctrees docs build/docs
	@echo "open build/docs/index.html"

dist: $(VENV)/.dev-installed  ## build the wheels and the sdists into dist
	@$(py) tools/release.py build

check-dist: dist  ## install them elsewhere without an index and run the tests; ARGS="-k name"
	@$(py) tools/release.py check $(ARGS)

format: $(VENV)/.dev-installed  ## rewrite the files in the project's style
	@$(py) -m ruff check --fix .
	@$(py) -m ruff format .

clean:  ## remove .venv and caches; run directories stay
	@rm -rf $(VENV) build dist .coverage .coverage.* htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "batchcore needs Python 3.11 or later, and $(PYTHON) is not: name one, as in make demo PYTHON=python3.12" >&2; \
		exit 1; }
	@$(PYTHON) -m venv $(VENV) >&2 || { \
		echo "$(PYTHON) could not create $(VENV); on Debian and Ubuntu: apt-get install python3-venv" >&2; \
		exit 1; }
	@touch $@

$(demos:%=$(VENV)/.demo-%-installed): $(VENV)/.demo-%-installed: $(VENV)/.created $(projects) examples/sum_of_powers/requirements.txt
	@echo "installing batchcore into $(VENV)" >&2
	@$(install) $(for-$*) >&2
	@touch $@

$(VENV)/.dev-installed: $(VENV)/.created $(projects) examples/sum_of_powers/requirements.txt requirements-dev.txt
	@echo "installing batchcore and its development tools into $(VENV)" >&2
	@$(install) $(for-local-docker) $(for-azure-emulated) $(for-slurm) -r requirements-dev.txt >&2
	@touch $@ $(demos:%=$(VENV)/.demo-%-installed)
