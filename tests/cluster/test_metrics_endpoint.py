"""The metrics of the real process, as Prometheus and its tools read them."""

from __future__ import annotations

import gzip
import re
import subprocess
from typing import TYPE_CHECKING

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from support import keys
from support.cluster.prometheus import Prometheus
from support.scrape import Scrape

if TYPE_CHECKING:
    from support.cluster.scene import Scene
    from support.programs.binaries import PrometheusBinaries


def shown(scene: Scene) -> Scrape:
    """Return what the operator shows now."""
    status, _, body = scene.operator.metrics()
    assert status == 200
    return Scrape(body.decode())


def test_what_the_process_shows(scene: Scene, prometheus: PrometheusBinaries) -> None:
    """Promtool has nothing against it, the values are right, nothing is secret, and series end with the object."""
    first, second, third = scene.simulator.pods.values()
    third.password = "another one"
    pair = keys.rsa()
    scene.put_key(pair)
    scene.apply(scene.manifest())
    scene.wait_for(lambda: first.holds(pair.public) and second.holds(pair.public), "two numbers are signed")
    scene.wait_for(lambda: scene.ready() == ("False", "AccessDenied"), "the third refuses the password")
    found, labels = shown(scene), {"namespace": scene.namespace, "name": "flows"}

    assert found.values("bek_condition", "status", type="Ready", **labels) == {"False": 1}
    assert found.values("bek_condition", "status", type="Stalled", **labels) == {"True": 1}
    assert found.values("bek_numbers", "reason", **labels) == {"Signed": 2, "AccessDenied": 1}
    assert (found.value("bek_publishes_total", api="OnPremises", result="accepted") or 0) >= 2
    refused = {"api": "OnPremises", "operation": "login", "code_class": "4xx", "error": "AccessDenied"}
    assert (found.value("bek_api_requests_total", **refused) or 0) >= 1
    assert (found.values("rest_client_requests_total", "code", method="PUT").get("200") or 0) >= 1
    # The watches of kopf and of Secrets are requests, too.
    assert (found.values("rest_client_requests_total", "code", method="GET").get("200") or 0) >= 3
    assert (found.value("bek_secret_watch_last_event_timestamp_seconds") or 0) > 1.7e9
    assert (found.value("process_resident_memory_bytes") or 0) > 1e7

    checked = subprocess.run(
        [prometheus.promtool, "check", "metrics"], input=found.text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")

    tokens = [token for pod in scene.simulator.pods.values() for token in pod._tokens]
    material = [line for line in pair.private.splitlines() if re.fullmatch("[A-Za-z0-9+/=]{40,}", line)]
    assert tokens
    assert material
    digits = [number.removeprefix("+") for number in scene.simulator.pods]
    for secret in (*digits, *tokens, *material, "BEGIN", "Bearer", "https:", scene.simulator.url):
        assert secret not in found.text

    scene.kubectl("delete", "bek", "flows")
    scene.wait_for(lambda: scene.namespace not in shown(scene).text, "the series of the object end")


def test_open_metrics_compressed(scene: Scene) -> None:
    """As Prometheus asks for it; nothing else is served at that port."""
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    status, content_type, body = scene.operator.metrics(Accept=accept, Accept_Encoding="gzip")
    assert (status, content_type.split(";")[0]) == (200, "application/openmetrics-text")
    families = text_string_to_metric_families(gzip.decompress(body).decode())
    assert "bek_build_info" in [family.name for family in families]
    assert scene.operator.metrics("/healthz")[0] == 404


def test_prometheus_scrapes_it(scene: Scene, prometheus: PrometheusBinaries) -> None:
    """A query tells that an object is ready."""
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()
    ports = {"bek-operator-1": scene.operator.metrics_port}
    with Prometheus(prometheus, scene.api_server.keeper, ports, {"groups": []}) as server:
        query = f'bek_condition{{namespace="{scene.namespace}",type="Ready",status="True"}} == 1 and on () up == 1'
        scene.wait_for(lambda: [one["metric"]["name"] for one in server.query(query)] == ["flows"], "it is scraped")
        assert server.targets() == [("up", "")]
