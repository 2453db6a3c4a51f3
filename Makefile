# Every target sets up what it needs by itself. You need Python 3.11 to 3.13, make, Git.
# No target reads a variable: commands with arguments are `python -m tools.NAME`.
.DEFAULT_GOAL := help
.PHONY: help setup repro plan demo test test-long bench lint format lock clean-work

# Stages are started by DVC, as `python`.
IN_VENV := PATH="$$PWD/.venv/bin:$$PATH" .venv/bin/python -m
INSTALL := .venv/bin/python -m pip install --quiet --disable-pip-version-check

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 18

setup: .venv/.ready ## create .venv from requirements.lock (once; the other targets do it by themselves)

# The mark is there from the start, but old until all is installed: by it make knows its own .venv.
.venv/.ready: requirements.lock
	@if [ -e .venv ] && [ ! -e $@ ]; then \
	    echo 'make: error: .venv is not from make; move it away, or install requirements.lock into it' \
	        'and `touch $@`' >&2; exit 1; fi
	@for python in python3 python3.13 python3.12 python3.11; do \
	    [ ! -e $@ ] && "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	        2> /dev/null && { "$$python" -m venv .venv && touch -t 200001010000 $@ || rm -rf .venv; }; done; \
	    [ -e $@ ] || { echo 'make: error: no Python 3.11, 3.12 or 3.13 with venv on the PATH' >&2; exit 1; }
	@echo 'Once: pip installs requirements.lock into .venv, 3 GB. It takes one to three minutes, and says nothing meanwhile.'
	@$(INSTALL) --requirement requirements.lock
	@touch $@

# What the extras of pyproject.toml add to requirements.lock.
.venv/.cluster .venv/.bench: .venv/.%: .venv/.ready
	@$(INSTALL) --constraint requirements.lock '.[$*]'
	@touch $@

repro: plan ## run every stage that is not up to date; list them first, with an estimate of the time
	@$(IN_VENV) dvc repro

plan: .venv/.ready ## list what `make repro` would run, with an estimate of the time
	@$(IN_VENV) stages.params
	@$(IN_VENV) tools.plan

demo: .venv/.ready ## run the whole pipeline on a small sample, in a scratch copy, without a network
	@$(IN_VENV) tools.demo
	@echo 'In the demo ResNet50 and VGG16 have random weights: their numbers only show that everything runs.'

# In two processes; each takes whole files, in the order that tests/conftest.py gives.
test: lint ## lint, and all but the long tests
	@$(IN_VENV) pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "not long"

test-long: lint .venv/.cluster .venv/.bench ## lint, and every test
	@$(IN_VENV) pytest

bench: .venv/.bench ## measure this pipeline's speed against Keras and PyTorch
	@$(IN_VENV) benchmarks

lint: .venv/.ready ## check the code's style
	@$(IN_VENV) ruff check
	@$(IN_VENV) ruff format --check

format: .venv/.ready ## format the code and fix what the linter can fix
	@$(IN_VENV) ruff check --fix
	@$(IN_VENV) ruff format

lock: .venv/.ready ## pin the newest packages that pyproject.toml allows
	@$(INSTALL) uv
	@.venv/bin/uv pip compile pyproject.toml --extra test --universal --python-version 3.11 --upgrade \
	    --no-emit-index-url --no-emit-find-links --no-header --no-annotate --output-file requirements.lock

clean-work: ## delete downloads, unfinished work and the demo (not DVC's cache)
	rm -rf .work
