"""The simulator of the On-Premises API refuses what the real API refuses, and records its requests."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from simulators.plain_client import ONE, TWO, Connect, code_of, key_of
from support import keys
from support.simulators.on_premises import OnPremises
from support.simulators.pod_api import ENCRYPTION, LOGIN


class TestLogin:
    """Logins."""

    def test_token_lives_a_week(self, connect: Connect) -> None:
        """A login returns a token and the absolute time of its expiry."""
        answer = connect(ONE, login=False).login()
        assert answer.headers["content-type"].startswith("application/json")
        user = answer.json()["users"][0]
        assert set(user) == {"token", "expires_after"}
        assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", user["token"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z", user["expires_after"])
        left = datetime.fromisoformat(user["expires_after"]) - datetime.now(UTC)
        assert timedelta(days=6, hours=23) < left <= timedelta(days=7)

    def test_wrong_end(self, connect: Connect, simulator: OnPremises) -> None:
        """A login can return an invalid expiry; the token works all the same."""
        simulator[ONE].expires_after = "next week"
        client = connect(ONE)
        assert client.login().json()["users"][0]["expires_after"] == "next week"
        assert client.read().status_code == 200

    @pytest.mark.parametrize(
        "more",
        [
            {"auth": ("flows", "wrong")},
            {"auth": ("nobody", "Correct-Horse-7")},
            {"auth": None},
            {"auth": None, "headers": {"Authorization": "Basic !", "Content-Type": "application/json"}},
            {"auth": None, "headers": {"Authorization": "Bearer x", "Content-Type": "application/json"}},
        ],
        ids=["password", "user", "nothing", "no base64", "bearer"],
    )
    def test_wrong_credentials(self, connect: Connect, more: dict[str, Any]) -> None:
        """A login without the right user name and password is refused with 1005."""
        answer = connect(ONE, login=False).login(**more)
        assert (answer.status_code, code_of(answer)) == (401, 1005)

    def test_first_password(self, connect: Connect, simulator: OnPremises) -> None:
        """The admin's initial password gives no access; changing it works, and is recorded as a violation."""
        pod = simulator[ONE]
        pod.username, pod.password = "admin", "secret"
        client = connect(ONE, login=False)
        assert code_of(client.login()) == 1024
        assert code_of(client.login(json={"new_password": "short"})) == 1009
        assert not simulator.violations
        assert client.login(json={"new_password": "Better-Horse-8"}).status_code == 200
        assert pod.password == "Better-Horse-8"
        assert simulator.violations == [f"{ONE}: the password was changed"]

    @pytest.mark.parametrize(
        ("more", "code"),
        [
            ({"headers": {"Content-Type": "text/plain"}}, 1025),
            ({"content": "nonsense"}, 1025),
            ({"content": "[]"}, 1025),
            ({"json": {"password": "x"}}, 1010),
        ],
        ids=["content type", "no JSON", "no object", "unknown parameter"],
    )
    def test_odd_bodies(self, connect: Connect, more: dict[str, Any], code: int) -> None:
        """A login with an undocumented body is refused."""
        answer = connect(ONE, login=False).login(**more)
        assert (answer.status_code, code_of(answer)) == (400, code)


class TestToken:
    """Access to the settings."""

    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer"}, {"Authorization": "Basic Zm9vOmJhcg=="}])
    def test_none(self, connect: Connect, headers: dict[str, str]) -> None:
        """Settings without a token are refused."""
        client = connect(ONE)
        answer = client.http.get(client.url + ENCRYPTION, headers=headers)
        assert (answer.status_code, code_of(answer)) == (401, 1005)

    def test_foreign(self, connect: Connect) -> None:
        """A token of one pod gives no access to another."""
        one, two = connect(ONE), connect(TWO)
        assert two.read(one.token).status_code == 401
        assert two.read().status_code == 200

    def test_revoked(self, connect: Connect, simulator: OnPremises) -> None:
        """A test can end tokens; a new login helps."""
        client = connect(ONE)
        simulator[ONE].expire_tokens()
        assert code_of(client.read()) == 1005
        client.login()
        assert client.read().status_code == 200

    def test_expired(self, connect: Connect, simulator: OnPremises) -> None:
        """A token ends with its lifetime."""
        simulator[ONE].token_life = timedelta(0)
        assert code_of(connect(ONE).read()) == 1005

    def test_several(self, connect: Connect) -> None:
        """Another login leaves the first token valid."""
        client = connect(ONE)
        first = client.token
        client.login()
        assert client.read(first).status_code == 200


