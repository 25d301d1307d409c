"""Errors of requests to the API server.

    ClusterError
    ├── BadRequest    the request is invalid
    │   └── InvalidSelector   a flag's label selector is invalid; not retried
    ├── NotFound      no such object, says the API server of the object by its name; or the CRD is not installed
    ├── Conflict      another writer was first, or the object was re-created
    ├── Forbidden     RBAC forbids it
    ├── Gone          the resourceVersion cannot be watched from: it is too old, or what follows is too large
    ├── NotLeader     a write that was not sent, because this process is not the leader
    ├── TooLarge      the response is longer than what is read of one
    └── Unavailable   no response, or any other status; retried
        ├── Unauthorized  the credentials are not accepted; a renewed token may be
        └── NotServed     404 for any other reason: no such path there, or nobody knows what a proxy means

Errors of the client library are translated to these.
"""


class ClusterError(Exception):
    """A request to the API server failed; the message has the HTTP status, and no text of the server.

    Attributes:
        reply: Why the API server refused what was sent, in its own words: for the user who sent it only.
    """

    reply: str = ""


class BadRequest(ClusterError):
    """The request is invalid."""


class InvalidSelector(BadRequest):
    """The API server rejects the label selector that a flag has."""

    def __init__(self, flag: str, selector: str, error: BadRequest) -> None:
        super().__init__(
            f"{flag}: must be a label selector such as app=flows,tier in (a,b), not {selector!r} ({error})"
        )


class NotFound(ClusterError):
    """No such object, in the words of the API server; or the CRD is not installed."""


class Conflict(ClusterError):
    """Another writer was first."""


class Forbidden(ClusterError):
    """RBAC forbids it."""


class Gone(ClusterError):
    """The resourceVersion cannot be watched from: it is too old, or the event that follows is too large."""


class NotLeader(ClusterError):
    """A write that was not sent, because this process is not the leader any more."""


class TooLarge(ClusterError):
    """The response is longer than what is read of one."""


class Unavailable(ClusterError):
    """The API server cannot be reached, or cannot serve the request now."""


class Unauthorized(Unavailable):
    """The API server does not accept the credentials; they may be renewed."""


class NotServed(Unavailable):
    """404, but not of the object that was asked for: there is no such path, or a proxy answered."""
