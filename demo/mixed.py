"""One business: its numbers on both APIs, On-Premises and Cloud, and its Flow endpoint."""

from collections.abc import Iterator, Mapping

from support.simulators.business import Business
from support.simulators.flows_endpoint import FlowsEndpoint
from support.simulators.on_premises import OnPremises
from support.simulators.signed_number import SignedNumber


class Mixed:
    """The numbers of an On-Premises simulator and of a business at a Cloud API, in that order, and an endpoint."""

    def __init__(self, on_premises: OnPremises, business: Business, endpoint: FlowsEndpoint) -> None:
        self.on_premises = on_premises
        self.business = business
        self.endpoint = endpoint

    @property
    def numbers(self) -> Mapping[str, SignedNumber]:
        """Every number, by itself."""
        at_meta = {one.number: one for one in self.business.numbers}
        return {**self.on_premises.pods, **at_meta}

    @property
    def violations(self) -> list[str]:
        """What a client did and no client must ever do."""
        return [*self.on_premises.violations, *self.business.cloud.violations, *self.endpoint.violations]

    def all_hold(self, public: str) -> bool:
        """Return whether every number is VALID for this key."""
        return all(one.holds(public) for one in self.numbers.values())

    def is_up(self, number: str) -> bool:
        """Return whether a number's API can be reached."""
        pod = self.on_premises.pods.get(number)
        return (pod or self.business.cloud).state == "up"

    def stop(self, number: str) -> None:
        """Make a number's API refuse connections: its pod, or the Cloud API for every number there."""
        (self.on_premises.pods.get(number) or self.business.cloud).stop()

    def start(self, number: str) -> None:
        """Make it accept connections again."""
        (self.on_premises.pods.get(number) or self.business.cloud).start()

    def published_since(self, instant: float) -> dict[str, float]:
        """Return when each number was first published to, of those that were."""
        found: dict[str, float] = {}
        for number, one in self.numbers.items():
            times = [record.at for record in one.requests if record.kind == "publish" and record.at >= instant]
            if times:
                found[number] = times[0]
        return found

    def __str__(self) -> str:
        """Return what each number holds, one a line."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for number, one in self.numbers.items():
            place = "On-Premises" if number in self.on_premises.pods else "Cloud API"
            key = (
                f"{one.signature:8} key {one.fingerprint.removeprefix('sha256:')[:12]}" if one.fingerprint else "no key"
            )
            yield f"{number}  {place:11}  {key}{'' if self.is_up(number) else ', down'}"
