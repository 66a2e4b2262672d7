# Everything here needs Go 1.26 or newer; `make test` says what it needs besides.

GO        ?= go
TESTFLAGS ?=
FUZZTIME  ?= 1m

GOLANGCI  := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Tests of these play clusters in virtual time on one thread, copy much data, run the
# program as processes of its own, or one command after the other. Under the race detector
# they take three to four times as long; `make race` runs them so.
PLAIN     := mxcluster/cmd/mxcluster mxcluster/commands mxcluster/internal/agent mxcluster/xdata
# These mostly wait, for clusters on a real kernel, and measure what clients see. Those that ask
# for no figures of a busy machine run two at a time; no more than one other package is tested
# beside them, first the one with the most processes at once.
LAB       := mxcluster/internal/lab

.PHONY: build test test-race test-lab test-plain race needs lint docs pictures demo fuzz bench mutants betrayals cover packages package-test package-lint upgrade-test mixed-test clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -tags grpcnotrace -o bin/mxcluster ./cmd/mxcluster

test:
	$(GO) vet ./...
	$(MAKE) --no-print-directory -k -j2 test-lab test-plain test-race

test-lab: needs
	$(GO) test -race -timeout 30m $(TESTFLAGS) $(LAB)

test-race: needs
	$(GO) test -race -p 2 -timeout 30m $(TESTFLAGS) $(filter-out $(PLAIN) $(LAB),$(shell $(GO) list ./...))

test-plain:
	$(GO) test -p 1 -timeout 30m $(TESTFLAGS) $(PLAIN)

race: needs
	$(GO) test -race -timeout 60m $(TESTFLAGS) ./...

# The race detector is linked by a C compiler; nothing else is needed. The
# tests in network namespaces run as root, or are skipped and say so.
needs:
	@if ! printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | $$($(GO) env CC) -x c -o /dev/null - 2>/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends gcc libc6-dev; \
		else \
			echo 'missing: a C compiler, for the race detector. Install it: apt-get install gcc libc6-dev' >&2; \
			echo 'The tests pass without it, too: $(GO) test ./...' >&2; \
			exit 1; \
		fi; \
	fi
	@if [ "$$(id -u)" != 0 ]; then echo 'not root: tests that need network namespaces or another user are skipped' >&2; fi

lint:
	$(GOLANGCI) run ./...

# Manual pages, docs/cli and completions are made of the commands, packaging/copyright of the
# modules. The same tests, without the variable, fail where they differ.
docs:
	UPDATE_GOLDEN=1 $(GO) test -count=1 ./internal/gendocs
	UPDATE_GOLDEN=1 $(GO) test -count=1 -run Copyright ./internal/layers

# Diagrams, of their descriptions; needs graphviz.
pictures:
	docs/pictures/build

demo:
	$(GO) run ./cmd/mxcluster lab demo

# Each fuzz target in turn, for FUZZTIME. Making each new input smaller for up to a
# minute, as Go does by default, would take nearly all of that time.
fuzz:
	@set -e; for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "$$p $$f"; \
			$(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p; \
		done; \
	done

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# What no test of the pure packages notices; docs/mutants.md says what is left and why.
mutants:
	$(GO) run ./bench/mutants ./internal/alarms
	$(GO) run ./bench/mutants ./internal/explain
	$(GO) run ./bench/mutants ./internal/whatif
	$(GO) run ./bench/mutants ./internal/events
	$(GO) run ./bench/mutants -flags '-rapid.seed=1 -rapid.nofailfile -rapid.shrinktime=0s' ./internal/failover
	$(GO) run ./bench/mutants -run 'Rule|Parse|HandEdits|Host|ValidService|Software|Members|Lock|Leav|Preload|Edits|Media|Prompts|Base|Exposed' ./clusterconf \
		rules.go rules_addresses.go rules_clusters.go rules_servers.go rules_services.go rules_software.go rules_system.go
	$(GO) run ./bench/mutants -run 'Newer|Auto|Direction|Lineage|KeptBy' ./xdata direction.go

# Lives of clusters that are betrayed, until each rule of the promise of redundancy was missed in one.
betrayals:
	MXCLUSTER_TEST_RULES=1 MXCLUSTER_TEST_SEED=1 MXCLUSTER_TEST_HOURS=2000 MXCLUSTER_TEST_LANES=2 \
		$(GO) test -v -count=1 -timeout 0 -run 'TestSimulation$$' ./internal/agent

# deb, rpm and apk in dist/; ARCHS=arm64 for others.
ARCHS ?= amd64 arm64
packages:
	@set -e; for a in $(ARCHS); do GO='$(GO)' packaging/build $$a; done
	cd dist && sha256sum *mxcluster[_-]* >SHA256SUMS

# The Debian package of the last commit, on three fresh servers with systemd in namespaces.
package-test:
	packaging/test/run

package-lint:
	packaging/lint

# Servers are upgraded from the program of another commit, and downgraded to it again.
FROM     ?= c746812
UPGRADES := RollingUpgrade|UpgradeInEveryOrder
upgrade-test:
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	git archive $(FROM) | tar -x -C "$$dir"; \
	(cd "$$dir" && CGO_ENABLED=0 $(GO) build -buildvcs=false -o "$$dir/mxcluster-$(FROM)" ./cmd/mxcluster); \
	MXCLUSTER_TEST_OLD_BINARY="$$dir/mxcluster-$(FROM)" $(GO) test -v -count=1 -timeout 2h -run '$(UPGRADES)' ./internal/lab

# The short form of it, for each commit: one cluster, whose standby is once the newer and once the older one.
mixed-test: UPGRADES := MixedCluster
mixed-test: upgrade-test

cover:
	$(GO) test -coverprofile=coverage.out ./...
	$(GO) tool cover -func=coverage.out | tail -n 1

clean:
	rm -rf bin dist coverage.out