class TestRead:
    """GET."""

    @pytest.mark.parametrize(
        ("unset", "document"),
        [
            ("blank", {"business_public_key": "", "business_public_key_signature_status": "MISMATCH"}),
            ("no key", {"business_public_key_signature_status": "MISMATCH"}),
            ("no members", {}),
        ],
    )
    def test_never_set(self, connect: Connect, simulator: OnPremises, unset: Any, document: dict[str, str]) -> None:
        """A number without a key says so in one of the ways that are thought possible."""
        simulator[ONE].unset = unset
        answer = connect(ONE).read().json()
        del answer["meta"]
        assert answer == document

    def test_never_set_not_found(self, connect: Connect, simulator: OnPremises) -> None:
        """A number without a key can also be answered with not found."""
        simulator[ONE].unset = "not found"
        answer = connect(ONE).read()
        assert (answer.status_code, code_of(answer)) == (404, 1006)

    @pytest.mark.parametrize("path", ["/", "/v1", ENCRYPTION + "/", "/" + ENCRYPTION, "/v2/users/login"])
    def test_wrong_path(self, connect: Connect, path: str) -> None:
        """Another path is not found, with or without a token."""
        client = connect(ONE)
        answer = client.http.get(client.url + path, headers=client.bearer())
        assert (answer.status_code, code_of(answer)) == (404, 1006)

    @pytest.mark.parametrize(("method", "path"), [("DELETE", ENCRYPTION), ("PUT", ENCRYPTION), ("GET", LOGIN)])
    def test_wrong_method(self, connect: Connect, method: str, path: str) -> None:
        """Another method is not found either."""
        client = connect(ONE)
        assert code_of(client.http.request(method, client.url + path, headers=client.bearer())) == 1006

    def test_old_client(self, connect: Connect, simulator: OnPremises) -> None:
        """A client from before Flows knows the login but not the path."""
        simulator[ONE].version = "v2.49.4"
        answer = connect(ONE).read()
        assert code_of(answer) == 1006
        assert answer.json()["meta"]["version"] == "v2.49.4"

    def test_unregistered(self, connect: Connect, simulator: OnPremises) -> None:
        """A number that is not registered has no settings until it is."""
        pod = simulator[ONE]
        pod.registered = False
        client = connect(ONE)
        assert code_of(client.read()) == 433
        pod.re_register()
        assert client.read().status_code == 200


class TestPublish:
    """POST."""

    def test_signs(self, connect: Connect, simulator: OnPremises) -> None:
        """A published key is answered with nothing but `meta`, and read back VALID."""
        client, pair = connect(ONE), keys.rsa()
        answer = client.publish(pair.public)
        assert answer.status_code == 200
        assert answer.json() == {"meta": {"api_status": "stable", "version": "v2.53.3"}}
        assert key_of(client.read()) == (pair.public, "VALID")
        pod = simulator[ONE]
        assert pod.holds(pair.public)
        assert pod.published == [pair.fingerprint]
        assert not simulator[TWO].holds(pair.public)

    @pytest.mark.parametrize(
        ("more", "code"),
        [
            ({"data": None, "json": {"public_key": "x"}}, 1008),
            ({"data": None, "files": {"public_key": b"x"}}, 1008),
            ({"data": None}, 1008),
            ({"data": {}, "headers_too": {"Content-Type": "application/x-www-form-urlencoded"}}, 1008),
            ({"data": {"business_public_key": "x"}}, 1010),
            ({"data": {"public_key": ["x", "y"]}}, 1010),
            ({"data": {"public_key": "x", "other": "y"}}, 1010),
            ({"params": {"public_key": "x"}}, 1010),
            ({"data": {"public_key": ""}}, 1009),
        ],
        ids=["JSON", "multipart", "nothing", "empty form", "other name", "twice", "one too many", "query", "empty"],
    )
    def test_wrong_form(self, connect: Connect, simulator: OnPremises, more: dict[str, Any], code: int) -> None:
        """A body other than the documented form is refused."""
        answer = connect(ONE).publish("unused", **more)
        assert (answer.status_code, code_of(answer)) == (400, code)
        assert simulator[ONE].key is None
        assert simulator[ONE].publishes == 1
        assert simulator[ONE].published == []

    @pytest.mark.parametrize(
        "make",
        [
            lambda: keys.elliptic().public,
            lambda: keys.rsa("small", 1024).public,
            lambda: keys.rsa("odd", 2056).public,
            lambda: keys.classic_public_of(keys.rsa().private),
            lambda: keys.certificate_of(keys.rsa().private),
            lambda: keys.rsa().public.replace("\n", "\\n"),
            lambda: keys.rsa().public.replace("\n", ""),
            lambda: keys.rsa().public.replace("-----BEGIN PUBLIC KEY-----\n", ""),
            lambda: keys.rsa().public + keys.rsa("second").public,
            lambda: "a word before\n" + keys.rsa().public,
            lambda: keys.rsa().public.replace("A", "", 1),
            lambda: "é",
        ],
        ids=[
            *("EC", "1024", "2056", "PKCS#1", "certificate", "escaped"),
            *("one line", "headless", "two", "prefixed", "damaged", "no PEM"),
        ],
    )
    def test_wrong_key(self, connect: Connect, simulator: OnPremises, make: Callable[[], str]) -> None:
        """Anything but one RSA key of 2048 bits as SubjectPublicKeyInfo is refused."""
        assert code_of(connect(ONE).publish(make())) == 1009
        assert simulator[ONE].key is None

    def test_private_key(self, connect: Connect, simulator: OnPremises) -> None:
        """A private key is refused and recorded as a violation."""
        assert code_of(connect(ONE).publish(keys.rsa().private)) == 1009
        assert simulator.violations == [f"{ONE}: a private key was sent"]
        assert "PRIVATE" not in repr(simulator.requests)

    def test_too_large(self, connect: Connect) -> None:
        """A body that is too large is not read."""
        answer = connect(ONE).publish("A" * 100_000)
        assert (answer.status_code, code_of(answer)) == (413, 1025)

    def test_valid_later(self, connect: Connect, simulator: OnPremises) -> None:
        """A signature can become VALID after some reads."""
        simulator[ONE].reads_until_valid = 2
        client = connect(ONE)
        client.publish(keys.rsa().public)
        assert [key_of(client.read())[1] for _ in range(4)] == ["MISMATCH", "MISMATCH", "VALID", "VALID"]

    def test_valid_when_released(self, connect: Connect, simulator: OnPremises) -> None:
        """A signature can wait for the test."""
        simulator[ONE].reads_until_valid = None
        client = connect(ONE)
        client.publish(keys.rsa().public)
        assert key_of(client.read())[1] == "MISMATCH"
        simulator[ONE].release()
        assert key_of(client.read())[1] == "VALID"

    def test_comes_to_nothing(self, connect: Connect, simulator: OnPremises) -> None:
        """A publish can be accepted and lost."""
        simulator[ONE].forgetful = True
        client = connect(ONE)
        assert client.publish(keys.rsa().public).status_code == 200
        assert key_of(client.read()) == ("", "MISMATCH")


