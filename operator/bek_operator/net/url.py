"""URLs that calls are made from, in vetted parts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """An https URL in vetted parts; calls are made from these and never from a text that is parsed twice.

    Attributes:
        host: Lower-case host name or IPv4 literal that is connected to.
        port: 1 to 65535.
        path: Empty, or starting with a slash and not ending with one.
    """

    host: str
    port: int
    path: str

    def __str__(self) -> str:
        return f"https://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """Return host and port as the `Host` header has them."""
        return self.host if self.port == 443 else f"{self.host}:{self.port}"  # noqa: PLR2004 - https
