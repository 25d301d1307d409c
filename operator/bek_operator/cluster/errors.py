"""What can go wrong between the operator and the API server.

    ClusterError
    ├── NotFound      no such object (or the CRD is not installed)
    ├── Conflict      somebody else wrote first, or the object was re-created
    ├── Forbidden     the role does not allow it
    ├── Gone          the resourceVersion is too old to watch from
    └── Unavailable   no answer, or one that time will heal

Every error of the client library ends here.
"""


class ClusterError(Exception):
    """The API server did not do what was asked; the message holds our own words and the HTTP status."""


class NotFound(ClusterError):
    """No such object."""


class Conflict(ClusterError):
    """Somebody else wrote first."""


class Forbidden(ClusterError):
    """The operator's role does not allow it."""


class Gone(ClusterError):
    """The resourceVersion is too old to go on from."""


class Unavailable(ClusterError):
    """The API server cannot be reached, or is not able to answer now."""
