# almanac, the pinned Apache Kafka and a Java for it. docs/IMAGE.md says how to use it, scripts/test-image tries it.

FROM debian:trixie-slim AS build
WORKDIR /src
# What builds it on any other machine builds it here.
COPY scripts/setup.sh scripts/
COPY rust-toolchain.toml ./
# Java's packages want to link manual pages, for which the slim image has no directory.
RUN mkdir -p /usr/share/man/man1 && \
    bash -c 'set -euo pipefail; . scripts/setup.sh; install_missing'
ENV PATH=/root/.cargo/bin:$PATH
# All of it: Cargo reads the manifests of the tests, too.
COPY . .
RUN --mount=type=cache,target=/root/.cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked && \
    install -D --strip target/release/almanac /out/almanac
RUN ALMANAC_CACHE=/out/jars /out/almanac broker --jars && rm -f /out/jars/*.lock


FROM debian:trixie-slim
# For Kafka, and for almanac.
RUN mkdir -p /usr/share/man/man1 && \
    apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        openjdk-21-jre-headless libssl3t64 zlib1g && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log /var/log/alternatives.log
# Whose these two are is whom almanac runs as. Others may write there, too, for `docker run --user`.
RUN useradd --system --no-create-home --home-dir /files almanac && \
    install -d -o almanac -g almanac -m 1777 /var/lib/almanac /files
COPY --from=build /out/jars /usr/share/almanac
COPY --from=build /out/almanac /usr/libexec/almanac
COPY scripts/image-almanac /usr/local/bin/almanac

# Clients of this container come by ALMANAC_LOCAL, all others by ALMANAC_LISTEN, and these are told to connect to
# ALMANAC_ADVERTISE: as it is here, the port that `-p 9092:9092` publishes, to the machine itself.
ENV ALMANAC_CACHE=/usr/share/almanac \
    ALMANAC_DATA=/var/lib/almanac \
    ALMANAC_DIR=/files \
    ALMANAC_LISTEN=0.0.0.0:9092 \
    ALMANAC_ADVERTISE=localhost:9092 \
    ALMANAC_LOCAL=127.0.0.1:19092 \
    ALMANAC_DASHBOARD=0.0.0.0:8080
WORKDIR /files
EXPOSE 9092 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s CMD ["almanac", "broker", "--check"]
ENTRYPOINT ["almanac"]
CMD ["broker"]
