# The board: `docker build -f docker/server.Dockerfile -t fathom-server .` in the repository's folder.
FROM python:3.11.14-slim-bookworm AS build
WORKDIR /src
RUN python -m pip install --no-cache-dir uv==0.13.9 && python -m venv /opt/fathom
COPY .ci/constraints.txt .ci/build-constraints.txt .ci/
COPY pyproject.toml README.md LICENSE ./
COPY harness harness
COPY server server
COPY tasks tasks
COPY src/fathom/__init__.py src/fathom/
RUN uv pip install --no-cache --python /opt/fathom/bin/python --compile-bytecode --constraints .ci/constraints.txt --build-constraints .ci/build-constraints.txt ".[server]"

FROM python:3.11.14-slim-bookworm
RUN groupadd --gid 10001 fathom && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin fathom
COPY --from=build /opt/fathom /opt/fathom
ENV PATH=/opt/fathom/bin:$PATH HOME=/tmp XDG_CACHE_HOME=/tmp/cache PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 FATHOM_LOG=json
WORKDIR /tmp
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-m", "fathom.harness.service.probe", "http://127.0.0.1:8000/healthz"]
ENTRYPOINT ["fathom"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--workers", "2"]
