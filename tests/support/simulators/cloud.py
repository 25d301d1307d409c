"""A simulator of the WhatsApp Cloud API: any number of numbers behind one TLS port, as on graph.facebook.com.

    with Cloud(["+15550001111", "+15550002222"]) as cloud:
        token = cloud.token()                    # token.text goes into a Secret
        cloud.url                                # https://127.0.0.1:<port>
        number = cloud["+15550001111"]           # or by its id, number.id
        number.fail("read", graph_error(131016))
        cloud.limit(200)                         # calls an hour for each app and business account
        cloud.wait_until(lambda: number.publishes == 1)

It runs in a thread of its own; all that it offers may be called from any other thread. Where Meta documents
nothing, a comment says that it is a guess.
"""

import hmac
import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import date, timedelta
from typing import Literal, NamedTuple

from support.simulators import encryption_edge, number_list
from support.simulators.call import Call
from support.simulators.cloud_number import CloudNumber
from support.simulators.edge_server import EdgeServer
from support.simulators.graph_errors import GraphError, GraphRefusal, graph_error, unknown_object
from support.simulators.graph_parameters import parameters
from support.simulators.graph_tokens import MANAGEMENT, MESSAGING, App, Token
from support.simulators.usage import Payer
from support.tls import Certificate, self_signed

TODAY = date(2026, 11, 22)
"""Its date by default, so that no test depends on the real one."""

WABA = "102290129340398"

_PATH = re.compile(r"/(v[0-9]{1,3}\.[0-9])/([^/]+)/" + encryption_edge.NAME)
_ACCOUNT = re.compile(r"/(v[0-9]{1,3}\.[0-9])/([^/]+)/" + number_list.NAME)
_VERSIONED = re.compile(r"/(v[0-9]{1,3}\.[0-9])(/.*)", re.DOTALL)


class Version(NamedTuple):
    """When a version of the Graph API was released and when it ends."""

    released: date
    ends: date | None = None


VERSIONS = {
    "v20.0": Version(date(2024, 5, 21), date(2026, 9, 24)),
    "v21.0": Version(date(2024, 10, 2), date(2027, 1, 21)),
    "v22.0": Version(date(2025, 1, 21), date(2027, 5, 20)),
    "v23.0": Version(date(2025, 5, 29), date(2027, 10, 8)),
    "v24.0": Version(date(2025, 10, 8), date(2028, 2, 18)),
    "v25.0": Version(date(2026, 2, 18), date(2028, 7, 29)),
    "v26.0": Version(date(2026, 7, 29)),
}


