"""BusinessEncryptionKeys for tests of the schema: a small one, and the largest that it admits.

Both begin with an On-Premises and a Provider entry and a number on each, and end with a Cloud entry and a number
on that one, so that one change breaks either of them in the same place.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

Manifest = dict[str, Any]

SAMPLES = Path(__file__).parents[2] / "deploy" / "samples"

MOST_APIS = 32
MOST_NUMBERS = 1000
LONGEST_NAME = 253
TYPES = ("OnPremises", "Provider", "Cloud")


def manifest(spec: dict[str, Any], name: str = "flows") -> Manifest:
    """Return a BusinessEncryptionKey with this spec."""
    return {
        "apiVersion": "bek.dev/v1alpha1",
        "kind": "BusinessEncryptionKey",
        "metadata": {"name": name},
        "spec": spec,
    }


def small() -> Manifest:
    """Return an object with one number on an API of each type."""
    return manifest(
        {
            "keySecretRef": {"name": "flows-key", "key": "private.pem", "passphraseKey": "passphrase"},
            "apis": [_first_api(), _second_api(), _last_api()],
            "phoneNumbers": [_first_number(), _second_number(), _last_number()],
            "rollout": _rollout(),
            "flowsEndpoint": flows_endpoint(),
        }
    )


def large(bulk: str = "OnPremises") -> Manifest:
    """Return an object with as many entries as there may be, each as long as it may be, most numbers on one type."""
    names = [_name(i) for i in range(MOST_APIS - 3)]
    third = len(names) // 3
    entries = {
        "OnPremises": [on_premises(name, _padded_url(f"https://{name}/")) for name in names[:third]],
        "Provider": [
            provider(name, _padded_url(f"https://{name}/"), "k" * LONGEST_NAME) for name in names[third : 2 * third]
        ],
        "Cloud": [cloud(name) for name in names[2 * third :]],
    }
    # Where an address and an entry have no placeholder there is one number, and many on the last of one type.
    entries["OnPremises"][-1]["onPremises"]["url"] = _padded_url("https://whatsapp-{digits}/")
    entries["Provider"][-1]["provider"]["apiKeySecretRef"]["key"] = "{phoneNumberID}".rjust(LONGEST_NAME, "k")
    full = entries[bulk][-1]["name"]
    numbers = [_number(i, names[i] if i < len(names) else full) for i in range(MOST_NUMBERS - 3)]
    return manifest(
        {
            "keySecretRef": {
                "name": "k" * LONGEST_NAME,
                "key": "e" * LONGEST_NAME,
                "passphraseKey": "p" * LONGEST_NAME,
            },
            "apis": [_first_api(), _second_api(), *(entry for name in TYPES for entry in entries[name]), _last_api()],
            "phoneNumbers": [_first_number(), _second_number(), *numbers, _last_number()],
            "rollout": _rollout(),
            "flowsEndpoint": flows_endpoint(),
        }
    )


def on_premises(name: str, url: str) -> dict[str, Any]:
    """Return an On-Premises entry with every field set, each as long as it may be."""
    return {
        "name": name,
        "type": "OnPremises",
        "onPremises": {
            "url": url,
            "credentialsSecretRef": {"name": "c" * LONGEST_NAME},
            "tls": {
                "caSecretRef": {"name": "a" * LONGEST_NAME, "key": "k" * LONGEST_NAME},
                "serverName": ".".join(["s" * 49] * 5),
            },
        },
    }


def cloud(name: str) -> dict[str, Any]:
    """Return a Cloud entry with every field set, each as long as it may be."""
    return {
        "name": name,
        "type": "Cloud",
        "cloud": {
            "version": "v25.0",
            "tokenSecretRef": {"name": "t" * LONGEST_NAME, "key": "k" * LONGEST_NAME},
            "appSecretRef": {"name": "a" * LONGEST_NAME, "key": "k" * LONGEST_NAME},
        },
    }


def provider(name: str, url: str, key: str) -> dict[str, Any]:
    """Return a Provider entry with every field set, each as long as it may be."""
    return {
        "name": name,
        "type": "Provider",
        "provider": {
            "url": url,
            "apiKeyHeader": "X".ljust(64, "-"),
            "apiKeySecretRef": {"name": "a" * LONGEST_NAME, "key": key},
            "tls": {
                "caSecretRef": {"name": "a" * LONGEST_NAME, "key": "k" * LONGEST_NAME},
                "serverName": ".".join(["s" * 49] * 5),
            },
        },
    }


def flows_endpoint() -> dict[str, Any]:
    """Return a Flow endpoint with every field set, each as long as it may be."""
    return {
        "url": "https://flows.example.com/%20?%20".ljust(1024, "p"),
        "appSecretRef": {"name": "a" * LONGEST_NAME, "key": "k" * LONGEST_NAME},
        "tls": {
            "caSecretRef": {"name": "a" * LONGEST_NAME, "key": "k" * LONGEST_NAME},
            "serverName": ".".join(["s" * 49] * 5),
        },
        "policy": "Report",
    }


def changed(body: Manifest, changes: dict[str, Any]) -> Manifest:
    """Return a copy with values put at paths such as `apis.0.name` of its spec; `None` removes the field."""
    copy = deepcopy(body)
    for path, value in changes.items():
        *steps, last = (_step(step) for step in path.split("."))
        place: Any = copy["spec"]
        for step in steps:
            place = place[step]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return copy


def _step(text: str) -> str | int:
    return int(text) if text.removeprefix("-").isdigit() else text


def _first_api() -> dict[str, Any]:
    return on_premises("default", "https://whatsapp-{digits}")


def _second_api() -> dict[str, Any]:
    return provider("partner", "https://waba.example.com/{phoneNumberID}", "{digits}")


def _last_api() -> dict[str, Any]:
    return cloud("meta")


def _first_number() -> dict[str, Any]:
    return {"phoneNumber": "+15550001111"}


def _second_number() -> dict[str, Any]:
    return {"phoneNumber": "+15550004444", "api": "partner", "phoneNumberID": "106540352242944"}


def _last_number() -> dict[str, Any]:
    return {"phoneNumber": "+15550002222", "api": "meta", "phoneNumberID": "106540352242922"}


def _number(index: int, api: str) -> dict[str, Any]:
    return {"phoneNumber": f"+{10**14 + index}", "api": api, "phoneNumberID": f"{10**19 + index}"}


def _rollout() -> dict[str, Any]:
    # The last number is the most expensive to find.
    return {"type": "FirstNumber", "firstNumber": {"phoneNumber": "+15550002222", "pauseSeconds": 604800}}


def _name(index: int) -> str:
    # Names that differ only at their end are the most expensive to compare.
    return f"{'n' * 60}{index:03}"


def _padded_url(start: str) -> str:
    return start.ljust(256, "p")
