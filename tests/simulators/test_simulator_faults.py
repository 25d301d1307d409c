"""The simulator of the On-Premises API can be stopped, and fails on request."""

import json
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from simulators.plain_client import ONE, TWO, Client, Connect, code_of, key_of
from support import keys
from support.simulators import faults
from support.simulators.on_premises import OnPremises, numbers
from support.simulators.pod_api import ENCRYPTION, LOGIN
from support.tls import self_signed, signed_by


class TestReach:
    """How a pod is reached."""

    @pytest.mark.parametrize("number", [ONE, TWO])
    def test_front_by_path(self, connect: Connect, simulator: OnPremises, number: str) -> None:
        """The front routes to the pod that the path names."""
        client = connect(number, url=simulator.url.format(digits=number[1:]))
        client.publish(keys.rsa().public)
        assert simulator[number].holds(keys.rsa().public)
        assert {record.path for record in simulator[number].requests} == {LOGIN, ENCRYPTION}
        assert simulator.publishes == simulator[number].publishes == 1

    def test_front_by_host(self, connect: Connect, simulator: OnPremises) -> None:
        """The front routes to the pod that the Host header names."""
        client = connect(TWO, url=f"https://127.0.0.1:{simulator.port}", login=False)
        client.http.headers["Host"] = f"whatsapp-{TWO[1:]}.messaging.svc:443"
        assert client.login().status_code == 200
        assert simulator[TWO].logins == 1
        assert simulator.strays == []

    @pytest.mark.parametrize("path", ["/15559999999" + LOGIN, LOGIN, "/"])
    def test_stray(self, connect: Connect, simulator: OnPremises, path: str) -> None:
        """A request for no pod is not found, and recorded."""
        client = connect(ONE, url=f"https://127.0.0.1:{simulator.port}", login=False)
        assert code_of(client.http.get(client.url + path)) == 1006
        assert len(simulator.strays) == 1
        assert simulator.requests == []

    def test_stopped(self, connect: Connect, simulator: OnPremises) -> None:
        """A stopped pod refuses connections, and starts again at the same port with its state."""
        pod, client = simulator[ONE], connect(ONE)
        url = pod.url
        client.publish(keys.rsa().public)
        pod.stop()
        for _ in range(2):
            with pytest.raises(httpx.ConnectError):
                client.read()
        assert connect(TWO).read().status_code == 200
        pod.start()
        assert pod.url == url
        assert key_of(client.read()) == (keys.rsa().public, "VALID")

    def test_stopped_behind_front(self, connect: Connect, simulator: OnPremises) -> None:
        """The front closes the connections of a stopped pod, and of no other."""
        simulator[ONE].stop()
        client = connect(ONE, login=False, url=simulator.url.format(digits=ONE[1:]))
        with pytest.raises(httpx.TransportError):
            client.login()
        simulator[ONE].start()
        assert client.login().status_code == 200

    @pytest.mark.parametrize("front", [False, True])
    def test_frozen(self, connect: Connect, simulator: OnPremises, *, front: bool) -> None:
        """A frozen pod does not respond."""
        pod = simulator[ONE]
        pod.freeze()
        client = connect(ONE, login=False, url=simulator.url.format(digits=ONE[1:]) if front else None)
        client.http.timeout = httpx.Timeout(0.3)
        with pytest.raises(httpx.TimeoutException):
            client.login()
        pod.start()
        client.http.timeout = httpx.Timeout(5)
        assert client.login().status_code == 200
        assert pod.logins == 1

    def test_certificate(self, connect: Connect, simulator: OnPremises) -> None:
        """A pod can start again with another certificate, which is not trusted until the client has it."""
        client = connect(ONE)
        other = signed_by(self_signed("authority"), "127.0.0.1")
        simulator[ONE].show_certificate(other)
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            client.read()
        trusting = Client(simulator[ONE], other.client_context(), simulator[ONE].url)
        with trusting:
            assert trusting.login().status_code == 200

    def test_expired_certificate(self) -> None:
        """A certificate can be expired."""
        old = self_signed(start=datetime.now(UTC) - timedelta(days=9), life=timedelta(days=3))
        with OnPremises([ONE], certificate=old) as simulator:
            client = Client(simulator[ONE], old.client_context(), simulator[ONE].url)
            with client, pytest.raises(httpx.ConnectError, match="expired"):
                client.login()

    def test_server_name(self, connect: Connect, simulator: OnPremises) -> None:
        """Each pod has its certificate, valid by strict rules, and the requested name is recorded."""
        context = simulator.certificate.client_context()
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        client = Client(simulator[ONE], context, simulator[ONE].url)
        with client:
            answer = client.login(extensions={"sni_hostname": "whatsapp-web-service"})
        assert answer.status_code == 200
        assert simulator[ONE].requests[0].server_name == "whatsapp-web-service"
        assert connect(TWO).pod.requests[0].server_name is None

    def test_other_loopback_address(self, simulator: OnPremises) -> None:
        """A pod can have its own address."""
        pod = simulator.add("+15550003333", host="127.0.0.9")
        assert pod.url.startswith("https://127.0.0.9:")
        with socket.create_connection(("127.0.0.9", int(pod.url.rpartition(":")[2])), 5):
            pass

    def test_behind_front_only(self, connect: Connect, simulator: OnPremises) -> None:
        """A pod can do without its own port."""
        pod = simulator.add("+15550003333", own_port=False)
        for impossible in (lambda: pod.url, lambda: pod.show_certificate(self_signed())):
            with pytest.raises(LookupError):
                impossible()
        assert connect(pod.number, url=simulator.url.format(digits=pod.digits)).read().status_code == 200
        pod.stop()
        pod.start()

    def test_thousand(self) -> None:
        """A thousand pods start and stop in seconds, each with its port."""
        began = time.monotonic()
        with OnPremises(numbers(1000)) as simulator:
            assert len({pod.url for pod in simulator.pods.values()}) == 1000
        assert time.monotonic() - began < 20


