"""Settings: valid values, and that all faults are reported at once."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from bek_operator.settings import Address, InvalidSettings, LeaseName, Settings, read_settings, shown
from support import der
from support.key_samples import armored
from support.tls import self_signed


def faults_of(**given: str | list[str]) -> list[str]:
    """Return the faults of settings; keyword arguments are flag names with underscores."""
    with pytest.raises(InvalidSettings) as refused:
        read_settings({name.replace("_", "-"): value for name, value in given.items()}, in_pod=False)
    return str(refused.value).splitlines()


def read(**given: str | list[str]) -> Settings:
    """Return parsed settings; keyword arguments are flag names with underscores."""
    return read_settings({name.replace("_", "-"): value for name, value in given.items()}, in_pod=False)


def test_every_setting_has_a_default() -> None:
    """The defaults serve the whole cluster."""
    settings = read()
    assert (settings.namespaces, settings.secret_selector, settings.watch_secrets) == ((), "", True)
    assert settings.watch_label_selector == ""
    assert (settings.concurrency, settings.concurrency_per_host) == (50, 8)
    assert settings.health == Address(host="", port=8081)
    assert settings.metrics == Address(host="", port=8080)
    assert (settings.log_level, settings.log_format, settings.log_numbers) == ("info", "text", False)


def test_a_pod_logs_json_by_default() -> None:
    """A process elsewhere logs text."""
    pod = {"lease-namespace": "bek-system"}
    assert read_settings(pod, in_pod=True).log_format == "json"
    assert read_settings({**pod, "log-format": "text"}, in_pod=True).log_format == "text"


def test_replicas_elect_a_leader_in_a_pod_by_default() -> None:
    """A process elsewhere is the only one, unless it is told otherwise."""
    pod = {"lease-namespace": "bek-system"}
    assert read_settings(pod, in_pod=True).lease == LeaseName(namespace="bek-system", name="bek-operator")
    assert read_settings({**pod, "leader-elect": "off"}, in_pod=True).lease is None
    assert read().lease is None
    assert read(lease_namespace="platform").lease is None
    given = read(leader_elect="on", lease_namespace="platform", lease_name="bek.shard-0")
    assert given.lease == LeaseName(namespace="platform", name="bek.shard-0")


@pytest.mark.parametrize("text", [":8081", "0.0.0.0:8081", "[::]:8081", "127.0.0.1:8081"])
def test_probes_and_metrics_have_a_port_each(text: str) -> None:
    """Whatever the interface, and where one of them is the default; port 0 is any that is free."""
    fault = "--metrics-address: must have another port than --health-address, not 8081"
    assert faults_of(metrics_address=text) == [fault]
    assert faults_of(metrics_address=text, health_address="localhost:08081") == [fault]
    assert faults_of(health_address=text.replace("8081", "8080")) == [fault.replace("8081", "8080")]
    assert read(health_address="127.0.0.1:0", metrics_address="127.0.0.1:0").metrics.port == 0


def test_a_lease_needs_a_namespace_and_a_name() -> None:
    """Outside of a pod the namespace has no default."""
    assert faults_of(leader_elect="on") == ["--lease-namespace: must be given with --leader-elect=on outside of a pod"]
    assert faults_of(leader_elect="yes", lease_namespace="Not/One", lease_name="Nor_This") == [
        "--leader-elect: must be one of on, off, not 'yes'",
        "--lease-namespace: must be the name of a namespace, not 'Not/One'",
        "--lease-name: must be the name of a Lease, not 'Nor_This'",
    ]


def test_an_empty_setting_counts_as_not_given() -> None:
    """A template with an empty variable gets the default."""
    assert read(concurrency="", log_level="", namespace="", allow_host=[""], secret_selector="") == read()


def test_lists_are_repeated_or_comma_separated() -> None:
    """Also both at once; spaces and repetitions are ignored."""
    for given in ("a,b,c", ["a", "b", "c"], ["a,b", " c ,", "a"], "a, b,,c,a"):
        assert read(namespace=given).namespaces == ("a", "b", "c")


def test_allowed_hosts_are_read() -> None:
    """Each entry allows its host and port."""
    settings = read(allow_host=["127.0.0.1:8443", "*.example.com"])
    assert settings.hosts.names_address(IPv4Address("127.0.0.1"), 8443)
    assert not settings.hosts.names_address(IPv4Address("127.0.0.1"), 443)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":0", "", 0),
        ("0.0.0.0:8081", "0.0.0.0", 8081),
        ("localhost:65535", "localhost", 65535),
        ("[::1]:80", "::1", 80),
    ],
)
def test_addresses_to_listen_at(text: str, host: str, port: int) -> None:
    """A host may be left out, an IPv6 address has brackets."""
    assert read(health_address=text).health == Address(host=host, port=port)


def test_a_label_selector_is_passed_on() -> None:
    """Unchanged; commas do not split it, and it is the API server that judges it."""
    for text in ("tier in (gold, silver),app notin (x)", "a b"):
        assert read(secret_selector=text).secret_selector == text
        assert read(watch_label_selector=text).watch_label_selector == text


def test_a_shard_has_a_lease_of_its_own() -> None:
    """With one for all shards only one of them would work; a process that is the only one needs none."""
    shard = {"watch_label_selector": "bek.dev/shard=a", "lease_namespace": "bek-system"}
    assert faults_of(**shard, leader_elect="on") == [
        "--lease-name: must be given with --watch-label-selector, another one for each shard"
    ]
    given = read(**shard, leader_elect="on", lease_name="bek-operator-a")
    assert given.lease == LeaseName(namespace="bek-system", name="bek-operator-a")
    assert read(**shard).lease is None


FAULTS: list[tuple[str, str]] = [
    *(("concurrency", text) for text in ("0", "-1", "1001", "1e2", "ten", "٣")),
    *(("concurrency", text) for text in ("00000000150000", "1" * 9, "1" * 10, "1" * 5000, "0" * 9 + "1" * 5000)),
    *(("concurrency_per_host", text) for text in ("0", "1.5")),
    *(("watch_secrets", text) for text in ("yes", "ON")),
    *(("log_level", text) for text in ("trace", "INFO")),
    ("log_format", "xml"),
    ("log_numbers", "yes"),
    *(("health_address", text) for text in ("8081", ":65536", ":", ":x", "a b:80", "::1:80", "http://x:80", ":8\n")),
    *(("namespace", text) for text in ("Team", "-a", "a.b", "a" * 64, "a*", "ä")),
    *(("allow_host", text) for text in ("https://example.com", "a b", "example.com:99999")),
]


@pytest.mark.parametrize(("name", "text"), FAULTS)
def test_a_fault_names_the_flag(name: str, text: str) -> None:
    """In one line that says what is allowed."""
    (fault,) = faults_of(**{name: text})
    assert fault.startswith(f"--{name.replace('_', '-')}: ")


CERTIFICATE = self_signed().pem
BEGIN = "-----BEGIN CERTIFICATE-----\n"


@pytest.mark.parametrize(
    "text",
    [CERTIFICATE, self_signed("a").pem + CERTIFICATE, f"The CA of the proxy:\n{CERTIFICATE}\n"],
    ids=["one", "two", "with a comment"],
)
def test_a_ca_bundle_is_read(text: str, tmp_path: Path) -> None:
    """Its text is unchanged."""
    file = tmp_path / "ca.crt"
    file.write_text(text, encoding="ascii")
    assert read(cloud_ca=str(file)).cloud_ca == text


INVALID_CA_BUNDLES: dict[str, str] = {
    "nothing": "",
    "no certificate": "sesame\n",
    "only a beginning": BEGIN,
    "an end too many": f"{CERTIFICATE}-----END CERTIFICATE-----\n",
    "a certificate that OpenSSL alone takes for one": CERTIFICATE.replace("CERTIFICATE", "X509 CERTIFICATE"),
    "a beginning and rubbish": f"{BEGIN}sesame\n",
    "rubbish inside": f"{BEGIN}c2VzYW1l\n-----END CERTIFICATE-----\n",
    "cut short": CERTIFICATE[:-60],
    "the second one cut short": CERTIFICATE + CERTIFICATE[:200],
    "no end": CERTIFICATE.replace("-----END CERTIFICATE-----", ""),
    "something else": "-----BEGIN PUBLIC KEY-----\nc2VzYW1l\n-----END PUBLIC KEY-----\n",
    "an unsupported algorithm": armored("CERTIFICATE", der.certificate(der.DSA, 40_000)),
    "text that is not ASCII": f"é\n{CERTIFICATE}",
    "too large": CERTIFICATE + "\n" * 64 * 1024,
}


@pytest.mark.parametrize("text", INVALID_CA_BUNDLES.values(), ids=INVALID_CA_BUNDLES.keys())
def test_an_invalid_ca_bundle_is_a_fault(text: str, tmp_path: Path) -> None:
    """At the start, not at the first call; the fault quotes nothing of the file."""
    file = tmp_path / "ca.crt"
    file.write_text(text, encoding="utf-8")
    (fault,) = faults_of(cloud_ca=str(file))
    assert fault.startswith("--cloud-ca: ")
    assert "certificates in PEM" in fault
    assert not {line for line in text.splitlines() if line and line in fault}


def test_a_missing_ca_file_is_a_fault(tmp_path: Path) -> None:
    """So is a directory."""
    for path in (tmp_path / "none.crt", tmp_path):
        (fault,) = faults_of(cloud_ca=str(path))
        assert fault.startswith("--cloud-ca: ")
        assert repr(str(path)) in fault


def test_all_faults_are_reported_at_once() -> None:
    """In the order of the fields."""
    found = faults_of(
        namespace="Team,b,c_d",
        concurrency="0",
        concurrency_per_host="x",
        max_numbers_per_namespace="0",
        watch_secrets="maybe",
        health_address="x",
        metrics_address="x",
        log_level="loud",
        log_format="xml",
        log_numbers="x",
        allow_host="://",
    )
    assert [fault.partition(":")[0].removeprefix("--") for fault in found] == [
        "namespace",
        "namespace",
        "concurrency",
        "concurrency-per-host",
        "max-numbers-per-namespace",
        "watch-secrets",
        "health-address",
        "metrics-address",
        "log-level",
        "log-format",
        "log-numbers",
        "allow-host",
    ]


def test_logged_settings_hold_no_password() -> None:
    """Only settings that were given are logged; a proxy without user and password."""
    given = {
        "namespace": ["a", "b,c"],
        "log-level": "debug",
        "cloud-ca": "",
        "concurrency": None,
        "cloud-proxy": "http://user:sesame@[fd00::1]:3128",
    }
    assert shown(given, read_settings(given, in_pod=False)) == {
        "namespace": "a,b,c",
        "log_level": "debug",
        "cloud_proxy": "http://[fd00::1]:3128",
    }
    assert shown({}, read()) == {}
