"""Check an environment after `drop_unused.py`: every module can be imported, and the program starts and ends.

Nothing outside is called: the API server that it is given refuses connections.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bek_operator.controller.derivations import derive_in_child
from bek_operator.keys.derivation import Derivation
from docker.drop_unused import import_operator

PROGRAM = str(Path(sys.executable).with_name("bek-operator"))
USAGE_ERROR = 2
# Nothing listens on the port of tcpmux.
KUBECONFIG = {
    "clusters": [{"name": "none", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "none", "user": {"token": "none"}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "current-context": "none",
}


def check(condition: bool, what: str) -> None:  # noqa: FBT001 - as an assertion
    """End with an error unless a condition holds."""
    if not condition:
        sys.exit(f"check.py: {what}")


def main() -> None:
    """Check it."""
    import_operator()
    derivation = Derivation(scheme="scrypt", costs=(2**10, 255, 2), size=32, salt=bytes(8), passphrase=b"none")
    check(asyncio.run(derive_in_child(derivation)) == derivation.run(), "no key is derived in a child process")
    refused = subprocess.run([PROGRAM, "--concurrency=none"], capture_output=True, text=True, check=False)
    check(refused.returncode == USAGE_ERROR and "concurrency" in refused.stderr, f"a wrong setting: {refused.stderr}")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "kubeconfig"
        config.write_text(json.dumps(KUBECONFIG), encoding="ascii")  # JSON is YAML
        env = {**os.environ, "KUBECONFIG": str(config), "BEK_HEALTH_ADDRESS": ":0", "BEK_METRICS_ADDRESS": ":0"}
        with subprocess.Popen([PROGRAM], env=env, stderr=subprocess.PIPE, text=True) as process:
            said = []
            for line in process.stderr or ():
                said.append(line)
                if "Connection refused" in line:
                    process.terminate()
            check(process.wait() == 0 and "stopped: SIGTERM" in said[-1], "".join(said))


if __name__ == "__main__":
    main()
