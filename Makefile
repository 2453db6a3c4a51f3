# Every target sets up what it needs by itself; needed beforehand are only Python 3.11 to 3.13, make and git.
PYTHON ?= python3
READY := .venv/.ready
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup repro queue plan demo predict times verify board bench bench-long test test-fast test-long trust audit lint format lock clean-work

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(READY) ## create .venv from requirements.lock (once; the other targets do it by themselves)

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 13); \
	    sys.exit(None if ok else "make: error: $(PYTHON) is Python %d.%d; 3.11 to 3.13 is needed: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	rm -rf .venv
	@echo "Once: pip installs requirements.lock into .venv, 3 GB. It takes one to three minutes, and says nothing meanwhile."
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	touch $@

# Beside what is locked: only JOBS and `queue` need it.
.venv/.cluster: $(READY)
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock \
	    'bokeh>=3.9' 'distributed>=2026.7'
	touch $@

# Rivals. Where pip finds no build of torch for the CPU alone, this is gigabytes.
.venv/.bench: $(READY)
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock \
	    'jax>=0.10' 'torch>=2.13,<2.14'
	touch $@

repro: $(READY) $(if $(JOBS),.venv/.cluster) ## run the pipeline: whatever is not up to date (it says first what, and about how long that takes); JOBS=2 runs two stages at once
	@python -m stages.params
	@python -m tools.plan
	$(if $(JOBS),python -m tools.cluster --jobs "$(JOBS)",dvc repro)

queue: $(READY) .venv/.cluster ## run what `dvc exp run --queue` has queued, two stages at once; JOBS=4: four
	@python -m stages.params
	@python -m tools.cluster --queue --jobs "$(or $(JOBS),2)"

plan: $(READY) ## what `make repro` would run, and about how long that takes
	@python -m stages.params
	@python -m tools.plan

demo: $(READY) ## run the whole pipeline small, in a scratch copy, without network
	python -m tools.demo

predict: $(READY) ## what is on a picture: make predict IMAGE=picture.png, or a folder; MODEL=... for another model, SHOW=... for what it sees
	$(if $(IMAGE),,$(error IMAGE is not set; name a picture or a folder: make predict IMAGE=docs/ankle_boot.png))
	@python -m tools.predict $(if $(MODEL),--model "$(MODEL)") $(if $(SHOW),--show "$(SHOW)") "$(IMAGE)"

times: $(READY) ## what DVC ran last here, when, and how long each stage took
	@python -m tools.times

verify: $(READY) ## run a stage again and compare every byte: make verify STAGE=resnet@study; without STAGE the demo, three times
	@python -m tools.verify $(STAGE)

board: $(READY) ## the curves of trainings while they run, in a browser, by TensorBoard
	tensorboard --logdir .work/tensorboard

bench: $(READY) .venv/.bench ## measure this pipeline against its rivals, ten minutes; writes benchmarks/short.json and .png
	@python -m benchmarks

bench-long: $(READY) .venv/.bench ## the same in more sizes and rounds, and whole runs, growth and backends; writes benchmarks/*.json and .png
	@python -m benchmarks --long
	@python -m benchmarks.whole
	@python -m benchmarks.growth
	@python -m benchmarks.backends

test: lint ## lint, and all tests but the long ones
	pytest -m "not long"

test-long: lint .venv/.cluster .venv/.bench ## lint, and every test
	pytest

test-fast: lint ## lint and the tests that take under ten seconds each
	pytest -m "not slow and not long"

trust: $(READY) ## run the tests behind docs/trust.md and write its table: make trust, or make trust ROW=leaks
	@python -m tools.trust $(ROW)

# Apart from .venv: pip-audit and bandit bring much that the project does not need.
audit: $(READY) ## look for unsafe code (bandit), and in a database for known holes in what requirements.lock pins (pip-audit)
	@test -d .work/audit || python -m venv .work/audit
	@.work/audit/bin/python -m pip install --quiet --disable-pip-version-check 'bandit>=1.9' 'pip-audit>=2.10'
	.work/audit/bin/bandit --quiet --recursive --configfile pyproject.toml stages tools
	.work/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement requirements.lock

lint: $(READY)
	ruff check
	ruff format --check

format: $(READY) ## format the code and mend what the linter can
	ruff check --fix
	ruff format

lock: $(READY) ## pin the newest packages that pyproject.toml admits
	python -m pip install --quiet --disable-pip-version-check uv
	uv pip compile pyproject.toml --extra test --universal --python-version 3.11 --upgrade \
	    --no-emit-index-url --no-emit-find-links --no-header --no-annotate --output-file requirements.lock

clean-work: ## delete downloads and unfinished work (not DVC's cache)
	rm -rf .work