class TestFaults:
    """Misbehaviour."""

    def test_counted(self, connect: Connect, simulator: OnPremises) -> None:
        """Faults apply to their kind of request, in their order, as often as they should."""
        client, pod = connect(ONE), simulator[ONE]
        pod.fail("read", faults.error(1017), times=2)
        pod.fail("read", faults.error(1011))
        pod.fail("publish", faults.error(1023))
        assert [code_of(client.read()) for _ in range(3)] == [1017, 1017, 1011]
        assert client.read().status_code == 200
        assert code_of(client.publish(keys.rsa().public)) == 1023
        assert pod.published == []

    def test_until_healed(self, connect: Connect, simulator: OnPremises) -> None:
        """A fault without a count lasts until it is healed."""
        client, pod = connect(ONE), simulator[ONE]
        pod.fail("any", faults.error(1014), times=None)
        assert [code_of(client.read()) for _ in range(3)] == [1014] * 3
        assert code_of(client.login()) == 1014
        pod.heal()
        assert client.read().status_code == 200

    @pytest.mark.parametrize("code", [1000, 1005, 1015, 1024, 430, 4711])
    def test_codes(self, connect: Connect, simulator: OnPremises, code: int) -> None:
        """Any code can be returned, with any HTTP status."""
        client = connect(ONE)
        simulator[ONE].fail("read", faults.error(code))
        simulator[ONE].fail("read", faults.error(code, status=502))
        assert [code_of(client.read()), code_of(client.read())] == [code, code]
        assert simulator[ONE].requests[-1].status == 502

    @pytest.mark.parametrize(
        ("value", "header"),
        [
            ("30", "30"),
            (datetime(2026, 11, 22, 10, 0, tzinfo=UTC), "Sun, 22 Nov 2026 10:00:00 GMT"),
            ("soon", "soon"),
            (None, None),
        ],
    )
    def test_rate_limit(
        self, connect: Connect, simulator: OnPremises, value: str | datetime | None, header: str | None
    ) -> None:
        """Retry-After can be in seconds, a date, or malformed."""
        client = connect(ONE)
        simulator[ONE].fail("read", faults.rate_limited(value))
        answer = client.read()
        assert (answer.status_code, code_of(answer)) == (429, 1015)
        assert answer.headers.get("retry-after") == header

    @pytest.mark.parametrize("shape", faults.SHAPES)
    def test_shapes(self, connect: Connect, simulator: OnPremises, shape: str) -> None:
        """Any text can be returned with HTTP 200."""
        client = connect(ONE)
        simulator[ONE].fail("read", faults.text(faults.SHAPES[shape]))
        answer = client.read()
        assert (answer.status_code, answer.text) == (200, faults.SHAPES[shape])

    def test_page(self, connect: Connect, simulator: OnPremises) -> None:
        """A proxy's page can be returned with HTTP 200."""
        client = connect(ONE)
        simulator[ONE].fail("any", faults.page())
        answer = client.read()
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"

    def test_redirect(self, connect: Connect, simulator: OnPremises) -> None:
        """The client can be redirected."""
        client = connect(ONE)
        simulator[ONE].fail("read", faults.redirect(simulator[TWO].url + ENCRYPTION))
        answer = client.read()
        assert answer.status_code == 302
        assert answer.headers["location"].startswith(simulator[TWO].url)

    def test_twist(self, connect: Connect, simulator: OnPremises) -> None:
        """Parts of a proper response can be changed."""
        client, pod = connect(ONE), simulator[ONE]
        pod.overwrite(keys.rsa().public)
        members = {"business_public_key_signature_status": "REVOKED"}
        twist = faults.Twist(members=members, headers={"Set-Cookie": "a=b"}, content_type="text/plain")
        pod.fail("read", twist)
        answer = client.read()
        assert answer.headers["content-type"] == "text/plain"
        assert answer.cookies["a"] == "b"
        assert key_of(answer) == (keys.rsa().public, "REVOKED")
        client.read()
        assert [record.cookies for record in pod.requests] == [False, False, True]

    def test_reason_phrase(self, connect: Connect, simulator: OnPremises) -> None:
        """The reason phrase need not be ASCII."""
        client = connect(ONE)
        simulator[ONE].fail("read", faults.odd_reason())
        answer = client.read()
        assert answer.status_code == 503
        assert "Störung".encode() in answer.extensions["reason_phrase"]

    @pytest.mark.parametrize("within", ["nothing", "head", "body"])
    @pytest.mark.parametrize("carried_out", [False, True])
    @pytest.mark.parametrize("reset", [False, True])
    def test_cut_off(
        self, connect: Connect, simulator: OnPremises, within: Any, *, carried_out: bool, reset: bool
    ) -> None:
        """A publish can be cut off, in any part of its response, carried out or not."""
        client, pod = connect(ONE), simulator[ONE]
        pod.fail("publish", faults.CutOff(within=within, carried_out=carried_out, reset=reset))
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            client.publish(keys.rsa().public)
        pod.wait_until(lambda: not pod.busy)
        assert pod.holds(keys.rsa().public) is carried_out
        assert (pod.requests[-1].status, pod.requests[-1].carried_out) == (None, carried_out)
        assert client.read().status_code == 200

    def test_slow(self, connect: Connect, simulator: OnPremises) -> None:
        """A response can be delayed; the request takes effect before or after."""
        client, pod = connect(ONE), simulator[ONE]
        client.http.timeout = httpx.Timeout(0.2)
        pod.fail("publish", faults.Slow(60, carried_out=True))
        with pytest.raises(httpx.ReadTimeout):
            client.publish(keys.rsa().public)
        assert pod.holds(keys.rsa().public)
        pod.fail("read", faults.Slow(0.01))
        assert client.read().status_code == 200

    def test_hang(self, connect: Connect, simulator: OnPremises) -> None:
        """A request can hang until it is released, and is recorded meanwhile."""
        client, pod = connect(ONE), simulator[ONE]
        hang = pod.fail("read", faults.Hang())
        answers: list[httpx.Response] = []
        reader = threading.Thread(target=lambda: answers.append(client.read()))
        reader.start()
        pod.wait_until(lambda: pod.reads == 1, what="a read")
        assert pod.busy == 1
        assert connect(TWO).read().status_code == 200
        assert simulator.peak == 2
        hang.release()
        reader.join()
        assert answers[0].status_code == 200
        assert pod.requests[-1].status == 200

    def test_hanging_client_goes(self, connect: Connect, simulator: OnPremises) -> None:
        """A request that hangs ends with its client."""
        client, pod = connect(ONE), simulator[ONE]
        client.http.timeout = httpx.Timeout(0.2)
        pod.fail("read", faults.Hang())
        with pytest.raises(httpx.ReadTimeout):
            client.read()
        pod.wait_until(lambda: not pod.busy)
        assert pod.requests[-1].status is None

    @pytest.mark.parametrize("front", [False, True])
    def test_stop_while_hanging(self, connect: Connect, simulator: OnPremises, *, front: bool) -> None:
        """A stopped pod drops its running requests."""
        client, pod = connect(ONE, url=simulator.url.format(digits=ONE[1:]) if front else None), simulator[ONE]
        pod.fail("read", faults.Hang())
        failures: list[type[Exception]] = []

        def read() -> None:
            try:
                client.read()
            except httpx.TransportError as failure:
                failures.append(type(failure))

        reader = threading.Thread(target=read)
        reader.start()
        pod.wait_until(lambda: pod.busy == 1)
        pod.stop()
        reader.join()
        assert failures
        pod.wait_until(lambda: not pod.busy)

    def test_end_while_hanging(self) -> None:
        """The simulator stops at once, whatever is still running."""
        with OnPremises([ONE]) as simulator:
            pod = simulator[ONE]
            client = Client(pod, simulator.certificate.client_context(), pod.url)
            pod.fail("any", faults.Hang())
            host, port = pod.url.removeprefix("https://").split(":")
            silent = socket.create_connection((host, int(port)), 5)

            def call() -> None:
                with pytest.raises(httpx.TransportError):
                    client.login()

            caller = threading.Thread(target=call)
            caller.start()
            pod.wait_until(lambda: pod.busy == 1)
        caller.join()
        client.http.close()
        silent.settimeout(5)
        assert silent.recv(1) == b""
        silent.close()

    @pytest.mark.parametrize("head_at_once", [False, True])
    def test_drip(self, connect: Connect, simulator: OnPremises, *, head_at_once: bool) -> None:
        """A response can come byte by byte, and is proper in the end."""
        client = connect(ONE)
        simulator[ONE].fail("read", faults.Drip(interval=0.0001, head_at_once=head_at_once))
        assert key_of(client.read()) == ("", "MISMATCH")
        assert client.read().status_code == 200

    def test_huge(self, connect: Connect, simulator: OnPremises) -> None:
        """A proper response can be huge."""
        client = connect(ONE)
        simulator[ONE].fail("read", faults.Huge(size=1_000_000))
        answer = client.read()
        assert len(answer.content) == 1_000_000
        assert key_of(answer) == ("", "MISMATCH")

    def test_endless_body(self, connect: Connect, simulator: OnPremises) -> None:
        """A body can be endless; the simulator stops when the client does."""
        client, pod = connect(ONE), simulator[ONE]
        pod.fail("read", faults.Endless())
        with client.http.stream("GET", client.url + ENCRYPTION, headers=client.bearer()) as answer:
            pieces = answer.iter_raw(65536)
            assert sum(len(next(pieces)) for _ in range(40)) > 2_000_000
        pod.wait_until(lambda: not pod.busy)

    def test_endless_headers(self, connect: Connect, simulator: OnPremises) -> None:
        """Headers can be endless."""
        client, pod = connect(ONE), simulator[ONE]
        pod.fail("read", faults.Endless("headers"))
        with pytest.raises(httpx.RemoteProtocolError):
            client.read()
        pod.wait_until(lambda: not pod.busy)

    def test_gzip_bomb(self, connect: Connect, simulator: OnPremises) -> None:
        """A small body can decompress to a huge one."""
        client = connect(ONE)
        simulator[ONE].fail("read", faults.GzipBomb(size=4 * faults.MEBIBYTE))
        answer = client.read()
        assert int(answer.headers["content-length"]) < 50_000
        assert len(answer.content) > 4 * faults.MEBIBYTE
        assert json.loads(answer.content)["business_public_key"] == ""
