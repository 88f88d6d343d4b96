# docker build --tag nmfp .                              for CPUs
# docker build --tag nmfp:gpu --build-arg VARIANT=gpu .  for NVIDIA GPUs; run it with --gpus all
#
# docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/data" nmfp --cores all --configfile /opt/nmfp/config/demo.yaml
#
# Results appear in the folder mounted at /data. The GPU variant needs only a driver on the host: CUDA comes with the
# Python packages. Nobody has built it yet; docs/scaling.md says what was tried.
FROM python:3.11-slim-bookworm

ARG VARIANT=cpu

# SoX' version is the base image's: Debian keeps no older ones to pin
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends sox libsox-fmt-mp3 \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/nmfp

# packages first: a change of the code leaves this layer in the cache
COPY envs/requirements-uv.txt envs/requirements-cpu.txt envs/requirements-gpu.txt envs/
RUN python -m venv /opt/venv \
 && /opt/venv/bin/python -m pip install --no-cache-dir --require-hashes --requirement envs/requirements-uv.txt \
 && /opt/venv/bin/uv pip sync --python /opt/venv/bin/python --no-cache --require-hashes --compile-bytecode \
      "envs/requirements-${VARIANT}.txt"

COPY Snakefile pyproject.toml LICENSE ./
COPY rules/ rules/
COPY workflow/ workflow/
COPY config/ config/
COPY profiles/ profiles/
COPY envs/ envs/

RUN useradd --create-home --uid 1000 nmfp \
 && install --directory --owner=nmfp --mode=1777 /data

# any user id works (--user), also one without a name and a home of its own
ENV PATH=/opt/venv/bin:$PATH \
    USER=nmfp \
    HOME=/tmp \
    XDG_CACHE_HOME=/tmp/cache \
    TF_CPP_MIN_LOG_LEVEL=2

USER 1000
WORKDIR /data

ENTRYPOINT ["snakemake", "--snakefile", "/opt/nmfp/Snakefile"]
CMD ["--help"]
