# Targets: worker (the default), worker-torch, worker-model (a model baked in), exporter. docs/image.md; built by
# scripts/build-image.sh.

# `base`, not `runtime` nor `cudnn`: CTranslate2 brings CUDA's runtime within itself, uses no cuDNN, and of CUDA's other
# libraries cuBLAS alone, which the lock pins by hash. `runtime` would carry cuBLAS a second time, and cuSPARSE, NPP and
# NCCL for nothing. `base` gives what only NVIDIA's images have: the forward compatibility package for older drivers.
ARG BASE_IMAGE=nvidia/cuda:12.8.1-base-ubuntu24.04
ARG EXPORTER_BASE_IMAGE=ubuntu:24.04

# What a step depends on is copied, not mounted: Buildah does not look at what is mounted when it looks into its cache.

FROM ${BASE_IMAGE} AS base
COPY image/base.sh /image/
RUN /image/base.sh && rm -r /image

FROM base AS builder
COPY image/builder.sh /image/
RUN /image/builder.sh
WORKDIR /project

FROM ${EXPORTER_BASE_IMAGE} AS exporter-base
COPY image/base.sh /image/
RUN /image/base.sh && rm -r /image

FROM exporter-base AS exporter-builder
COPY image/builder.sh /image/
RUN /image/builder.sh
WORKDIR /project


# Dependencies, one stage a lock: built again when that lock changes, not when the source does. A private index: the
# secret `pip` is a pip.conf, of which no layer has a trace.
FROM builder AS worker-packages
COPY image/packages.sh /image/
COPY requirements/cuda-*.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=pip,target=/etc/pip.conf \
    /image/packages.sh cuda

FROM builder AS torch-packages
COPY image/packages.sh /image/
COPY requirements/torch-*.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=pip,target=/etc/pip.conf \
    /image/packages.sh torch

FROM exporter-builder AS exporter-packages
COPY image/packages.sh /image/
COPY requirements/exporter-*.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=pip,target=/etc/pip.conf \
    /image/packages.sh exporter


# The project itself.
FROM builder AS wheel
COPY requirements/build-*.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=pip,target=/etc/pip.conf \
    version=$(python3 -c 'import sys; print("%d%d" % sys.version_info[:2])') \
    && /build/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
        -r "requirements/build-py$version.txt"
COPY LICENSE README.md pyproject.toml ./
COPY src src
RUN /build/bin/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir /wheel .

FROM builder AS application
COPY image/application.sh /image/
COPY --from=wheel /wheel /wheel
RUN /image/application.sh

FROM exporter-builder AS exporter-application
COPY image/application.sh /image/
COPY --from=wheel /wheel /wheel
RUN /image/application.sh


# What runs. Everything is compiled beforehand: a read-only root keeps no bytecode, and each job's media child would
# compile its modules anew. So PYTHONDONTWRITEBYTECODE has nothing to forbid.
FROM base AS run
ENV PATH=/opt/transcriber-worker/bin:$PATH \
    ORT_DISABLE_TELEMETRY=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY image/config.yaml /etc/transcriber/config/config.yaml
WORKDIR /data
EXPOSE 9090
# No tini: the worker handles SIGTERM itself, and nothing becomes an orphan. Its only children are the media readers,
# which may start no process and are waited for. The chart names its command, so an entry point would not count there.
STOPSIGNAL SIGTERM
# For plain Docker and Compose; Kubernetes has the chart's probes. Alive, not ready: a paused worker mends itself.
HEALTHCHECK --interval=20s --timeout=10s --start-period=60s --retries=3 \
    CMD ["transcriber-worker", "healthcheck", "--config", "/etc/transcriber/config/config.yaml"]
ENTRYPOINT ["transcriber-worker"]
CMD ["run", "--config", "/etc/transcriber/config/config.yaml"]
LABEL org.opencontainers.image.title="transcriber-worker" \
      org.opencontainers.image.description="Self-hosted transcription worker: many audio files at once on one accelerator" \
      org.opencontainers.image.licenses="Apache-2.0"

FROM run AS worker-torch
COPY --from=torch-packages /cuda /
RUN ldconfig
COPY --from=torch-packages /opt/transcriber-worker /opt/transcriber-worker
COPY --from=application /application /
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION
USER 10001:10001

FROM run AS worker-files
COPY --from=worker-packages /cuda /
RUN ldconfig
COPY --from=worker-packages /opt/transcriber-worker /opt/transcriber-worker
COPY --from=application /application /

# A model of docs/models.md, verified while it is baked in, and offered by the image's own configuration. It comes from
# the hub, or from the build context `models`, a folder whose folders are named like the models.
FROM scratch AS models

FROM worker-files AS worker-model
ARG MODEL=large-v3-turbo
RUN --mount=type=bind,from=models,target=/from \
    sed -i "s|^model:.*|model: {name: $MODEL, cache_dir: /models, offline: true}|" /etc/transcriber/config/config.yaml \
    && if [ -d "/from/$MODEL" ]; then set -- --from /from; fi \
    && HOME=/tmp/home transcriber-worker fetch-model --config /etc/transcriber/config/config.yaml "$@" \
    && rm -rf /tmp/home
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION
USER 10001:10001

FROM exporter-base AS exporter
ENV PATH=/opt/transcriber-worker/bin:$PATH
COPY image/config.yaml /etc/transcriber/config/config.yaml
WORKDIR /data
EXPOSE 9100
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=20s --timeout=10s --start-period=20s --retries=3 \
    CMD ["transcriber-worker", "healthcheck", "--exporter", "--config", "/etc/transcriber/config/config.yaml"]
ENTRYPOINT ["transcriber-worker"]
CMD ["queue-exporter", "--config", "/etc/transcriber/config/config.yaml"]
COPY --from=exporter-packages /opt/transcriber-worker /opt/transcriber-worker
COPY --from=exporter-application /application /
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="transcriber-worker exporter" \
      org.opencontainers.image.description="Tells the backlog of a transcriber-worker's broker, and its commands without an engine" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION
USER 10001:10001

FROM worker-files AS worker
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION
USER 10001:10001
