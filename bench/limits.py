"""The simulator's own limit, to show that it does not limit the measurements."""

import ssl

import aiohttp

from bench import names
from bench.baselines import baseline
from bench.environment import Environment
from bench.figures import Raw
from bench.phones import Phones

_BUSY = 50


class NotRefusedError(Exception):
    """The simulator accepted what the real API refuses, so figures would mean nothing."""


async def measure(env: Environment) -> Raw:
    """Let it answer without delay what the fastest client sends, and measure its CPU."""
    phones, numbers = env.phones, env.fewer(1000)
    await _check_that_it_refuses(phones)
    usual = phones.delay
    results = {}
    for api in ("cloud", "on-premises"):
        async with baseline(phones, api, numbers, _BUSY, "aiohttp") as made:
            await made.run(env.next_key())
            phones.delay = 0.0
            try:
                before = phones.cpu()
                took = await made.run(env.next_key())
                cpu = phones.cpu() - before
            finally:
                phones.delay = usual
        calls = 2 * numbers
        results[api] = {
            "calls_per_second": calls / took.wall,
            "cpu_per_call": cpu / calls,
            "calls_per_core_second": calls / cpu,
        }
        env.say(f"simulator, {api}: {1e6 * cpu / calls:.0f} µs of CPU a call, so {calls / cpu:,.0f}/s a core")
    return results


async def _check_that_it_refuses(phones: Phones) -> None:
    """Check that wrong calls are refused.

    Raises:
        NotRefusedError: one of them was accepted.
    """
    (index,) = phones.take(1)
    cloud = f"/v25.0/{names.number_id(index)}/whatsapp_business_encryption"
    pod = "/v1/settings/business/whatsapp_business_encryption"
    bearer = {"Authorization": f"Bearer {names.TOKEN}"}
    at_pod = {"Host": names.host(index), "Authorization": f"Bearer bench-token-{index}"}
    key = phones.keys[0].public
    wrong = [
        ("GET", cloud, {}, None, 401),
        ("GET", "/v25.0/1/whatsapp_business_encryption", bearer, None, 404),
        ("GET", cloud.replace("v25.0", "v9"), bearer, None, 404),
        ("POST", cloud, bearer, {"business_public_key": "nonsense"}, 400),
        ("POST", cloud, bearer, {"public_key": key}, 400),
        ("POST", cloud, {**bearer, "Content-Type": "application/json"}, b"{}", 400),
        ("POST", "/v1/users/login", {"Host": names.host(index), "Authorization": "Basic nonsense"}, None, 401),
        ("GET", pod, {"Host": names.host(index)}, None, 401),
        ("GET", pod, {**at_pod, "Host": names.host(index + 1)}, None, 401),
        ("POST", pod, at_pod, {"business_public_key": key}, 400),
    ]
    context = ssl.create_default_context(cadata=phones.certificate.authority)
    async with aiohttp.ClientSession(phones.url, trust_env=False) as session:
        for method, path, headers, body, status in wrong:
            async with session.request(method, path, headers=headers, data=body, ssl=context) as answer:
                if answer.status != status:
                    raise NotRefusedError(f"{method} {path}: HTTP {answer.status}, not {status}")
