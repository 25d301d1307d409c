"""Which URLs are understood, and which hosts an object may make the operator call."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bek_operator.net.hosts import AllowedHosts, parse_url, qualify
from bek_operator.net.url import Url

NAMESPACE = "messaging"


def allows(entries: list[str], url: str, namespace: str = NAMESPACE) -> bool:
    """Ask the list about a URL that is parsed as a spec's is."""
    return AllowedHosts.parse(entries).allows(parse_url(url), namespace)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://whatsapp-15550001111", Url(host="whatsapp-15550001111", port=443, path="")),
        ("https://whatsapp.example.com/", Url(host="whatsapp.example.com", port=443, path="")),
        ("https://whatsapp.example.com:8443", Url(host="whatsapp.example.com", port=8443, path="")),
        ("https://a/b/15550001111/", Url(host="a", port=443, path="/b/15550001111")),
        ("https://a:65535/B_c~d.e-f", Url(host="a", port=65535, path="/B_c~d.e-f")),
        ("https://192.0.2.7:443", Url(host="192.0.2.7", port=443, path="")),
        ("https://1a", Url(host="1a", port=443, path="")),
    ],
)
def test_url_in_parts(text: str, url: Url) -> None:
    """A URL is taken apart into what is called."""
    assert parse_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whatsapp",
        "http://whatsapp",
        "HTTPS://whatsapp",
        "https://",
        "https://Whatsapp",
        "https://user@whatsapp",
        "https://user:password@whatsapp",
        "https://whatsapp?x=1",
        "https://whatsapp/#x",
        "https://whatsapp:0",
        "https://whatsapp:0443",
        "https://whatsapp:65536",
        "https://whatsapp:",
        "https://whatsapp//x",
        "https://whatsapp/x/../y",
        "https://whatsapp/./y",
        "https://whatsapp/.",
        "https://whatsapp/x%2fy",
        "https://whatsapp/x y",
        "https://whatsapp/x\n",
        "https://whatsapp\n",
        "https://whatsapp\\@example.com",
        "https://whatsapp.",
        "https://whatsapp..example.com",
        "https://.whatsapp",
        "https://-whatsapp",
        "https://whatsapp-.example.com",
        "https://whats_app",
        "https://whatsapp-{digits}",
        "https://whätsapp",
        "https://whatsapp-１",  # noqa: RUF001 - a digit that is not ASCII is the point
        "https://127\u30020\u30020\u30021",  # the ideographic full stop, which is a dot to IDN
        "https://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",  # "localhost" to IDN
        "https://127.0.0.%31",
        "https://whatsapp@127.0.0.1",
        "https://127.0.0.1@whatsapp",
        "https://127.0.0.1:443@whatsapp",
        "https://127.0.0.1\\@whatsapp",
        "https://[::ffff:127.0.0.1]",
        "https://127.0.0.1.",
        "https://localhost.",
        "https://[::1]",
        "https://" + "a" * 64,
        "https://" + "a." * 127 + "com",
        "https://a/" + "b" * 1024,
    ],
)
def test_not_a_url(text: str) -> None:
    """Whatever two parsers could understand differently is refused."""
    with pytest.raises(ValueError, match=r"^must "):
        parse_url(text)


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "127.1",
        "0177.0.0.1",
        "127.0.0.01",
        "127.000.000.001",
        "0x7f.0x0.0x0.0x1",
        "017700000001",
        "256.0.0.1",
        "1.2.3.4.5",
        "a.0x",
        "a.1",
    ],
)
def test_odd_numbers(host: str) -> None:
    """A host that a resolver may take for an address must be a plain dotted quad, also in the operator's list."""
    with pytest.raises(ValueError, match="four plain decimal numbers"):
        parse_url(f"https://{host}")
    with pytest.raises(ValueError, match="four plain decimal numbers"):
        AllowedHosts.parse([host])


@given(st.text(max_size=60) | st.text(alphabet="a1-.:/~_@%{0x", max_size=20))
def test_any_text(text: str) -> None:
    """Whatever is parsed is written again as it was, but for what means nothing."""
    try:
        url = parse_url(f"https://{text}")
    except ValueError:
        return
    assert parse_url(str(url)) == url
    assert str(url) == f"https://{text}".removesuffix("/").replace(":443", "")


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
    """Services of the object's own namespace are allowed on port 443, whatever else the list says."""
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
    """An entry stands for what it says and no more."""
    assert allows([entry], url) is allowed


def test_cloud_host() -> None:
    """The operator's own Cloud address needs no entry; its port counts."""
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
def test_faulty_entry(entry: str) -> None:
    """An entry that stands for nothing is a fault that names it."""
    with pytest.raises(ValueError, match=r"^'.*' (is|has|must) ") as fault:
        AllowedHosts.parse(["whatsapp.example.com", entry])
    assert repr(entry) in str(fault.value)


def test_all_faults_at_once() -> None:
    """Every faulty entry is named, not only the first."""
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
    """Only an entry that is this very address names it."""
    assert AllowedHosts.parse([entry]).names_address(ip_address(address), port) is named


@pytest.mark.parametrize(
    ("url", "flag"),
    [
        ("https://whatsapp.example.com/path", "--allow-host=whatsapp.example.com"),
        ("https://whatsapp.example.com:8443", "--allow-host=whatsapp.example.com:8443"),
    ],
)
def test_refusal_names_the_flag(url: str, flag: str) -> None:
    """A refusal ends with the flag that would allow the host, and following it does."""
    refusal = AllowedHosts().refusal(parse_url(url))
    assert refusal == f"host whatsapp.example.com is not allowed; start the operator with {flag}"
    assert allows([flag.removeprefix("--allow-host=")], url)


@pytest.mark.parametrize("host", ["169.254.169.254", "168.63.129.16", "100.100.100.200", "metadata.google.internal"])
def test_nobody_is_told_to_allow_a_clouds_metadata(host: str) -> None:
    """Who asks there is handed the credentials of the machine; that is no place for an API."""
    refusal = AllowedHosts().refusal(parse_url(f"https://{host}:8443/latest"))
    assert refusal == (
        f"host {host} is a cloud's metadata service; no API is there, and nobody should be made to call it"
    )


def test_refusal_is_short() -> None:
    """A refusal fits into a status row, however long the host."""
    url = parse_url("https://" + "a" * 60 + ".b" * 90 + ":8443")
    assert len(AllowedHosts().refusal(url)) <= 200
