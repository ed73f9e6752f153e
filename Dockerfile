# Build:  docker build -t presenced .
# Run:    docker run -v ./config:/etc/presenced:ro -v presenced:/var/lib/presenced presenced
# The config's [history] path is below /var/lib/presenced; secrets come as files below /run/secrets or /etc/presenced. For
# a listener outside of the container set `[http] listen` and `token`.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --profile dist --locked

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10787 --home-dir /var/lib/presenced --shell /usr/sbin/nologin presenced \
    && install -d -o presenced -g presenced -m 0750 /var/lib/presenced
COPY --from=build /src/target/dist/presenced /usr/bin/presenced
USER presenced
VOLUME /var/lib/presenced
ENV PRESENCED_CONFIG=/etc/presenced/config.toml
STOPSIGNAL SIGTERM
# A clean stop drains for at most ten seconds: `docker stop -t 15`.
HEALTHCHECK --interval=30s --timeout=5s CMD ["presenced", "status", "-q"]
ENTRYPOINT ["presenced"]
CMD ["run"]
