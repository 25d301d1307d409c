"""Identity: the URL of a number's API, and whether two entries lead to the same number."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from bek_operator.crd.types import CloudApi, Number, OnPremisesApi, ProviderApi
from bek_operator.net.hosts import qualify
from bek_operator.net.url import Url, parse_url


def identity_of(number: Number, namespace: str) -> str | None:
    """Return the identity of an endpoint; `None` if it is not known.

    On the Cloud API that is the phone number id, whatever token or version it is called with. Elsewhere it is the
    URL; where the credential selects the number, the Secret's entry too.
    """
    match number.api:
        case CloudApi():
            return f"phone number id {number.identity}"
        case OnPremisesApi():
            found = url_of(number.api, number, namespace)
            return str(found[0]) if found else None
        case ProviderApi(api_key=key):
            found = url_of(number.api, number, namespace)
            return f"{found[0]} {key.secret}/{number.fill_in(key.entry or '')}" if found else None
        case _:
            return None


def url_of(api: OnPremisesApi | ProviderApi, number: Number, namespace: str) -> tuple[Url, str] | None:
    """Return the URL of a number's API, and its host as written in the spec; `None` if the URL is invalid.

    A host without a dot is a Service of the object's namespace.
    """
    return url_in(number.fill_in(api.url), namespace)


# Asked for several times with every new key, and slow; equal URLs are one value.
@lru_cache(maxsize=16_384)
def url_in(text: str, namespace: str, parse: Callable[[str], Url] = parse_url) -> tuple[Url, str] | None:
    """Return a URL in an object of a namespace, and its host as written; `None` if it is invalid."""
    try:
        url = parse(text)
    except ValueError:
        return None
    return replace(url, host=qualify(url.host, namespace)), url.host
