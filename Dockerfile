# The image of csi-9p: one static binary and its licence, nothing else.
#
#   docker buildx build --platform linux/amd64,linux/arm64 \
#     --build-arg VERSION="$(git describe --tags --always)" --build-arg REVISION="$(git rev-parse HEAD)" -t csi-9p .
#
# `make image` makes the same image without a daemon, the same byte for byte wherever it is made; deploy/image holds the
# two to each other.
ARG GO_VERSION=1.26.8

FROM --platform=$BUILDPLATFORM golang:${GO_VERSION} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=devel
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.stamped=${VERSION}" -o /out/csi-9p ./cmd/csi-9p

FROM scratch
ARG VERSION=devel
ARG REVISION=unknown
LABEL org.opencontainers.image.title="csi-9p" \
      org.opencontainers.image.description="Kubernetes CSI driver for shares that speak 9P, and a 9P exporter" \
      org.opencontainers.image.url="https://github.com/csi-9p/csi-9p" \
      org.opencontainers.image.source="https://github.com/csi-9p/csi-9p" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/csi-9p /csi-9p
COPY LICENSE /LICENSE
ENV PATH=/
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/csi-9p"]
