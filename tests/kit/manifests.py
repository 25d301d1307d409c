"""BusinessEncryptionKeys to build a test on: a small one, and the largest that the schema lets through.

Both begin with the On-Premises entry and a number on it, and end with the Cloud entry and a number on that
one, so that one change breaks either of them in the same place.
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


def manifest(spec: dict[str, Any], name: str = "flows") -> Manifest:
    """Return a BusinessEncryptionKey with this spec."""
    return {
        "apiVersion": "bek.dev/v1alpha1",
        "kind": "BusinessEncryptionKey",
        "metadata": {"name": name},
        "spec": spec,
    }


def small() -> Manifest:
    """Return an object with one number on each of both APIs."""
    return manifest(
        {
            "keySecretRef": {"name": "flows-key", "key": "private.pem", "passphraseKey": "passphrase"},
            "apis": [_first_api(), _last_api()],
            "phoneNumbers": [_first_number(), _last_number()],
        }
    )


def large() -> Manifest:
    """Return an object with as many entries as there may be, each as long as it may be."""
    bulk = on_premises(_name(0), _padded_url("https://whatsapp-{digits}/"))
    fixed = [on_premises(_name(i), _padded_url(f"https://whatsapp-{i}/")) for i in range(1, 16)]
    clouds = [cloud(_name(i)) for i in range(16, MOST_APIS - 2)]
    apis = [_first_api(), bulk, *fixed, *clouds, _last_api()]
    names = [api["name"] for api in (*fixed, *clouds)]
    numbers = [_number(i, names[i] if i < len(names) else _name(0)) for i in range(MOST_NUMBERS - 2)]
    return manifest(
        {
            "keySecretRef": {
                "name": "k" * LONGEST_NAME,
                "key": "e" * LONGEST_NAME,
                "passphraseKey": "p" * LONGEST_NAME,
            },
            "apis": apis,
            "phoneNumbers": [_first_number(), *numbers, _last_number()],
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


def _last_api() -> dict[str, Any]:
    return cloud("meta")


def _first_number() -> dict[str, Any]:
    return {"phoneNumber": "+15550001111"}


def _last_number() -> dict[str, Any]:
    return {"phoneNumber": "+15550002222", "api": "meta", "phoneNumberID": "106540352242922"}


def _number(index: int, api: str) -> dict[str, Any]:
    return {"phoneNumber": f"+{10**14 + index}", "api": api, "phoneNumberID": f"{10**19 + index}"}


def _name(index: int) -> str:
    # Names that differ only at their end are the dearest to compare.
    return f"{'n' * 60}{index:03}"


def _padded_url(start: str) -> str:
    return start.ljust(256, "p")
