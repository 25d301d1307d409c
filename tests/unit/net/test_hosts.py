"""Which hosts objects can make the operator call."""

from ipaddress import ip_address

import pytest

from bek_operator.net.hosts import AllowedHosts, qualify
from bek_operator.net.url import parse_url

NAMESPACE = "messaging"


def allows(entries: list[str], url: str, namespace: str = NAMESPACE) -> bool:
    """Return whether the list allows a URL."""
    return AllowedHosts.parse(entries).allows(parse_url(url), namespace)


def test_service_of_the_namespace() -> None:
    """A host without a dot is a Service of the object's own namespace, others stay as they are."""
    assert qualify("whatsapp-1555", "messaging") == "whatsapp-1555.messaging.svc"
    assert qualify("whatsapp.example.com", "messaging") == "whatsapp.example.com"


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://whatsapp.messaging.svc", True),
        ("https://whatsapp.messaging.svc.cluster.local", True),
        ("https://whatsapp.messaging.svc:8443", False),
        ("https://whatsapp.other.svc", False),
        ("https://pod.whatsapp.messaging.svc", False),
        ("https://messaging.svc", False),
        ("https://whatsapp.messaging.svc.example.com", False),
        ("https://whatsapp", False),
        ("https://127.0.0.1", False),
    ],
)
@pytest.mark.parametrize("entries", [[], ["other.example.com"]])
def test_own_services(entries: list[str], url: str, allowed: bool) -> None:  # noqa: FBT001 - a table's expectation
    """They are allowed on port 443, whatever the list has."""
    assert allows(entries, url) is allowed


@pytest.mark.parametrize(
    ("entry", "url", "allowed"),
    [
        ("whatsapp.example.com", "https://whatsapp.example.com", True),
        ("WhatsApp.Example.com ", "https://whatsapp.example.com/path", True),
        ("whatsapp.example.com", "https://whatsapp.example.com:8443", False),
        ("whatsapp.example.com", "https://x.whatsapp.example.com", False),
        ("whatsapp.example.com", "https://xwhatsapp.example.com", False),
        ("whatsapp.example.com:8443", "https://whatsapp.example.com:8443", True),
        ("whatsapp.example.com:8443", "https://whatsapp.example.com", False),
        ("whatsapp.example.com:*", "https://whatsapp.example.com:9", True),
        ("*.example.com", "https://whatsapp.example.com", True),
        ("*.example.com", "https://a.b.example.com", True),
        ("*.example.com", "https://example.com", False),
        ("*.example.com", "https://badexample.com", False),
        ("*.example.com", "https://example.com.evil.test", False),
        ("*.example.com:8443", "https://whatsapp.example.com", False),
        ("*.example.com:*", "https://whatsapp.example.com:8443", True),
        ("whatsapp.other.svc", "https://whatsapp.other.svc", True),
        ("192.0.2.7", "https://192.0.2.7", True),
        ("192.0.2.7:*", "https://192.0.2.7:9443", True),
        ("192.0.2.7", "https://192.0.2.70", False),
        ("[2001:db8::1]", "https://whatsapp.example.com", False),
    ],
)
def test_entries(entry: str, url: str, allowed: bool) -> None:  # noqa: FBT001 - a table's expectation
    """An entry matches its host and port only."""
    assert allows([entry], url) is allowed


def test_cloud_host() -> None:
    """`--cloud-url` needs no entry; its port counts."""
    url = parse_url("https://graph.facebook.com")
    assert not AllowedHosts().allows(url, NAMESPACE)
    assert AllowedHosts().allows(url, NAMESPACE, cloud_host="graph.facebook.com")
    assert not AllowedHosts().allows(url, NAMESPACE, cloud_host="graph.facebook.com:8443")


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "*.",
        "*:443",
        "what*.example.com",
        "*.*.example.com",
        "*.1",
        "*.192.0.2.7",
        "*.0x7f",
        "https://whatsapp.example.com",
        "whatsapp.example.com/path",
        "whatsapp.example.com.",
        "whatsapp.example.com:0",
        "whatsapp.example.com:65536",
        "whatsapp.example.com:https",
        "whats_app",
        "whätsapp.example.com",
        "user@whatsapp.example.com",
        "10.0.0.0/8",
        "::1",
        "[127.0.0.1]",
        "[::1",
        "[fe80::1%eth0]",
        "a,b",
    ],
)
def test_invalid_entry(entry: str) -> None:
    """The message names it."""
    with pytest.raises(ValueError, match=r"^'.*' (is|has|must) ") as fault:
        AllowedHosts.parse(["whatsapp.example.com", entry])
    assert repr(entry) in str(fault.value)


def test_all_faults_at_once() -> None:
    """Every invalid entry is named."""
    with pytest.raises(ValueError, match=r"'\*'.*'a b'"):
        AllowedHosts.parse(["*", "fine.example.com", "a b"])


@pytest.mark.parametrize(
    ("entry", "address", "port", "named"),
    [
        ("127.0.0.1:8443", "127.0.0.1", 8443, True),
        ("127.0.0.1:8443", "127.0.0.1", 443, False),
        ("127.0.0.1:*", "127.0.0.1", 1, True),
        ("127.0.0.1", "127.0.0.2", 443, False),
        ("[::1]:*", "::1", 8443, True),
        ("[::1]", "::1", 443, True),
        ("[::1]", "127.0.0.1", 443, False),
        ("localhost:*", "127.0.0.1", 443, False),
    ],
)
def test_named_address(entry: str, address: str, port: int, named: bool) -> None:  # noqa: FBT001 - an expectation
    """Only an entry with this address matches."""
    assert AllowedHosts.parse([entry]).names_address(ip_address(address), port) is named


@pytest.mark.parametrize(
    ("url", "flag"),
    [
        ("https://whatsapp.example.com/path", "--allow-host=whatsapp.example.com"),
        ("https://whatsapp.example.com:8443", "--allow-host=whatsapp.example.com:8443"),
    ],
)
def test_refusal_names_the_flag(url: str, flag: str) -> None:
    """The flag at its end allows the host."""
    refusal = AllowedHosts().refusal(parse_url(url))
    assert refusal == f"host whatsapp.example.com is not allowed; start the operator with {flag}"
    assert allows([flag.removeprefix("--allow-host=")], url)


@pytest.mark.parametrize("host", ["169.254.169.254", "168.63.129.16", "100.100.100.200", "metadata.google.internal"])
def test_no_flag_is_suggested_for_a_metadata_service(host: str) -> None:
    """It gives out the credentials of the machine."""
    refusal = AllowedHosts().refusal(parse_url(f"https://{host}:8443/latest"))
    assert refusal == (f"host {host} is a cloud's metadata service; calling it is forbidden")


def test_refusal_is_short() -> None:
    """It fits into a status row, however long the host."""
    url = parse_url("https://" + "a" * 60 + ".b" * 90 + ":8443")
    assert len(AllowedHosts().refusal(url)) <= 200
