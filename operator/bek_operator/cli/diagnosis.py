"""The steps of a ping to a Flow endpoint: which succeeded, which failed, and what the status would say of it."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from bek_operator.crd.reasons import EndpointReason, Reason
from bek_operator.endpoint.facts import EndpointFacts, EndpointVerdict, after_answer, after_earlier
from bek_operator.endpoint.judge import Answer, Step
from bek_operator.endpoint.target import EndpointTarget
from bek_operator.http.errors import HttpError
from bek_operator.http.interface import HttpClient
from bek_operator.http.resolver import Resolver
from bek_operator.keys.public_key import PublicKey
from bek_operator.net.url import Url
from bek_operator.numbers.endpoint import FlowEndpoint
from bek_operator.whatsapp.flow_endpoint import FlowEndpointClient

OK, FAILED, NOT_REACHED = "ok", "failed", "not reached"

_LOOKUP_SECONDS: Final = 10.0
_CONNECT_SECONDS: Final = 4.0
_MAX_ADDRESSES_TRIED: Final = 4
_BY_PROXY: Final = "by the proxy"

_SHOWN: Final[Mapping[Step, str]] = {
    Step.DECRYPTION: "it opened the ping, and its answer opens with the same AES key and the vector inverted",
    Step.CONTENT: '{"data": {"status": "active"}}',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What a ping has shown.

    Attributes:
        key: The key that the ping was encrypted to.
        failed: The step that failed; `None` if none did.
        seen: What was seen at steps that succeeded.
        verdict: What the status would show.
    """

    endpoint: FlowEndpoint
    key: PublicKey
    failed: Step | None
    seen: Mapping[Step, str]
    verdict: EndpointVerdict

    @property
    def holds_key(self) -> bool:
        """Return whether the endpoint opens what clients encrypt, also to keys that numbers still hold."""
        return self.verdict.reason is EndpointReason.HOLDS_KEY

    @property
    def could_not_ask(self) -> bool:
        """Return whether it says nothing of the endpoint: its address is forbidden, or the CA bundle unusable."""
        return self.verdict.reason in {Reason.HOST_NOT_ALLOWED, Reason.INVALID_CREDENTIALS}

    def rows(self) -> Iterator[tuple[Step, str, str]]:
        """Yield each step, its result, and what was seen."""
        result = OK
        for step in Step:
            if step is self.failed:
                result = FAILED
            yield step, result, self.seen.get(step, "") if result == OK else ""
            if step is self.failed:
                result = NOT_REACHED

    def as_data(self) -> dict[str, Any]:
        """Return plain data for JSON and YAML."""
        return {
            "url": str(self.endpoint.url),
            "publicKeyFingerprint": self.key.fingerprint,
            "signed": self.endpoint.app_secret is not None,
            "opens": self.holds_key,
            "reason": str(self.verdict.reason),
            "message": self.verdict.message,
            "steps": [{"step": str(step), "result": result, "seen": seen} for step, result, seen in self.rows()],
        }


async def diagnose(
    http: HttpClient, resolver: Resolver | None, endpoint: FlowEndpoint, key: PublicKey, earlier: Sequence[PublicKey]
) -> Diagnosis:
    """Ping an endpoint.

    Args:
        http: Sends the pings.
        resolver: Its resolver; `None` where a proxy resolves names and connects.
        endpoint: The endpoint.
        key: What to encrypt the ping to.
        earlier: Keys that numbers still hold; it is asked for these, too, if it tells keys from each other.
    """
    seen = await _reached(resolver, endpoint.url) if resolver else {Step.NAME: _BY_PROXY}
    client = FlowEndpointClient(http)
    answer = await client.ping(endpoint, key.pem)
    unasked = EndpointFacts(target=_target(endpoint, key))
    facts = after_answer(unasked, answer, now=0.0, jitter=0.0, earlier=[one.fingerprint for one in earlier])
    if facts.asks_earlier:
        answers = [(one.fingerprint, await client.ping(endpoint, one.pem)) for one in earlier]
        facts = after_earlier(facts, [one for one, found in answers if found.reason is EndpointReason.LACKS_KEY])
    shown = {Step.CONNECTION: _BY_PROXY, Step.TLS: f"certificate for {endpoint.trust.server_name}", **_SHOWN, **seen}
    return Diagnosis(
        endpoint=endpoint, key=key, failed=_failed(answer, seen, resolver), seen=shown, verdict=facts.verdict
    )


async def _reached(resolver: Resolver, url: Url) -> dict[Step, str]:
    """Return what is seen of name and connection; a step that fails is left out, and the ping says why."""
    seen: dict[Step, str] = {}
    with suppress(HttpError, TimeoutError):
        async with asyncio.timeout(_LOOKUP_SECONDS):
            addresses = await resolver.resolve(url.host, url.port)
        seen[Step.NAME] = ", ".join(addresses)
        for address in addresses[:_MAX_ADDRESSES_TRIED]:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CONNECT_SECONDS):
                    _, writer = await asyncio.open_connection(address, url.port)
                writer.close()
                seen[Step.CONNECTION] = f"{address}, port {url.port}"
                break
    return seen


def _failed(answer: Answer, seen: Mapping[Step, str], resolver: Resolver | None) -> Step | None:
    """Return the step that failed; the ping itself does not tell name, connection and TLS from each other."""
    if answer.failed is not Step.CONNECTION or resolver is None:
        return answer.failed
    return next((step for step in (Step.NAME, Step.CONNECTION) if step not in seen), Step.TLS)


def _target(endpoint: FlowEndpoint, key: PublicKey) -> EndpointTarget:
    return EndpointTarget(
        address=str(endpoint.url), endpoint=endpoint, problem=None, key=key, gate=True, interval=_LOOKUP_SECONDS
    )
