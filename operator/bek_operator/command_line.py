"""The command line: flags and environment variables, the first and the last line of the log, the exit status."""

import argparse
import asyncio
import gc
import logging
import os
import platform
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from bek_operator import app
from bek_operator.cluster.client import in_pod, pod_namespace
from bek_operator.cluster.errors import ClusterError
from bek_operator.controller.kopf_run import WatchEnded
from bek_operator.controller.leader import LeaderError
from bek_operator.logs import set_up_logging
from bek_operator.settings import InvalidSettings, Settings, read_settings, shown
from bek_operator.supervise import Ended

log = logging.getLogger("bek_operator")

USAGE_ERROR = 2

_LIST_FLAGS = {
    "namespace": "namespace to serve (repeatable; default: all)",
    "allow-host": "host, host:port or pattern that objects can make the operator call (repeatable; "
    "default: Services of the object's own namespace on port 443 and the Cloud API)",
}
_VALUE_FLAGS = {
    "watch-label-selector": "label selector of the objects to serve, for one of several shards (default: none)",
    "cloud-url": "base URL of the Cloud API (default: https://graph.facebook.com)",
    "cloud-ca": "file with the CA certificates for the Cloud API (default: the system's)",
    "cloud-proxy": "proxy for calls to the Cloud API and to providers (default: HTTPS_PROXY)",
    "concurrency": "phone numbers processed at once (default: 50)",
    "concurrency-per-host": "phone numbers processed at once on one On-Premises host (default: 8)",
    "max-numbers-per-namespace": "phone numbers of one namespace that are served (default: 10000)",
    "watch-secrets": "on or off: whether Secrets are watched (default: on)",
    "secret-selector": "label selector that narrows the watch on Secrets (default: none)",
    "leader-elect": "on or off: whether several replicas elect one that works (default: on in a pod, off elsewhere)",
    "lease-namespace": "namespace of the Lease for that (default: the pod's own)",
    "lease-name": "name of that Lease, another one for each shard (default: bek-operator)",
    "health-address": "address of /healthz and /readyz (default: :8081)",
    "metrics-address": "address of /metrics (default: :8080)",
    "log-level": "debug, info, warning or error (default: info)",
    "log-format": "json or text (default: json in a pod, text elsewhere)",
    "log-numbers": "on or off: whether the log shows whole phone numbers, not only the last four digits (default: off)",
}


def run(operator: Callable[[Settings], Coroutine[Any, Any, str]] = app.run) -> int:
    """Run the operator; return 0 after a signal, 1 after an error, 2 for invalid settings."""
    return _main(sys.argv[1:], os.environ, operator)


def _main(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    operator: Callable[[Settings], Coroutine[Any, Any, str]],
) -> int:
    missing = _without_value(arguments)
    given, unknown = _parser().parse_known_args([one for one in arguments if one not in missing])
    texts = {
        name: getattr(given, name) or environment.get(f"BEK_{name.upper().replace('-', '_')}")
        for name in (*_LIST_FLAGS, *_VALUE_FLAGS)
    }
    if not texts["cloud-proxy"]:
        texts["cloud-proxy"] = environment.get("HTTPS_PROXY") or environment.get("https_proxy")
    faults = [*(f"{flag}: needs a value" for flag in missing), *(f"{argument}: unknown flag" for argument in unknown)]
    texts["lease-namespace"] = texts["lease-namespace"] or pod_namespace()
    try:
        settings = read_settings(texts, in_pod=in_pod())
    except InvalidSettings as invalid:
        return _refuse([*faults, *str(invalid).splitlines()])
    if faults:
        return _refuse(faults)
    set_up_logging(settings.log_level, settings.log_format, numbers=settings.log_numbers)
    versions = {"version": version("bek-operator"), "python": platform.python_version()}
    log.info("starting", extra={**versions, **shown(texts, settings)})
    # What was imported stays to the end.
    gc.freeze()
    try:
        level, cause = logging.INFO, asyncio.run(operator(settings))
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - every cause is logged
        level, cause = logging.ERROR, _why(error)
    # The failure of a task that nobody awaited is logged when the task is collected; the last line is ours.
    gc.collect()
    log.log(level, "stopped: %s", cause)
    return int(level == logging.ERROR)


def _why(error: BaseException) -> str:
    """Return the cause in one line; an unexpected error is logged with its traceback."""
    # Several tasks may have failed together; the first cause is enough.
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ClusterError | Ended | LeaderError | OSError | WatchEnded):
        return str(error)
    log.error("unexpected error; please report it", exc_info=error)
    return type(error).__name__


def _without_value(arguments: Sequence[str]) -> Sequence[str]:
    """Return the flags without a value; argparse would exit at the first of them."""
    flags = {f"--{name}" for name in (*_LIST_FLAGS, *_VALUE_FLAGS)}
    following = [*arguments, "--"][1:]
    return [one for one, then in zip(arguments, following, strict=True) if one in flags and then.startswith("--")]


def _refuse(faults: Sequence[str]) -> int:
    print(*(f"bek-operator: {fault}" for fault in faults), sep="\n", file=sys.stderr)  # noqa: T201 - a command line
    return USAGE_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bek-operator",
        description="Publish a WhatsApp Flows encryption key to every phone number of a business, and keep it signed.",
        epilog="Flags override environment variables: --allow-host is BEK_ALLOW_HOST; lists are comma-separated.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=version("bek-operator"))
    for name, text in _LIST_FLAGS.items():
        parser.add_argument(f"--{name}", dest=name, action="append", metavar=name.upper(), help=text)
    for name, text in _VALUE_FLAGS.items():
        parser.add_argument(f"--{name}", dest=name, metavar=name.upper(), help=text)
    return parser
