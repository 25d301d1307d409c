"""The order of resourceVersions."""

import re

_NUMBER = re.compile(r"[1-9][0-9]*")


def is_newer(version: str, known: str) -> bool | None:
    """Return whether a resourceVersion is newer than another one of the same kind; `None` where that cannot be told.

    They are integers of any size, and compared as such. Kubernetes guarantees that since 1.35 (KEP-5504), and its API
    server has always made those of custom resources so: they are etcd's revisions. A version of another form has no
    order: whoever meets one has to read the object.
    """
    if not (_NUMBER.fullmatch(version) and _NUMBER.fullmatch(known)):
        return None
    return (len(version), version) > (len(known), known)
