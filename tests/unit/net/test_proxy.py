"""URLs of proxies."""

import pytest

from bek_operator.net.proxy import Proxy, parse_proxy
from bek_operator.secret_str import SecretStr


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy.test:3128", Proxy(scheme="http", host="proxy.test", port=3128)),
        ("http://proxy.test:3128/", Proxy(scheme="http", host="proxy.test", port=3128)),
        ("proxy.test:3128", Proxy(scheme="http", host="proxy.test", port=3128)),
        ("PROXY.test", Proxy(scheme="http", host="proxy.test", port=80)),
        ("https://proxy.test", Proxy(scheme="https", host="proxy.test", port=443)),
        ("http://192.0.2.7:3128", Proxy(scheme="http", host="192.0.2.7", port=3128)),
        ("http://[2001:db8::7]:3128", Proxy(scheme="http", host="2001:db8::7", port=3128)),
        (
            "http://user:p%40ss%3A@proxy.test:3128",
            Proxy(scheme="http", host="proxy.test", port=3128, username="user", password=SecretStr("p@ss:")),
        ),
        ("http://user@proxy.test", Proxy(scheme="http", host="proxy.test", port=80, username="user")),
    ],
)
def test_valid(text: str, proxy: Proxy) -> None:
    """Scheme, host, port and credentials."""
    assert parse_proxy(text) == proxy


@pytest.mark.parametrize("text", ["http://proxy.test:3128", "https://[2001:db8::7]:443"])
def test_str_has_no_credentials(text: str) -> None:
    """The URL without user and password."""
    assert str(parse_proxy(text)) == text
    assert str(parse_proxy(text.replace("://", "://user:sesame@"))) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://",
        "socks5://proxy.test:1080",
        "ftp://proxy.test",
        "http://proxy.test:0",
        "http://proxy.test:port",
        "http://proxy.test:99999",
        "http://proxy.test/path",
        "http://proxy.test?query",
        "http://proxy.test#fragment",
        "http://pro xy.test",
        "http://-proxy.test",
        "http://[2001:db8::7",
        "http://[nonsense]",
        "http://proxy\n.test",
    ],
)
def test_invalid(text: str) -> None:
    """The message does not quote it: it may hold a password."""
    secret = text.replace("http://", "http://user:hunter2@") if "://" in text else text
    for one in (text, secret):
        with pytest.raises(ValueError, match=r"^must be http://host:port") as fault:
            parse_proxy(one)
        assert "hunter2" not in str(fault.value)
        assert fault.value.__cause__ is None


def test_repr_has_no_credentials() -> None:
    """Neither user nor password."""
    shown = repr(parse_proxy("http://someone:hunter2@proxy.test"))
    assert "someone" not in shown
    assert "hunter2" not in shown
