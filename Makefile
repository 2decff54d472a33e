# `make help` lists the targets. SCENARIO=name picks one e2e scenario, RUNS=n how often it kills, NODES=n the size of the cluster;
# TARGET=name picks one target to fuzz, TIME=n for how many seconds; BEFORE=commit is what the scenario upgrade starts from;
# PROFILE=dev|release is how images are compiled; demo and acceptance take release, also when the environment says dev.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

CLUSTER := e2e/cluster/cluster
NODES ?= 3
RUNS ?=
SCENARIO ?=
MINUTES ?= 30
PROFILE ?= dev
export PROFILE
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/beachmaster
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
ADVISORIES := https://github.com/RustSec/advisory-db
CARGO_FUZZ_VERSION := 0.13.2
CARGO_FUZZ := $(CACHE)/cargo-fuzz-$(CARGO_FUZZ_VERSION)/bin/cargo-fuzz
# Tools that run for seconds are built fast, not fast themselves.
INSTALL := CARGO_PROFILE_DEV_DEBUG=0 nice cargo install --quiet --locked --debug
TIME ?= 60
TARGET ?=

# What the e2e harness needs to know of the cluster; asked for late, because the cluster may not exist yet.
HARNESS = export BEACHMASTER_CLUSTER_TOOL="$(CURDIR)/$(CLUSTER)"; \
          KUBECONFIG="$$($(CLUSTER) kubeconfig)"; export KUBECONFIG; \
          PATH="$$($(CLUSTER) bin-dir):$$PATH"; export PATH; \
          e2e="$$($(CLUSTER) programs)/e2e"

##@ Everyday

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Compile everything
	cargo build --workspace --all-targets

.PHONY: check
check: fmt clippy structure crds-fresh deny advisories ## What must hold of the code: format, lints, structure, generated files, dependencies

.PHONY: unit
unit: servers simulation ## Tests without Kubernetes

.PHONY: servers
servers: corpus ## All of them but the simulation; they start MariaDB servers of their own
	timeout --verbose 40m cargo test --workspace --lib --bins --test '[!s]*' --test 's[!i]*'

.PHONY: simulation
simulation: ## Simulated histories of fixed seeds, and what the simulation must find
	timeout --verbose 40m cargo test --workspace --test simulation

.PHONY: corpus
corpus: ## Logs written by real servers of both versions in every way they know, which tests read (made once, in target/)
	timeout --verbose 20m cargo test --workspace --test corpus -- --exact --nocapture the_corpus_is_there

.PHONY: fuzz
fuzz: corpus $(CARGO_FUZZ) ## Fuzz all that reads files or the network, a minute each (TIME=seconds, TARGET=name)
	fuzz/run $(CARGO_FUZZ) $(TIME) $(TARGET)

.PHONY: demo
demo: PROFILE = release
demo: cluster ## Set everything up, kill a primary, show what happens
	@$(HARNESS); "$$e2e" demo

.PHONY: test
# The tests on servers leave the cores idle for more than half of the time: what only computes runs beside them, and before that
# what the cluster lacks is built. Nothing compiles for two at once.
test: ## Everything: check, unit, fuzz, the chart, and the e2e scenarios on a cluster
	@nice -n 19 $(CLUSTER) bin-dir >/dev/null & tools=$$!; \
	  trap 'kill "$$tools" 2>/dev/null || true' EXIT; trap 'exit 130' INT TERM; \
	  $(MAKE) --no-print-directory check corpus; \
	  cargo test --quiet --workspace --no-run; \
	  wait "$$tools"
	@build="$${CARGO_TARGET_DIR:-target}"; log="$$build/beside.log"; \
	  nice -n 19 $(MAKE) --no-print-directory simulation fuzz >"$$log" 2>&1 & beside=$$!; \
	  trap 'kill "$$beside" 2>/dev/null || true' EXIT; trap 'exit 130' INT TERM; \
	  $(MAKE) --no-print-directory servers; \
	  status=0; wait "$$beside" || status=$$?; cat "$$log"; exit "$$status"
	@$(MAKE) --no-print-directory chart e2e

##@ Cluster

.PHONY: cluster
cluster: ## Start a Kubernetes on this machine (NODES=3) with the images of this work tree; with KUBECONFIG set, use that one
	@$(CLUSTER) up $(NODES)
	@$(CLUSTER) images

.PHONY: images
images: ## Compile the images of this work tree and load them into the cluster's nodes
	@$(CLUSTER) images

