"""Which hosts an object can make the operator call, whatever its author writes."""

import json

from support import keys
from support.cluster.scene import Scene, conditions, secret
from support.simulators.provider import Provider

SPELLINGS = {
    "decimal": "https://2130706433:{port}/{digits}",
    "hexadecimal": "https://0x7f000001:{port}/{digits}",
    "hexadecimal-parts": "https://0x7f.0x0.0x0.0x1:{port}/{digits}",
    "octal": "https://0177.0.0.1:{port}/{digits}",
    "short": "https://127.1:{port}/{digits}",
    "zero-filled": "https://127.000.000.001:{port}/{digits}",
    "ipv6": "https://[::1]:{port}/{digits}",
    "ipv4-in-ipv6": "https://[::ffff:127.0.0.1]:{port}/{digits}",
    "dot-behind": "https://127.0.0.1.:{port}/{digits}",
    "name-with-a-dot-behind": "https://localhost.:{port}/{digits}",
    "escaped": "https://127.0.0.%31:{port}/{digits}",
    "user-info": "https://whatsapp@127.0.0.1:{port}/{digits}",
    "in-user-info": "https://127.0.0.1:{port}@whatsapp/{digits}",
    "other-digits": "https://\uff11\uff12\uff17.0.0.1:{port}/{digits}",
    "other-dots": "https://127\u30020\u30020\u30021:{port}/{digits}",
    "in-letters-in-circles": "https://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3:{port}/{digits}",
    "backslash": "https://127.0.0.1:{port}\\@whatsapp/{digits}",
}
NAMES = {
    "localhost": "https://localhost:{port}/{digits}",
    "another-loopback-address": "https://127.0.0.2:{port}/{digits}",
    "unspecified": "https://0.0.0.0:{port}/{digits}",
    "a-name-that-leads-there": "https://localhost.localdomain:{port}/{digits}",
    "metadata": "https://169.254.169.254/{digits}",
    "another-namespaces-service": "https://whatsapp.elsewhere.svc/{digits}",
}


def test_no_spelling_leads_where_the_operator_may_not_go(scene: Scene) -> None:
    """An address in disguise is refused at admission, a host that nobody allowed when it is to be called."""
    number = next(iter(scene.simulator.pods))
    urls = {name: url.replace("{port}", str(scene.simulator.port)) for name, url in (SPELLINGS | NAMES).items()}
    scene.put_key(keys.rsa())
    manifests = [
        scene.manifest(name, [number], apis=[scene.api(url=url)], publishPolicy="Never") for name, url in urls.items()
    ]

    scene.kubectl("create", "--filename=-", stdin="\n".join(map(json.dumps, manifests)), check=False)
    scene.wait_for(lambda: all("Stalled" in conditions(one) for one in scene.objects()), "all are checked")

    stalled = {one["metadata"]["name"]: conditions(one)["Stalled"] for one in scene.objects()}
    assert set(stalled) == set(NAMES)
    assert {condition["reason"] for condition in stalled.values()} == {"HostNotAllowed"}
    assert scene.simulator.requests == []
    assert scene.simulator.strays == []


def test_a_refused_host_comes_with_the_flag_that_would_allow_it(scene: Scene) -> None:
    """The flag is what would have to be written, with the port, for On-Premises and for providers alike."""
    pod = scene.simulator.add("+15560000001", own_port=True, host="127.0.0.2")
    with Provider(["+15560000002"], host="127.0.0.3") as provider:
        bsp = {
            "url": provider.url,
            "apiKeyHeader": provider.header,
            "apiKeySecretRef": {"name": "provider-keys", "key": "{digits}"},
            "tls": {"caSecretRef": {"name": "whatsapp-ca", "key": "ca.crt"}},
        }
        apis = [scene.api("pod", pod.url), {"name": "bsp", "type": "Provider", "provider": bsp}]
        listed = [{"phoneNumber": pod.number, "api": "pod"}, {"phoneNumber": "+15560000002", "api": "bsp"}]
        scene.put_key(keys.rsa())
        scene.apply(
            secret("provider-keys", {"15560000002": provider.key("+15560000002")}),
            scene.manifest(apis=apis, phoneNumbers=listed),
        )
        scene.wait_for(lambda: "Stalled" in conditions(scene.get()), "the hosts are refused")

        rows = scene.rows()
        for number, url in ((pod.number, pod.url), ("+15560000002", provider.url)):
            authority = url.removeprefix("https://")
            host = authority.partition(":")[0]
            assert rows[number]["reason"] == "HostNotAllowed"
            assert rows[number]["message"] == (
                f"host {host} is not allowed; start the operator with --allow-host={authority}"
            )
        assert pod.requests == provider.requests == []
