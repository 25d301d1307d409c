"""The CustomResourceDefinition: its file, and its installation."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.cluster.apiserver import ApiServer

CRD_FOLDER = Path(__file__).parents[3] / "crds"
CRD_NAME = "businessencryptionkeys.bek.dev"
CRD_FILE = CRD_FOLDER / f"{CRD_NAME}.yaml"
RESOURCE_PATH = "/apis/bek.dev/v1alpha1/namespaces/{namespace}/businessencryptionkeys"

SERVED_SECONDS = 30.0


class NotServedError(Exception):
    """The server accepted the definition and does not serve its objects."""


def install_crd(api_server: ApiServer) -> None:
    """Apply the folder and return once kubectl can use the objects; doing so again changes nothing.

    Raises:
        KubectlError: the server refuses the definition.
        NotServedError: it takes too long to serve its objects.
    """
    api_server.kubectl("apply", "--server-side", f"--kustomize={CRD_FOLDER}")
    api_server.wait_until_established(CRD_NAME)
    # Established does not cover the schema that `kubectl explain` and the validation of unknown fields read.
    deadline = time.monotonic() + SERVED_SECONDS
    while api_server.kubectl("explain", "bek.spec", check=False).returncode:
        if time.monotonic() > deadline:
            raise NotServedError(f"{CRD_NAME} was not served after {SERVED_SECONDS:.0f} s.")