class TestNumber:
    """The state of a number."""

    def test_registered_anew(self, connect: Connect, simulator: OnPremises) -> None:
        """After a new registration the key is still there without its signature; a publish signs it."""
        client, public = connect(ONE), keys.rsa().public
        client.publish(public)
        simulator[ONE].re_register()
        assert key_of(client.read()) == (public, "MISMATCH")
        client.publish(public)
        assert key_of(client.read()) == (public, "VALID")

    def test_second_writer(self, connect: Connect, simulator: OnPremises) -> None:
        """Another writer's key is VALID."""
        client, other = connect(ONE), keys.rsa("second").public
        client.publish(keys.rsa().public)
        simulator[ONE].overwrite(other)
        assert key_of(client.read()) == (other, "VALID")

    def test_rival(self, connect: Connect, simulator: OnPremises) -> None:
        """A rival writer replaces every key at once."""
        simulator[ONE].rival = keys.rsa("second").public
        client = connect(ONE)
        assert client.publish(keys.rsa().public).status_code == 200
        assert simulator[ONE].holds(keys.rsa("second").public)
        assert simulator[ONE].published == [keys.rsa().fingerprint]

    def test_lost_key(self, connect: Connect, simulator: OnPremises) -> None:
        """A key can be lost."""
        client = connect(ONE)
        client.publish(keys.rsa().public)
        simulator[ONE].lose_key()
        assert key_of(client.read()) == ("", "MISMATCH")

    def test_other_wrapping(self, connect: Connect, simulator: OnPremises) -> None:
        """The key need not come back character by character."""
        simulator[ONE].wrap = lambda pem: pem.strip().replace("\n", "\r\n")
        client = connect(ONE)
        client.publish(keys.rsa().public)
        assert key_of(client.read())[0] == keys.rsa().public.strip().replace("\n", "\r\n")


class TestRecords:
    """What a test can inspect."""

    def test_fields(self, connect: Connect, simulator: OnPremises) -> None:
        """A record has all that a test needs, and no secret."""
        client, pair = connect(ONE), keys.rsa()
        client.read("stolen")
        client.publish(pair.public)
        login, read, publish = simulator[ONE].requests
        assert (login.kind, login.method, login.status, login.authorised) == ("login", "POST", 200, True)
        assert (read.kind, read.method, read.status, read.authorised) == ("read", "GET", 401, False)
        assert (publish.kind, publish.fingerprint, publish.carried_out) == ("publish", pair.fingerprint, True)
        assert login.at <= read.at <= publish.at
        assert login.client_port == read.client_port == publish.client_port
        assert "authorization" in login.headers
        assert not login.cookies
        seen = repr((login, read, publish, simulator[ONE]))
        assert client.token not in seen
        assert simulator[ONE].password not in seen

    def test_waiting_in_vain(self, simulator: OnPremises) -> None:
        """Waiting ends, and reports the count."""
        with pytest.raises(TimeoutError, match=r"a publish did not happen .*0 logins"):
            simulator[ONE].wait_until(lambda: simulator.publishes > 0, timeout=0.01, what="a publish")

    def test_counting_anew(self, connect: Connect, simulator: OnPremises) -> None:
        """Counters can be reset."""
        connect(ONE).read()
        assert (simulator.logins, simulator.reads, simulator.publishes) == (1, 1, 0)
        simulator.forget_requests()
        assert (simulator.logins, simulator.reads) == (0, 0)
