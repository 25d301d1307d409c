# The operator's image: docker build --tag bek-operator:0.1.0 .
#
# The base is one Python on one Debian. Rebuilds of that tag bring Debian's own mends; to have the same bytes each
# time, name it by the digest that you have tried: --build-arg BASE=python:3.13.16-slim-trixie@sha256:…
ARG BASE=python:3.13.16-slim-trixie

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# A lock is complete, so it is installed and never resolved again; no package may run a build script of its own.
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
# Compiled here, because the file system is read-only later; trusted without a look at the sources' times.
RUN /opt/bek-operator/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/bek-operator/lib \
 && /opt/bek-operator/bin/bek-operator --version

FROM ${BASE}
LABEL org.opencontainers.image.title="bek-operator" \
      org.opencontainers.image.description="Keeps a WhatsApp Flows encryption key signed on every phone number of a business" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/bek-operator /opt/bek-operator
# HOME and USER, because libraries ask for them, and a user id without a name has none.
ENV HOME=/ USER=bek-operator PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, not a name, so that Kubernetes can tell that it is not root.
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/opt/bek-operator/bin/bek-operator"]
