# Docket, every role of it: `docker build -t docket:0.1.0 .`
# The image holds no PostgreSQL: say where one is with DATABASE_URL.

FROM node:20.20.2-bookworm-slim AS console
WORKDIR /src/console
COPY console/package.json console/package-lock.json console/.npmrc ./
RUN npm ci --no-audit --no-fund --loglevel=error
COPY console ./
RUN npm run build

# It brings what librdkafka is built and linked with: make, a C compiler, pkg-config, OpenSSL and zlib.
# rust-toolchain.toml stays outside, or rustup would fetch components that only development needs.
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY events events
COPY domain domain
COPY log log
COPY platform platform
COPY command-api command-api
COPY projector projector
COPY query-api query-api
COPY docket docket
COPY tests tests
COPY migrations migrations
COPY --from=console /src/console/dist console/dist
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --release -p docket && cp target/release/docket /usr/local/bin/docket

FROM debian:12.12-slim
LABEL org.opencontainers.image.title="Docket" \
      org.opencontainers.image.description="Puts human decisions on the record: an event-sourced platform in one binary" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/docket /usr/local/bin/docket
# A number: orchestrators that refuse root look at it, and a name tells them nothing.
USER 10001:10001
ENV DOCKET_LISTEN=0.0.0.0:8080
EXPOSE 8080
# SIGTERM drains and ends within 30 seconds.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["docket", "health"]
ENTRYPOINT ["docket"]
CMD ["up"]
