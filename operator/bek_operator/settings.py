"""Settings, parsed once from flags and environment; all faults are reported together."""

import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bek_operator.net.ca_bundle import MAX_CHARACTERS, check_ca_bundle
from bek_operator.net.hosts import AllowedHosts
from bek_operator.net.proxy import Proxy, parse_proxy
from bek_operator.net.url import Url, parse_url

_LEVELS = ("debug", "info", "warning", "error")
_FORMATS = ("json", "text")

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_OBJECT_NAME = re.compile(rf"(?=.{{1,253}}\Z){_DNS_LABEL.pattern}(\.{_DNS_LABEL.pattern})*")
_LISTENER = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[-A-Za-z0-9.]*):(?P<port>[0-9]{1,5})")
_LAST_PORT = 65535
_TOO_MANY_DIGITS = 10


class InvalidSettings(ValueError):
    """Some settings are invalid; the message has one line for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address to listen on; an empty host means every interface."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseName:
    """Where the replicas' Lease is."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The operator's settings.

    Attributes:
        namespaces: The namespaces to serve; all of them when empty.
        watch_label_selector: Label selector of the objects to serve; empty for every object. The API server checks it.
        hosts: The hosts that objects can make the operator call.
        cloud: Base URL of the Cloud API.
        cloud_ca: CA bundle for it, as PEM; `None` for the system's.
        cloud_proxy: Proxy for calls to the Cloud API and to providers.
        concurrency: Phone numbers processed at once.
        concurrency_per_host: The same for one API host.
        max_numbers_per_namespace: Phone numbers of one namespace that are served; objects beyond that are not.
        watch_secrets: Whether Secrets are watched; otherwise a change is found at the next resync.
        secret_selector: Label selector of that watch; empty for every Secret. The API server checks it.
        lease: The Lease by which the replicas elect a leader; `None` for a process that is the only one.
        health: Address of `/healthz` and `/readyz`.
        metrics: Address of `/metrics`.
        log_format: `json` or `text`.
        log_numbers: Whether the log shows whole phone numbers, not only their last four digits.
    """

    namespaces: tuple[str, ...] = ()
    watch_label_selector: str = ""
    hosts: AllowedHosts
    cloud: Url
    cloud_ca: str | None = None
    cloud_proxy: Proxy | None = None
    concurrency: int = 50
    concurrency_per_host: int = 8
    max_numbers_per_namespace: int = 10_000
    watch_secrets: bool = True
    secret_selector: str = ""
    lease: LeaseName | None = None
    health: Address
    metrics: Address
    log_level: str = "info"
    log_format: str = "text"
    log_numbers: bool = False


def read_settings(given: Mapping[str, str | Sequence[str] | None], *, in_pod: bool) -> Settings:
    """Parse settings, keyed by flag name without leading dashes; an empty value counts as not given.

    Raises:
        InvalidSettings: with every fault.
    """
    faults: list[str] = []
    reader = _Reader(given, faults)
    namespaces = reader.namespaces("namespace")
    watch_label_selector = reader.text("watch-label-selector", "")
    concurrency = reader.count("concurrency", 50, 1000)
    concurrency_per_host = reader.count("concurrency-per-host", 8, 1000)
    max_numbers_per_namespace = reader.count("max-numbers-per-namespace", 10_000, 10_000_000)
    watch_secrets = reader.choice("watch-secrets", "on", ("on", "off")) == "on"
    secret_selector = reader.text("secret-selector", "")
    lease = reader.lease(in_pod=in_pod)
    health = reader.address("health-address", ":8081")
    metrics = reader.address("metrics-address", ":8080")
    if health.port and health.port == metrics.port:
        faults.append(f"--metrics-address: must have another port than --health-address, not {metrics.port}")
    log_level = reader.choice("log-level", "info", _LEVELS)
    log_format = reader.choice("log-format", "json" if in_pod else "text", _FORMATS)
    log_numbers = reader.choice("log-numbers", "off", ("on", "off")) == "on"
    hosts = reader.hosts("allow-host")
    cloud = reader.url("cloud-url", "https://graph.facebook.com")
    cloud_ca = reader.certificates("cloud-ca")
    cloud_proxy = reader.proxy("cloud-proxy")
    if faults:
        raise InvalidSettings("\n".join(faults))
    return Settings(
        namespaces=namespaces,
        watch_label_selector=watch_label_selector,
        hosts=hosts,
        cloud=cloud,
        cloud_ca=cloud_ca,
        cloud_proxy=cloud_proxy,
        concurrency=concurrency,
        concurrency_per_host=concurrency_per_host,
        max_numbers_per_namespace=max_numbers_per_namespace,
        watch_secrets=watch_secrets,
        secret_selector=secret_selector,
        lease=lease,
        health=health,
        metrics=metrics,
        log_level=log_level,
        log_format=log_format,
        log_numbers=log_numbers,
    )


def shown(given: Mapping[str, str | Sequence[str] | None], settings: Settings) -> dict[str, str]:
    """Return the settings that were given, for the log: keyed by flag name with underscores, without passwords."""
    texts = {name: value if isinstance(value, str) else ",".join(value) for name, value in given.items() if value}
    if settings.cloud_proxy:
        texts["cloud-proxy"] = str(settings.cloud_proxy)
    return {name.replace("-", "_"): text for name, text in texts.items()}


class _Reader:
    def __init__(self, given: Mapping[str, str | Sequence[str] | None], faults: list[str]) -> None:
        self._given = given
        self._faults = faults

    def text(self, name: str, default: str) -> str:
        value = self._given.get(name)
        return value if isinstance(value, str) and value else default

    def items(self, name: str) -> list[str]:
        value = self._given.get(name) or ()
        parts = value.split(",") if isinstance(value, str) else [part for one in value for part in one.split(",")]
        return list(dict.fromkeys(part.strip() for part in parts if part.strip()))

    def namespaces(self, name: str) -> tuple[str, ...]:
        found = self.items(name)
        for one in found:
            if not _DNS_LABEL.fullmatch(one):
                self._faults.append(f"--{name}: must be the name of a namespace, not {one!r}")
        return tuple(found)

    def lease(self, *, in_pod: bool) -> LeaseName | None:
        elected = self.choice("leader-elect", "on" if in_pod else "off", ("on", "off")) == "on"
        namespace, name = self.text("lease-namespace", ""), self.text("lease-name", "bek-operator")
        if elected and not namespace:
            self._faults.append("--lease-namespace: must be given with --leader-elect=on outside of a pod")
        elif namespace and not _DNS_LABEL.fullmatch(namespace):
            self._faults.append(f"--lease-namespace: must be the name of a namespace, not {namespace!r}")
        if elected and self.text("watch-label-selector", "") and not self.text("lease-name", ""):
            # With one Lease for all shards only one of them would work.
            self._faults.append("--lease-name: must be given with --watch-label-selector, another one for each shard")
        elif not _OBJECT_NAME.fullmatch(name):
            self._faults.append(f"--lease-name: must be the name of a Lease, not {name!r}")
        return LeaseName(namespace=namespace, name=name) if elected else None

    def count(self, name: str, default: int, most: int) -> int:
        text = self.text(name, str(default))
        if text.isascii() and text.isdigit() and len(text) < _TOO_MANY_DIGITS and 1 <= int(text) <= most:
            return int(text)
        self._faults.append(f"--{name}: must be a whole number from 1 to {most}, not {text!r}")
        return default

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        text = self.text(name, default)
        if text not in choices:
            self._faults.append(f"--{name}: must be one of {', '.join(choices)}, not {text!r}")
        return text

    def address(self, name: str, default: str) -> Address:
        text = self.text(name, default)
        found = _LISTENER.fullmatch(text)
        if found and int(found["port"]) <= _LAST_PORT:
            return Address(host=found["host"].strip("[]"), port=int(found["port"]))
        self._faults.append(f"--{name}: must be host:port or :port, not {text!r}")
        return Address(host="", port=0)

    def hosts(self, name: str) -> AllowedHosts:
        try:
            return AllowedHosts.parse(self.items(name))
        except ValueError as fault:
            self._faults.append(f"--{name}: {fault}")
            return AllowedHosts.parse([])

    def url(self, name: str, default: str) -> Url:
        try:
            return parse_url(self.text(name, default))
        except ValueError as fault:
            self._faults.append(f"--{name}: {fault}")
            return parse_url(default)

    def certificates(self, name: str) -> str | None:
        file = self.text(name, "")
        if not file:
            return None
        try:
            with Path(file).open(encoding="ascii") as certificates:
                text = certificates.read(MAX_CHARACTERS + 1)
        except (OSError, ValueError):
            self._faults.append(f"--{name}: must be a readable file with certificates in PEM, not {file!r}")
            return None
        try:
            check_ca_bundle(text)
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
        except ssl.SSLError:
            self._faults.append(f"--{name}: must be a file with certificates in PEM; one of them cannot be parsed")
        except ValueError as fault:
            self._faults.append(f"--{name}: must be a file with certificates in PEM; it {fault}")
        return text

    def proxy(self, name: str) -> Proxy | None:
        text = self.text(name, "")
        try:
            return parse_proxy(text) if text else None
        except ValueError as fault:
            # The URL may hold a password, so it is not shown.
            self._faults.append(f"--{name}: {fault}")
            return None
