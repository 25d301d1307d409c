"""One object, its numbers and its operator, and all that can happen to them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

from bek_operator.crd.status import render_status
from bek_operator.http.errors import NotConnectedError
from bek_operator.numbers.next_action import FRESH_SECONDS
from bek_operator.status.compute import status_of
from bek_operator.times import instant
from support import keys
from support.builders import KEY_SECRET, NAMESPACE, spec_body
from support.fakes import Phone, now, numbers, unavailable
from support.simulators.flows_endpoint import PATH
from support.virtual_time import until
from support.world import World
from unit.controller.life_script import FAILURES, Script
from unit.controller.watched_endpoint import WatchedEndpoint
from unit.controller.watched_phones import WatchedPhones

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bek_operator.controller.manager import Manager
    from support.simulators.flows_endpoint import Flaw

SECONDS_TO_WRITE = 6.0
"""How long a change may take to be in the status: batching, the write limit, slow answers."""

SECONDS_TO_RETRY = 80.0
"""How long a reconcile that found the API server down waits at most."""

_HOUR = 3600.0
_MOST_NUMBERS = 60
_THEIRS = "sha256:" + "0" * 64

KEYS = ["first", "second", "third"]
"""The names of our keys."""


class RandomWorld(World):
    """One object, its numbers and its operator; the public methods are what can happen to them."""

    def __init__(self, script: Script) -> None:
        super().__init__(numbers_at_once=script.at_once)
        self._script = script
        self._watched = WatchedPhones(self._shown, self._is_proven, self._is_lacking)
        self.endpoints = self._asked = WatchedEndpoint(self.endpoints)
        self._held_elsewhere: set[str] = set()
        self.phones = self.backend = self._watched
        self.objects.seconds = self.secrets.seconds = script.answer_seconds
        self._remove_faults()
        self._listed = numbers(script.count)
        self._key = keys.rsa()
        self._password = "first"
        self._request: str | None = None
        self._suspended = self._never = self._canary_pending = False
        self._away_until = self._shared_until = 0.0
        self._process = AsyncExitStack()
        self._manager: Manager | None = None
        spec = {"flowsEndpoint": {"url": f"https://flows{PATH}"}} if script.endpoint else {}
        self.ref = self.objects.create(wanted=spec_body(self._listed, intervalSeconds=script.interval, **spec))

    # What happens to numbers.

    def fail(self, which: int, name: str, seconds: float) -> None:
        """Let every call to a number fail, after so many seconds."""
        phone = self._phone(which)
        phone.failure, phone.seconds = FAILURES[name], seconds

    def refuse(self, which: int, name: str) -> None:
        """Let every publish to a number fail."""
        self._phone(which).refusal = FAILURES[name]

    def lose_answers(self, which: int) -> None:
        """Let every publish to a number be carried out, and its answer be lost."""
        self.refuse(which, "lost answer")

    def recover(self) -> None:
        """Let all numbers answer correctly."""
        for one in numbers(_MOST_NUMBERS):
            self.phones[one].recover()
            self.phones[one].seconds = self._script.call_seconds

    async def become_ready(self) -> None:
        """Let all numbers answer correctly, and wait until the object is Ready, for a limited time."""
        self._remove_faults()
        with suppress(AssertionError):
            await until(self._is_well, _HOUR)

    def settle(self, which: int, seconds: float) -> None:
        """Set how long a number takes until a published key is VALID."""
        self._phone(which).settles = seconds

    def overwrite(self, which: int, name: str) -> None:
        """Publish one of our keys as another client, or without a name another key."""
        fingerprint = keys.rsa(name).fingerprint if name else _THEIRS
        self._held_elsewhere.add(fingerprint)
        self._phone(which).overwrite(fingerprint)

    def lose(self, which: int) -> None:
        """Register a number again, so that its key is MISMATCH."""
        self._phone(which).lose_signature()

    # What happens to the Flow endpoint.

    def give_key(self, name: str) -> None:
        """Let the endpoint hold a private key."""
        self.flows.hold(keys.rsa(name))

    def take_key(self, name: str) -> None:
        """Let the endpoint lose a private key."""
        self.flows.lose(keys.rsa(name))

    def break_endpoint(self, flaw: Flaw) -> None:
        """Let the endpoint answer incorrectly."""
        self.flows.flaw = flaw

    def endpoint_away(self, seconds: float) -> None:
        """Let the endpoint refuse connections for a while, after so long."""
        self.flows.error = NotConnectedError("connection refused")
        asyncio.get_running_loop().call_later(seconds, self._endpoint_back)

    def _endpoint_back(self) -> None:
        self.flows.error = None

    # What users do.

    def rotate(self, name: str) -> None:
        """Put a key into the Secret."""
        self._key = keys.rsa(name)
        self.secrets.put_key(self._key)

    async def flip(self, name: str, times: int, seconds: float) -> None:
        """Let two writers replace each other's key in the Secret, several times."""
        for pair in [keys.rsa(name), self._key] * times:
            self._key = pair
            self.secrets.put_key(pair)
            self._watched.backoff_reset_at = self._observed_by()
            await asyncio.sleep(seconds)

    def rotate_to_rejected(self, name: str) -> None:
        """Put a key into the Secret that all numbers reject; if all were healthy, only one of them must get it."""
        fingerprint = keys.rsa(name).fingerprint
        fresh = all(self.phones[one].fingerprint != fingerprint for one in self._listed)
        self._canary_pending = fresh and self._is_well() and not (self._suspended or self._never)
        self._watched.rejected_keys.add(fingerprint)
        self._watched.rejecting.clear()
        self.rotate(name)

    def change_password(self, password: str) -> None:
        """Change the credentials of the numbers."""
        self._password = password
        self.secrets.put_credentials(password)

    async def remove_secret(self, name: str, seconds: float, times: int = 1) -> None:
        """Delete a Secret, and put it back as it was."""
        for _ in range(times):
            self.secrets.remove(name)
            await asyncio.sleep(seconds)
            if name == KEY_SECRET:
                self.secrets.put_key(self._key)
            else:
                self.secrets.put_credentials(self._password)
            await asyncio.sleep(seconds if times > 1 else 0.0)

    def check_every(self, seconds: int) -> None:
        """Edit the interval."""
        self.objects.edit(self.ref, intervalSeconds=seconds)

    def set_policy(self, policy: str) -> None:
        """Edit whether anything is published."""
        self._never = policy == "Never"
        self.objects.edit(self.ref, publishPolicy=policy)

    def suspend(self, wanted: str) -> None:
        """Suspend the object, or with an empty text resume it."""
        self._suspended = bool(wanted)
        self.objects.edit(self.ref, suspend=self._suspended)

    def list_numbers(self, first: int, count: int) -> None:
        """List other numbers; some may stay the same."""
        self._listed = numbers(first + count)[first:]
        self.objects.edit(self.ref, phoneNumbers=[{"phoneNumber": one} for one in self._listed])

    def request(self, value: str) -> None:
        """Request a check of all numbers."""
        self._request = value
        self.objects.request_check(self.ref, value)

    # What happens in the cluster.

    def touch(self) -> None:
        """Change what the operator ignores, so that a reconcile meets unfinished work."""
        self.objects.touch(self.ref)

    def touch_secret(self) -> None:
        """Put the same key into the Secret again."""
        self.secrets.put_key(self._key)

    def clear_status(self) -> None:
        """Clear the status as another client."""
        self.objects.overwrite_status(self.ref, {"observedGeneration": -1})

    def api_server_down(self, seconds: float) -> None:
        """Let the API server be down for a while."""
        self._away_until = max(self._away_until, now() + seconds)
        self.objects.error = self.secrets.error = unavailable()
        asyncio.get_running_loop().call_later(seconds, self._come_back)

    async def restart(self, seconds: float) -> None:
        """Stop the operator, and start another after a while."""
        self._canary_pending = self._canary_pending and self._shows_all()
        before = self._waiting_for_endpoint() if self._is_observed() and self._shows_all() else None
        self._manager = None
        await self._process.aclose()
        await asyncio.sleep(seconds)
        await self._begin()
        if before is not None:
            await self._check_waiting(before)

    async def _check_waiting(self, before: Mapping[str, bool]) -> None:
        """Check, once the new process knows all numbers, that the same ones wait for the Flow endpoint."""
        with suppress(AssertionError):
            await until(lambda: self._waiting_for_endpoint() is not None, SECONDS_TO_WRITE)
        after = self._waiting_for_endpoint()
        if after is not None and after != before:
            self._watched.broken.append(f"after a restart {after} wait for the endpoint, and before it {before}")

    def _waiting_for_endpoint(self) -> dict[str, bool] | None:
        """Return whether each number would wait for the Flow endpoint if it lacked the key; `None` if that is open."""
        entry = self._manager.store.get(self.ref) if self._manager else None
        if entry is None or entry.is_at_rest or not entry.endpoint:
            return None
        gate = entry.judge(now())
        return {number: gate.unproven and not gate.allows(facts) for number, facts in entry.facts.items()}

    async def beside_another(self, seconds: float) -> None:
        """Let another process work on the object at the same time for a while, as without leader election."""
        self._canary_pending = False
        self._watched.shared_until = self._shared_until = now() + seconds + FRESH_SECONDS
        async with self.beside().operator():
            await asyncio.sleep(seconds)
        self._watched.meet_another_process(_published(self.objects.status(self.ref)))

    async def crash(self, seconds: float) -> None:
        """Stop the operator before it can write what it did in the last seconds."""
        self.api_server_down(seconds)
        await asyncio.sleep(seconds / 2)
        await self.restart(seconds)

    # What is true.

    def _is_well(self) -> bool:
        return self.is_ready(self.ref) and self._is_observed() and self._is_signed() and self._shows_all()

    def _is_request_handled(self) -> bool:
        return self.objects.status(self.ref).get("lastHandledReconcileAt") == self._request

    def _is_observed(self) -> bool:
        """Return whether the status is of the present spec and key."""
        fingerprint = self.objects.status(self.ref).get("publicKeyFingerprint")
        return self.objects.is_current(self.ref) and fingerprint == self._key.fingerprint

    def _is_signed(self) -> bool:
        return all(self.phones[one].holds(self._key) for one in self._listed)

    def _shows_all(self) -> bool:
        """Return whether the status is what the operator's facts make it; a started request alone is not written."""
        known, shown = self._known(), self.objects.status(self.ref)
        return known is not None and {**known, "startedReconcileAt": ""} == {**shown, "startedReconcileAt": ""}

    def _known(self) -> dict[str, object] | None:
        entry = self._manager.store.get(self.ref) if self._manager else None
        if entry is None or entry.key is None:
            return None
        endpoint = entry.endpoint.facts if entry.endpoint else None
        return render_status(status_of(entry.resource, entry.key, entry.facts, now(), endpoint=endpoint))

    def _shown(self, url: str) -> float:
        """Return when a number was last published to, by the last status written."""
        return _published(self.objects.writes[-1][2]).get(url, 0.0) if self.objects.writes else 0.0

    def _is_proven(self, fingerprint: str) -> bool:
        """Return whether a key may be published, as far as the Flow endpoint is concerned."""
        opened = {ping.opened for ping in self.flows.pings}
        return not self._script.endpoint or fingerprint in opened | self._held_elsewhere

    def _is_lacking(self, fingerprint: str) -> bool:
        """Return whether the Flow endpoint lacks a key, by its last answer that was about it."""
        return fingerprint in self._asked.lacking

    def _remove_faults(self) -> None:
        self.recover()
        self.flows.flaw, self.flows.error = "", None
        for name in KEYS:
            self.flows.hold(keys.rsa(name))
        self._watched.rejected_keys.clear()
        for one in numbers(_MOST_NUMBERS):
            self.phones[one].settles = self._script.settle_seconds

    def _phone(self, which: int) -> Phone:
        return self.phones[self._listed[which % len(self._listed)]]

    def _come_back(self) -> None:
        if now() >= self._away_until:
            self.objects.error = self.secrets.error = None

    def _observed_by(self) -> float:
        """Return when the operator has observed what happens now, at the latest."""
        retried = self._away_until + SECONDS_TO_RETRY if now() < self._away_until + SECONDS_TO_RETRY else 0.0
        return max(now() + SECONDS_TO_WRITE, retried)

    async def _begin(self) -> None:
        status = self.objects.status(self.ref)
        self._watched.meet_another_process(_published(status))
        # What could not be written is not known to the next process.
        self._asked.lacking.discard(status.get("flowsEndpoint", {}).get("openedFingerprint", ""))
        if self._request and self._request not in {
            status.get("lastHandledReconcileAt"),
            status.get("startedReconcileAt"),
        }:
            # It clears the back-off now, or once more.
            self._watched.hourly_limit_reset_at = now() + SECONDS_TO_WRITE
        self._manager = await self._process.enter_async_context(self.operator())


def _published(status: Mapping[str, Any]) -> dict[str, float]:
    """Return when numbers were last published to, by URL, from a status."""
    rows = status.get("phoneNumbers", ())
    return {url_of(row["phoneNumber"]): instant(row.get("lastPublishTime")) or 0.0 for row in rows}


def url_of(number: str) -> str:
    """Return the URL of a number's API."""
    return f"https://whatsapp-{number.removeprefix('+')}.{NAMESPACE}.svc"
