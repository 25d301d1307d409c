"""The command line: `bek-operator`, also `python -m bek_operator`."""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from bek_operator.app import run
from bek_operator.cluster.client import in_pod
from bek_operator.cluster.errors import ClusterError
from bek_operator.logs import set_up_logging
from bek_operator.settings import InvalidSettings, read_settings

USAGE_ERROR = 2

_LISTS = {
    "namespace": "namespace to serve (repeatable; default: all)",
    "allow-host": "host, host:port or pattern that an object may make the operator call (repeatable; "
    "default: Services of the object's own namespace on port 443 and the Cloud API)",
}
_VALUES = {
    "cloud-url": "where the Cloud API is (default: https://graph.facebook.com)",
    "cloud-ca": "file of the CA to trust for the Cloud API (default: the system's)",
    "cloud-proxy": "proxy for calls to the Cloud API and to providers (default: HTTPS_PROXY)",
    "concurrency": "numbers signed at once (default: 50)",
    "concurrency-per-host": "numbers signed at once on one On-Premises host (default: 8)",
    "watch-secrets": "on or off: whether Secrets are watched (default: on)",
    "secret-selector": "label selector that narrows the watch on Secrets (default: none)",
    "health-address": "where /healthz and /readyz are served (default: :8081)",
    "log-level": "debug, info, warning or error (default: info)",
    "log-format": "json or text (default: json in a pod, text elsewhere)",
}


def main() -> None:
    """Run the operator, and exit with a status that says how it ended."""
    sys.exit(_main(sys.argv[1:], os.environ))


def _main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    bare = _without_value(arguments)
    given, unknown = _parser().parse_known_args([one for one in arguments if one not in bare])
    texts = {
        name: getattr(given, name) or environment.get(f"BEK_{name.upper().replace('-', '_')}")
        for name in (*_LISTS, *_VALUES)
    }
    if not texts["cloud-proxy"]:
        texts["cloud-proxy"] = environment.get("HTTPS_PROXY") or environment.get("https_proxy")
    faults = [*(f"{flag}: needs a value" for flag in bare), *(f"{argument}: no such setting" for argument in unknown)]
    try:
        settings = read_settings(texts, in_pod=in_pod())
    except InvalidSettings as found:
        return _refuse([*faults, *str(found).splitlines()])
    if faults:
        return _refuse(faults)
    set_up_logging(settings.log_level, settings.log_format)
    try:
        asyncio.run(run(settings))
    except (ClusterError, OSError) as error:
        print(f"bek-operator: {error}", file=sys.stderr)  # noqa: T201 - a command line
        return 1
    return 0


def _without_value(arguments: Sequence[str]) -> Sequence[str]:
    """Return the flags that no value follows: argparse would end at the first of them."""
    flags = {f"--{name}" for name in (*_LISTS, *_VALUES)}
    following = [*arguments, "--"][1:]
    return [one for one, then in zip(arguments, following, strict=True) if one in flags and then.startswith("--")]


def _refuse(faults: Sequence[str]) -> int:
    print(*(f"bek-operator: {fault}" for fault in faults), sep="\n", file=sys.stderr)  # noqa: T201 - a command line
    return USAGE_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bek-operator",
        description="Publish a WhatsApp Flows encryption key to every phone number of a business, and keep it signed.",
        epilog="Each flag is an environment variable, too: --allow-host is BEK_ALLOW_HOST; lists are comma-separated.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=version("bek-operator"))
    for name, text in _LISTS.items():
        parser.add_argument(f"--{name}", dest=name, action="append", metavar=name.upper(), help=text)
    for name, text in _VALUES.items():
        parser.add_argument(f"--{name}", dest=name, metavar=name.upper(), help=text)
    return parser


if __name__ == "__main__":
    main()
