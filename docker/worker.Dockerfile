# A GPU worker: `docker build -f docker/worker.Dockerfile -t fathom-worker .` in the repository's folder.
# torch and vLLM bring their CUDA 13 libraries along; the base adds what the driver expects beside them.
FROM nvidia/cuda:13.0.2-runtime-ubuntu24.04 AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /src
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev python3-dev python3-venv && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir uv==0.13.9 && python3 -m venv /opt/fathom
COPY .ci/constraints.txt .ci/build-constraints.txt .ci/
COPY pyproject.toml README.md LICENSE ./
COPY harness harness
COPY server server
COPY tasks tasks
COPY src/fathom/__init__.py src/fathom/
RUN /opt/uv/bin/uv pip install --no-cache --python /opt/fathom/bin/python --compile-bytecode --constraints .ci/constraints.txt --build-constraints .ci/build-constraints.txt ".[gpu]"

FROM nvidia/cuda:13.0.2-runtime-ubuntu24.04
# Triton compiles its launcher with gcc and Python's headers when a model is loaded.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev python3 python3-dev && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10002 fathom && useradd --uid 10002 --gid 10002 --create-home --home-dir /home/fathom --shell /usr/sbin/nologin fathom
COPY --from=build /opt/fathom /opt/fathom
# Caches lie in the home, a volume: /tmp is mounted noexec, and compiled kernels are loaded from where they are cached.
ENV PATH=/opt/fathom/bin:$PATH HOME=/home/fathom XDG_CACHE_HOME=/home/fathom/.cache HF_HOME=/home/fathom/huggingface PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /home/fathom
USER 10002:10002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "fathom.harness.service.probe", "/home/fathom/.cache/fathom/worker-alive", "120"]
ENTRYPOINT ["fathom", "worker"]
CMD ["--engine", "vllm", "--server", "https://fathom.example"]
