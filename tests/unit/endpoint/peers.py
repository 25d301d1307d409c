"""Endpoints whose cryptography is not ours: Node's crypto module, or what it answered once, and OpenSSL.

Run from the repository's root with Node installed, this writes the kept answers:

    PYTHONPATH=operator:tests python tests/unit/endpoint/peers.py
"""

import base64
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Protocol

from bek_operator.endpoint.ping import Session, ping_for
from support import keys

SESSION: Final = Session(bytes(range(16)), bytes(range(16, 32)))
PAYLOAD: Final = {"version": "3.0", "action": "ping"}
KEPT: Final = Path(__file__).with_name("node_answers.json")
SCRIPT: Final = Path(__file__).parents[2] / "support" / "node" / "flows_endpoint.mjs"

_OAEP: Final = ("rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256")


class Peer(Protocol):
    """An endpoint that holds a private key."""

    def answers(self, body: bytes, private: str) -> dict[str, str]:
        """Return the answers to a ping of `SESSION`, by what is wrong with them.

        Raises:
            Exception: The ping does not open.
        """
        ...


class Node:
    """Node's crypto module."""

    def answers(self, body: bytes, private: str) -> dict[str, str]:
        """Return the answers to a ping."""
        request = json.dumps({"privateKey": private, "body": body.decode()})
        done = subprocess.run(["node", str(SCRIPT)], input=request, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        assert found["payload"] == PAYLOAD
        answers: dict[str, str] = found["answers"]
        return answers


class Kept:
    """OpenSSL for the RSA part, and for the rest what Node's crypto module made of `SESSION`."""

    def answers(self, body: bytes, private: str) -> dict[str, str]:
        """Return the answers to a ping."""
        request, kept = json.loads(body), json.loads(KEPT.read_text(encoding="utf-8"))
        assert decrypted(base64.b64decode(request["encrypted_aes_key"]), private) == SESSION.key
        assert request["initial_vector"] == base64.b64encode(SESSION.vector).decode()
        assert request["encrypted_flow_data"] == kept["request"]
        answers: dict[str, str] = kept["answers"]
        return answers


def decrypted(encrypted: bytes, private: str) -> bytes:
    """Return what `openssl pkeyutl` decrypts with RSA-OAEP and SHA-256."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(private)
        file.flush()
        options = [part for option in _OAEP for part in ("-pkeyopt", option)]
        command = ["openssl", "pkeyutl", "-decrypt", "-inkey", file.name, *options]
        return subprocess.run(command, input=encrypted, capture_output=True, check=True).stdout


PEERS: Final[dict[str, Peer]] = {"kept": Kept()} | ({"node": Node()} if shutil.which("node") else {})


if __name__ == "__main__":
    ping = ping_for(keys.rsa().public, SESSION)
    answers = Node().answers(ping, keys.rsa().private)
    document = {"request": json.loads(ping)["encrypted_flow_data"], "answers": answers}
    KEPT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
