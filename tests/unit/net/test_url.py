"""https URLs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bek_operator.net.hosts import AllowedHosts
from bek_operator.net.url import Url, parse_full_url, parse_url


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
    """A URL is parsed into its parts."""
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
        "https://127\u30020\u30020\u30021",  # IDN maps the ideographic full stop to a dot
        "https://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",  # IDN maps it to "localhost"
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
def test_invalid_url(text: str) -> None:
    """What two parsers could interpret differently is refused."""
    with pytest.raises(ValueError, match=r"^must "):
        parse_url(text)


@pytest.mark.parametrize(
    ("text", "url", "target"),
    [
        ("https://a.example.com", Url(host="a.example.com", port=443, path=""), "/"),
        ("https://a.example.com/", Url(host="a.example.com", port=443, path=""), "/"),
        ("https://a:8443/b/", Url(host="a", port=8443, path="/b/"), "/b/"),
        ("https://a/b%20c/d@e", Url(host="a", port=443, path="/b%20c/d@e"), "/b%20c/d@e"),
        ("https://a/?x=%2F/?", Url(host="a", port=443, path="", query="x=%2F/?"), "/?x=%2F/?"),
        ("https://a/b?./", Url(host="a", port=443, path="/b", query="./"), "/b?./"),
    ],
)
def test_a_full_url_is_sent_as_it_is_written(text: str, url: Url, target: str) -> None:
    """With a slash at its end, escapes and a query; the query is not in what is shown."""
    found = parse_full_url(text)
    assert (found, found.target) == (url, target)
    assert "x=" not in f"{found} {found!r}"


@pytest.mark.parametrize(
    "text",
    [
        "http://a/b",
        "https://a?x=1",
        "https://a/?",
        "https://a/b#c",
        "https://user@a/b",
        "https://a//b",
        "https://a/b//",
        "https://a/%",
        "https://a/%2",
        "https://a/%2g",
        "https://a/?%0d%0a",
        "https://a/%7F",
        "https://a/%2e%2e/b",
        "https://a/../b",
        "https://a/.?x",
        "https://a/b?x=..",
        "https://a/b c",
        "https://a/b\n",
        "https://a/b'c",
        "https://a/{b}",
        "https://a/ü",
        "https://a:65536/",
        "https://127.1/b",
        "https://a/?" + "b" * 1024,
    ],
)
def test_invalid_full_url(text: str) -> None:
    """As strict as for the URL of an API, with the same bounds."""
    with pytest.raises(ValueError, match=r"^must "):
        parse_full_url(text)


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
def test_other_address_notations(host: str) -> None:
    """A host that a resolver may take for an address must be a dotted quad, also in `--allow-host`."""
    with pytest.raises(ValueError, match="four plain decimal numbers"):
        parse_url(f"https://{host}")
    with pytest.raises(ValueError, match="four plain decimal numbers"):
        AllowedHosts.parse([host])


@given(st.text(max_size=60) | st.text(alphabet="a1-.:/~_@%{0x", max_size=20))
def test_any_text(text: str) -> None:
    """A parsed URL is formatted as it was, except for redundant parts."""
    try:
        url = parse_url(f"https://{text}")
    except ValueError:
        return
    assert parse_url(str(url)) == url
    assert str(url) == f"https://{text}".removesuffix("/").replace(":443", "")