.PHONY: kubeconfig
kubeconfig: ## Print the kubeconfig's path: export KUBECONFIG=$(make -s kubeconfig)
	@$(CLUSTER) kubeconfig

.PHONY: cluster-down
cluster-down: ## Remove the cluster and everything it made on this machine
	@$(CLUSTER) down

.PHONY: e2e
e2e: cluster ## Run the e2e scenarios, or SCENARIO=name alone (RUNS=n)
	@$(HARNESS); failed=; for scenario in $(or $(SCENARIO),$$("$$e2e" list)); do \
	  "$$e2e" run "$$scenario" $(if $(RUNS),--runs $(RUNS)) || failed="$$failed $$scenario"; done; \
	  [ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

##@ Long series

.PHONY: acceptance
acceptance: PROFILE = release
acceptance: cluster ## Every e2e scenario TIMES=3 in a row, and the long ones; results stay in target/acceptance, and it goes on where it ended
	@$(HARNESS); e2e/acceptance "$$e2e" $(SCENARIO)

.PHONY: soak
soak: ## Simulated histories of new seeds for MINUTES=30; goes on where the last one ended (target/soak)
	@tests/simulation/soak $(MINUTES)

##@ Parts of check

.PHONY: fmt
fmt: ## Is the code formatted?
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check

.PHONY: clippy
clippy: ## Lints, as errors
	cargo clippy --workspace --all-targets -- -D warnings

.PHONY: structure
structure: ## Do files import each other in a circle? Is one too long?
	cargo test --quiet --workspace --test structure

# Of the whole workspace, like all else: with the features of one package alone every dependency would be compiled once more.
.PHONY: crds
crds: ## Generate crds/ from the Rust types
	cargo build --quiet --workspace --bins
	"$${CARGO_TARGET_DIR:-target}/debug/beachmaster" crd --out crds --out charts/beachmaster/files/crds

.PHONY: crds-fresh
crds-fresh: crds ## Is crds/ what the types say, and small enough for an annotation-free apply?
	git diff --exit-code -- crds charts/beachmaster/files/crds
	@test -z "$$(find crds -size +200000c)" || { echo "a CRD is larger than 200 kB" >&2; exit 1; }

.PHONY: chart
chart: ## Helm's lint, and the chart rendered with its switches turned
	@helm="$$($(CLUSTER) bin-dir)/helm"; \
	  "$$helm" lint --strict charts/beachmaster; \
	  deployment="$$("$$helm" template beachmaster charts/beachmaster --show-only templates/deployment.yaml)"; \
	  for line in "whenUnsatisfiable: DoNotSchedule" "nodeTaintsPolicy: Honor" "matchLabelKeys: \[pod-template-hash\]"; do \
	    grep -q "$$line" <<<"$$deployment" || { echo "the operator's pods are not kept apart: no $$line" >&2; exit 1; }; done; \
	  "$$helm" template beachmaster charts/beachmaster >/dev/null; \
	  "$$helm" template beachmaster charts/beachmaster --set replicas=1,crds.enabled=false,rbac.aggregate=false,watchNamespace=shop >/dev/null

.PHONY: deny
deny: $(CARGO_DENY) ## Banned crates, licences, sources
	$(CARGO_DENY) --locked check bans licenses sources

# No package registry carries the database: cargo-deny clones it. Without a way there a check cannot fail, so it says so.
.PHONY: advisories
advisories: $(CARGO_DENY) ## Known faults of dependencies, where their database can be reached
	@if GIT_TERMINAL_PROMPT=0 timeout 20 git ls-remote --exit-code $(ADVISORIES) HEAD >/dev/null 2>&1; then \
	  $(CARGO_DENY) --locked check advisories; \
	else echo "advisories: NOT CHECKED, because $(ADVISORIES) cannot be reached from here" >&2; fi

$(CARGO_DENY):
	@echo "building cargo-deny $(CARGO_DENY_VERSION), once: some minutes on 2 cores" >&2
	$(INSTALL) --root $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION) cargo-deny@$(CARGO_DENY_VERSION)

$(CARGO_FUZZ):
	@echo "building cargo-fuzz $(CARGO_FUZZ_VERSION), once: half a minute on 2 cores" >&2
	$(INSTALL) --root $(CACHE)/cargo-fuzz-$(CARGO_FUZZ_VERSION) cargo-fuzz@$(CARGO_FUZZ_VERSION)

.PHONY: bench
bench: ## Benchmarks: reading logs beside a plain read, and a long tail's way to replicas beside MHA's; a missed ratio fails
	cargo bench --no-fail-fast --bench scan --bench catch_up
