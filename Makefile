# csi-9p: what a developer runs. Every target works alone on a fresh Debian-like machine with Go, git, make and root.

GO      ?= go
LINT    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
# The packages of the cluster lab that do not link Kubernetes, which takes minutes to compile.
LIGHT   := grep -v -e '/kubernetes$$' -e '/external/suite$$'
# How the lab compiles them, so that each is compiled once.
LAB     := env CGO_ENABLED=0 'GOFLAGS=$(GOFLAGS) -trimpath -buildvcs=false'
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)

.PHONY: build image demo test cluster guest e2e bench lint deps clean

build: ## the one binary, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.stamped=$(VERSION)' -o bin/csi-9p ./cmd/csi-9p

image: ## the container image, without a daemon: bin/image (OCI layout), bin/csi-9p-image-{amd64,arm64}.tar
	cd deploy/image && $(GO) run . -source '$(CURDIR)' -version '$(VERSION)'

demo: build ## the main job, every process of a cluster, in under 15 s
	$(GO) run ./test/demo -binary bin/csi-9p

test: deps ## every test: unit, race, conformance, mounts, CSI sanity
	./test/run
	cd deploy/image && $(GO) test -count=1 ./...
	cd test/deploy && $(GO) test -count=1 ./...
	cd test/metrics && $(GO) test -count=1 ./...
	cd test/bench && $(GO) test -count=1 ./...
	cd test/e2e && $(LAB) $(GO) test -count=1 $$($(GO) list ./... | $(LIGHT))

cluster: ## a real Kubernetes of two nodes: every scenario with pods and claims, and Kubernetes' own storage suite
	cd test/e2e && $(LAB) $(GO) run ./cmd/lab cluster --suite '$(or $(SUITE),all)' --run '$(RUN)' --overlay '$(or $(OVERLAY),lab)' $(if $(REPORT),--report '$(REPORT)')

guest: ## virtual machines with a virtio-9p device: kernels 6.1 and newer, with a vIOMMU and without; RUN=6.1-vfio/v9fs: that step; PAGE=docs/performance.md: its measurements
	cd test/e2e && $(LAB) $(GO) run ./cmd/lab guest --run '$(RUN)' $(if $(REPORT),--report '$(REPORT)') $(if $(PAGE),--page '$(abspath $(PAGE))')

e2e: guest cluster ## every test that needs more than this machine's file systems

bench: build ## every measurement of docs/performance.md, beside other file systems, in under 25 min; QUICK=1: a look, under 3, at bin/performance.md
	./test/bench/deps
	cd test/bench && $(GO) build -o ../../bin/bench .
	$(if $(QUICK),cp docs/performance.md bin/performance.md && bin/bench -quick -page bin/performance.md,bin/bench -page docs/performance.md)

lint: ## vet and golangci-lint
	$(GO) vet ./...
	$(GO) run $(LINT) run --allow-parallel-runners ./...
	cd test/deploy && $(GO) run $(LINT) run --allow-parallel-runners ./...
	cd test/bench && $(GO) run $(LINT) run --allow-parallel-runners ./...
	cd test/e2e && $(GO) run -exec "$(LAB)" $(LINT) run --allow-parallel-runners $$($(GO) list -f '{{.Dir}}' ./... | $(LIGHT))

deps: ## the Debian packages that the tests run against
	./test/deps

clean:
	rm -rf bin
