"""The image as the Deployment runs it: read-only, without capabilities, under a user id that nobody knows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from image.container import FILES, OperatorContainer, confined
from support import keys
from support.cluster.scene import KEY_SECRET, Scene
from support.simulators.business import Business
from support.simulators.cloud import Cloud
from support.simulators.on_premises import OnPremises, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from support.cluster.apiserver import ApiServer
    from support.programs.image import Engine

OURS = "/opt/bek-operator"
MOST_MEGABYTES = 75
NAMESPACE = "messaging"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Provide the Cloud API."""
    with Cloud() as running:
        yield running


@pytest.fixture
def container(installed: ApiServer, engine: Engine, built: str, cloud: Cloud) -> Iterator[OperatorContainer]:
    """Provide the operator, not started yet."""
    flags = ["--allow-host=127.0.0.1:*", f"--cloud-url={cloud.url}", f"--cloud-ca={FILES}/cloud.crt"]
    container = OperatorContainer(installed, engine, built, flags, {"cloud.crt": cloud.certificate.authority})
    yield container
    container.kill()


@pytest.fixture
def scene(installed: ApiServer, container: OperatorContainer) -> Iterator[Scene]:
    """Provide a namespace with two numbers On-Premises."""
    installed.kubectl("create", "namespace", NAMESPACE)
    with OnPremises(numbers(2)) as simulator:
        scene = Scene(installed, NAMESPACE, simulator, container)
        scene.put_access()
        yield scene
    installed.kubectl("delete", "bek,secrets", "--all", f"--namespace={NAMESPACE}")


@pytest.fixture
def business(cloud: Cloud) -> Business:
    """Provide a business with a number at the Cloud API."""
    business = Business(cloud)
    business.add()
    return business


# Of three starts the quickest, in seconds by the clock and of CPU: the first one reads from the disk.
TIME_A_START = f"""
import resource, subprocess, time
def used():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
def start():
    began, before = time.monotonic(), used()
    with subprocess.Popen(["{OURS}/bin/bek-operator"], stderr=subprocess.PIPE) as process:
        process.stderr.readline()
        took = time.monotonic() - began
        process.kill()
    return took, used() - before
print("%.2f s (%.2f s of CPU)" % min(start() for _ in range(3)))
"""


def run(engine: Engine, built: str, *command: str, check: bool = True) -> CompletedProcess[str]:
    """Run a program of the image, in the place of the operator."""
    program, *arguments = command
    return engine.run(*confined(built, "--rm", f"--entrypoint={program}"), *arguments, check=check)


def rotate(scene: Scene, business: Business, pair: keys.KeyPair, form: str) -> None:
    """Put another key into the Secret, in one of its forms, and wait until each number has it."""
    texts = {
        "private.pem": pair.private,
        "public.pem": pair.public,
        "tls.crt": keys.certificate_of(pair.private, pair.passphrase),
    }
    scene.put_secret(KEY_SECRET, {form: texts[form], "passphrase": pair.passphrase or "not needed"})
    scene.wait_for(
        lambda: scene.simulator.all_hold(pair.public) and business.numbers[0].holds(pair.public), f"{form} is published"
    )


def test_it_works_as_a_pod_does(scene: Scene, container: OperatorContainer, business: Business) -> None:
    """It signs and rotates at both APIs with every form of a key, reports what fails, and ends with 0 by SIGTERM."""
    listed = [*({"phoneNumber": number} for number in scene.simulator.pods), *business.listed()]
    apis = [scene.api(), business.api(proof=True)]
    named = {"name": KEY_SECRET, "passphraseKey": "passphrase"}
    scene.put_key(keys.encrypted())
    scene.apply(
        *business.secrets(),
        scene.manifest(keySecretRef=named, apis=apis, phoneNumbers=listed),
        scene.manifest("away", keySecretRef=named, apis=[scene.api(url="https://127.0.0.1:1/{digits}")]),
    )

    container.start()
    scene.wait_ready()
    rotate(scene, business, keys.encrypted_classic(), "private.pem")
    rotate(scene, business, keys.rsa(), "public.pem")
    rotate(scene, business, keys.rsa("third"), "tls.crt")
    scene.wait_ready()
    scene.wait_for(lambda: scene.ready("away") == ("False", "Unreachable"), "the API that is away is reported")

    kernel = container.kernel_status
    assert kernel["Uid"].split() == [str(container.user)] * 4
    assert [kernel[name] for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")] == ["0" * 16, "0" * 16, "1", "2"]
    assert container.metrics()[0] == 200
    assert container.stop() == 0
    assert '"stopped: SIGTERM"' in scene.log_text().splitlines()[-1]
    assert "Traceback" not in scene.log_text()


def test_a_wrong_setting_ends_it_with_2(engine: Engine, built: str) -> None:
    """Each wrong one is named."""
    answer = engine.run(*confined(built, "--rm"), "--concurrency=none", "--log-level=loud", check=False)

    assert answer.returncode == 2
    assert "concurrency" in answer.stderr
    assert "log-level" in answer.stderr


def test_it_holds_little_but_what_runs(engine: Engine, built: str) -> None:
    """Of programs only Python and the operator, and no more megabytes than promised."""
    programs = run(engine, built, "ls", f"{OURS}/bin").stdout.split()
    megabytes = int(run(engine, built, "du", "--summarize", "--block-size=1MB", OURS).stdout.split()[0])
    took = run(engine, built, f"{OURS}/bin/python", "-c", TIME_A_START).stdout.strip()
    told = f"{megabytes} MB in {OURS}; {took} from a start to the first line of the log"
    print(told, file=sys.stderr)  # noqa: T201 - for whoever runs it

    assert [name for name in programs if not name.startswith("python")] == ["bek-operator"]
    assert megabytes <= MOST_MEGABYTES


def test_each_package_is_one_that_the_operator_imports(engine: Engine, built: str) -> None:
    """So what a scanner finds by the packages' metadata is what can run."""
    text = """
import importlib.metadata, pkgutil, sys, bek_operator
[__import__(module.name) for module in pkgutil.walk_packages(bek_operator.__path__, "bek_operator.")]
loaded = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
for found in importlib.metadata.distributions(path=[path for path in sys.path if "site-packages" in path]):
    print(found.name, any(str(found.locate_file(file)) in loaded for file in found.files))
"""
    found = dict(line.split() for line in run(engine, built, f"{OURS}/bin/python", "-c", text).stdout.splitlines())

    assert [name for name, is_loaded in found.items() if is_loaded != "True"] == []
    assert found.keys() >= {"bek-operator", "kopf", "kubernetes", "httpx", "cryptography", "aiohttp"}
