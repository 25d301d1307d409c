# The operator's image: `make image`, or docker build --tag bek-operator:0.1.0 .
#
# The base is one Python on one Debian. A rebuild picks up Debian's security fixes. No digest is pinned here: none was
# known when this was written. For the same bytes each time, name one: BASE=python:3.13.16-slim-trixie@sha256:…
ARG BASE=python:3.13.16-slim-trixie

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_COMPILE=0 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# A lock is complete, so it is installed without resolving; no package can run a build script.
# First the tools of this stage.
COPY requirements-build.txt .
RUN pip install --no-deps --only-binary :all: --require-hashes --requirement requirements-build.txt
# The environment that goes into the image has no pip.
COPY requirements.txt .
RUN python -m venv --without-pip /opt/bek-operator \
 && pip --python /opt/bek-operator/bin/python install --no-deps --only-binary :all: --require-hashes --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && pip --python /opt/bek-operator/bin/python install --no-deps dist/*.whl \
 && pip --python /opt/bek-operator/bin/python check
# What the operator never imports is removed, and every program but its own. The rest is compiled here, because the file
# system is read-only later, and used without comparing the sources' times. In the end the program must run.
COPY docker docker
RUN /opt/bek-operator/bin/python -B -m docker.drop_unused \
 && find /opt/bek-operator/bin -type f ! -name bek-operator -delete \
 && /opt/bek-operator/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/bek-operator/lib \
 && timeout 300 /opt/bek-operator/bin/python -B -m docker.check

FROM ${BASE}
LABEL org.opencontainers.image.title="bek-operator" \
      org.opencontainers.image.description="Keeps a WhatsApp Flows encryption key signed on every phone number of a business" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/bek-operator /opt/bek-operator
# HOME and USER, because libraries ask for them, and a user id without a name has none.
ENV HOME=/ USER=bek-operator PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, not a name, so that Kubernetes can check that it is not root.
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/opt/bek-operator/bin/bek-operator"]
