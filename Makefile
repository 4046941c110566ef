# Every way to build, try, test and measure the project. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
.PHONY: help build release setup fmt lint test rounds demo bench bench-bridge deny

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/eson-test
# A CI checkout is a fresh one each time: what was compiled is kept outside it. Nothing there is compiled
# again after a small change, which is what the compiler would write down so much for.
ifdef CI
export CARGO_TARGET_DIR ?= $(CACHE)/target
export CARGO_INCREMENTAL ?= 0
endif

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

build: ## compile everything, tests included
	cargo build --workspace --all-targets

release: ## compile the binaries as they are to be used
	cargo build --workspace --bins --release

setup: ## install what the tests need (says where it needs root)
	@scripts/setup-tests

fmt: ## format the sources
	cargo fmt --all

lint: ## check the formatting, and lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

test: setup ## everything, against real Kafka and real BIND too
	@scripts/run-tests

rounds: setup build ## the rounds of killing alone: make rounds ROUNDS=300 SEED=1
	cargo test --workspace --test rounds -- --nocapture

demo: ## two participants, from nothing to events arriving; KEEP=1 leaves them running
	@scripts/demo

bench: setup ## measure this machine, and others beside us
	@bench/run

bench-bridge: setup ## measure bridges and distributors, beside MirrorMaker 2 and two plain loops
	@bench/run bridge sources trickle fan-out many filter

deny: ## licences and advisories of the dependencies
	@command -v cargo-deny >/dev/null || { echo "missing: cargo-deny (cargo install --locked cargo-deny)" >&2; exit 1; }
	cargo deny check