class Cloud(EdgeServer):
    """The Cloud API with its numbers, apps and tokens; plain attributes may be set at any time.

    Attributes:
        today: The date that decides which versions are served.
        versions: By name, in order.
        ended: Whether a version that has ended is refused, or served as the oldest that has not.
        unknown: The error code for an unknown id: 803, or 100 with the subcode 33.
    """

    def __init__(
        self,
        phone_numbers: Iterable[str] = (),
        *,
        waba: str = WABA,
        certificate: Certificate | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(certificate or self_signed("graph.facebook.com", "localhost", "127.0.0.1"), host)
        self.today = TODAY
        self.versions = dict(VERSIONS)
        self.ended: Literal["refused", "forwarded"] = "refused"
        self.unknown: Literal["803", "100/33"] = "803"
        self._waba = waba
        self._nodes: dict[str, str] = {waba: "WhatsAppBusinessAccount"}
        self._ids = iter(range(1, 1_000_000))
        self._tokens: dict[str, Token] = {}
        self._apps: list[App] = []
        self._own_app = self.app()
        for number in phone_numbers:
            self.add(number)

    @property
    def url(self) -> str:
        """What stands for https://graph.facebook.com."""
        return self.origin

    def add(self, number: str, *, identity: str | None = None, waba: str | None = None) -> CloudNumber:
        """Add a number, by default with an id of its own."""
        home = waba or self._waba
        with self._condition:
            self._nodes[home] = "WhatsAppBusinessAccount"
        return self._put(CloudNumber(number, identity or self._identity(), home, self._condition))

    def flow(self) -> str:
        """Return the id of a Flow, which users confuse with a phone number id."""
        identity = self._identity()
        with self._condition:
            self._nodes[identity] = "Flow"
        return identity

    def app(self, secret: str | None = None, *, demands_proof: bool = False) -> App:
        """Register an app."""
        app = App(self._identity(), secret, demands_proof=demands_proof)
        with self._condition:
            self._apps.append(app)
            self._nodes[app.id] = "Application"
        return app

    def token(
        self,
        name: str | None = None,
        *,
        life: timedelta | None = None,
        permissions: Collection[str] = frozenset({MESSAGING}),
        app: App | None = None,
        wabas: Collection[str] | None = None,
    ) -> Token:
        """Issue a token, by default of the simulator's own app; without a life it never expires."""
        owner = app or self._own_app
        named = name or f"token {len(self._tokens) + 1}"
        token = Token(named, owner, permissions, wabas, life, self._now)
        with self._condition:
            self._tokens[token.text] = token
        return token

    def path(self, name: str, version: str = "v25.0") -> str:
        """Return the path of a number's edge."""
        return f"/{version}/{self[name].id}/{encryption_edge.NAME}"

    def _now(self) -> float:
        return self.clock()

    def _identity(self) -> str:
        return f"10654035{next(self._ids):07}"

    # The API itself; called with the lock held.

    def _find(self, call: Call) -> CloudNumber | None:
        match = _PATH.fullmatch(call.path)
        return None if match is None else self.numbers.get(match[2])

    def _payer(self, call: Call, number: CloudNumber | None) -> Payer | None:
        token = self._tokens.get(_bearer(call))
        if token is None or token.state != "living":
            return None
        waba, identity = ("", "") if number is None else (number.waba, number.id)
        return Payer(app=token.app.id, token=token.name, waba=waba, number=identity)

    def _secrets(self, call: Call, number: CloudNumber | None) -> Iterable[tuple[str, str]]:
        del number
        token = self._tokens.get(_bearer(call))
        for one in self._tokens.values() if token is None else [token]:
            yield f"the token {one.name!r}", one.text
        for app in self._apps:
            yield f"the secret of app {app.id}", app.secret

    def _more_headers(self, call: Call) -> dict[str, str]:
        match = _VERSIONED.fullmatch(call.path)
        served = None if match is None else self._served(match[1])
        return {} if served is None else {"facebook-api-version": served}

    def _served(self, version: str) -> str | None:
        """Return the version that serves calls of a version."""
        living = [
            name for name, (released, ends) in self.versions.items() if released <= self.today and not self._over(ends)
        ]
        if version in living:
            return version
        forwarded = self.ended == "forwarded" and version in self.versions and self._over(self.versions[version].ends)
        return living[0] if forwarded and living else None

    def _over(self, ends: date | None) -> bool:
        return ends is not None and ends <= self.today

    def _handle(self, call: Call, number: CloudNumber | None) -> dict[str, object]:
        identity = self._route(call)
        token = self._open(call)
        if _ACCOUNT.fullmatch(call.path):
            return self._list(call, identity, token)
        if number is None:
            raise GraphRefusal(self._not_there(call, identity, encryption_edge.NAME))
        if MESSAGING not in token.permissions:
            raise GraphRefusal(graph_error(10))
        if token.wabas is not None and number.waba not in token.wabas:
            raise GraphRefusal(graph_error(200, subcode=1349174))
        if call.method not in {"GET", "POST"}:
            raise GraphRefusal(unknown_object(call.method, identity))
        return encryption_edge.serve(number, call, self.accepts)

    def _route(self, call: Call) -> str:
        """Return the id in the path, if the path is one of the API's."""
        if (match := _VERSIONED.fullmatch(call.path)) is None:
            # Meta serves a path without a version by the app's default; whoever pins one never sends such.
            raise GraphRefusal(unknown_object(call.method, call.path.lstrip("/").partition("/")[0]))
        version, rest = match.groups()
        if self._served(version) is None:
            if version in self.versions and self._over(self.versions[version].ends):
                raise GraphRefusal(graph_error(2635))  # documented for other APIs of the Graph
            raise GraphRefusal(graph_error(2500, f"Unknown path components: /{version}"))  # a guess
        if (match := _PATH.fullmatch(call.path) or _ACCOUNT.fullmatch(call.path)) is None:
            raise GraphRefusal(graph_error(2500, f"Unknown path components: {rest}"))
        return match[2]

    def _open(self, call: Call) -> Token:
        """Return the token, if it and its proof are good."""
        text = _bearer(call)
        if not text:
            raise GraphRefusal(graph_error(104))
        token = self._tokens.get(text)
        if token is None:
            raise GraphRefusal(graph_error(190, "Invalid OAuth access token - Cannot parse access token"))
        if (refusal := token.refusal()) is not None:
            raise GraphRefusal(refusal)
        given = [one.value for one in parameters(call, self.accepts) if one.name == encryption_edge.PROOF]
        if not given and token.app.demands_proof:
            raise GraphRefusal(_proof_error("API calls from the server require an appsecret_proof argument"))
        if not all(hmac.compare_digest(proof.encode(), token.proof.encode()) for proof in given):
            raise GraphRefusal(_proof_error("Invalid appsecret_proof provided in the API argument"))
        return token

    def _list(self, call: Call, identity: str, token: Token) -> dict[str, object]:
        """Return the numbers of an account."""
        if self._nodes.get(identity) != "WhatsAppBusinessAccount":
            raise GraphRefusal(self._not_there(call, identity, number_list.NAME))
        if MANAGEMENT not in token.permissions:
            raise GraphRefusal(graph_error(10))
        if token.wabas is not None and identity not in token.wabas:
            raise GraphRefusal(graph_error(200))
        if call.method != "GET":
            raise GraphRefusal(unknown_object(call.method, identity))
        listed = [number for number in self.numbers.values() if number.waba == identity and not number.deleted]
        return number_list.serve(listed, call, self.origin, token.text)

    def _not_there(self, call: Call, identity: str, edge: str) -> GraphError:
        """Return why an object has no such edge, or is none."""
        node = "WhatsAppBusinessPhoneNumber" if identity in self.numbers else self._nodes.get(identity)
        if node is not None and call.method == "GET":
            return graph_error(100, f"Tried accessing nonexisting field ({edge}) on node type ({node})")
        if node is not None or self.unknown == "100/33":
            return unknown_object(call.method, identity)
        return graph_error(803, f"Some of the aliases you requested do not exist: {identity}")


def _bearer(call: Call) -> str:
    scheme, _, text = call.headers.get("authorization", "").partition(" ")
    return text if scheme.lower() == "bearer" else ""


def _proof_error(message: str) -> GraphError:
    return replace(graph_error(100, type="GraphMethodException"), message=message)
