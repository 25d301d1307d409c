"""What `kubectl bek key` says of key material: the words are those of the operator's status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bek_operator.cli.running import read_bounded
from bek_operator.keys.forms import forms_of
from bek_operator.keys.parts import BITS
from bek_operator.keys.public_key import (
    MAX_ENTRY_BYTES,
    MAX_PASSPHRASE_BYTES,
    InvalidKey,
    PublicKey,
    key_id,
    public_key_from_secret,
)

_HINT = "hint: --passphrase-file names a file with the passphrase"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReport:
    """What the operator makes of key material.

    Attributes:
        forms: What each entry contains, by name.
        key: `None` when it is unusable, and then `fault` says why.
        hint: The option that is missing; empty for none.
    """

    forms: Mapping[str, Sequence[str]]
    key: PublicKey | None = None
    fault: str = ""
    hint: str = ""

    @property
    def is_encrypted(self) -> bool:
        """Return whether an entry contains an encrypted key."""
        return any(form.startswith("encrypted ") for forms in self.forms.values() for form in forms)

    def lines(self) -> Sequence[str]:
        """Return the report in words."""
        found = [f"{entry}: {', '.join(forms) or 'unreadable'}" for entry, forms in self.forms.items()]
        if self.key is None:
            return [*found, f"unusable: {self.fault}"]
        return [
            *found,
            f"usable: RSA, {BITS} bits",
            f"fingerprint: {self.key.fingerprint}",
            f"key id: {self.key.key_id}",
        ]


def report_of(data: Mapping[str, bytes], entry: str | None, passphrase_entry: str | None) -> KeyReport:
    """Judge the decoded data of a Secret; takes up to three seconds of CPU for an encrypted key."""
    forms = forms_of(data, entry)
    try:
        return KeyReport(forms=forms, key=public_key_from_secret(data, entry=entry, passphrase_entry=passphrase_entry))
    except InvalidKey as invalid:
        return KeyReport(forms=forms, fault=str(invalid))


def report_of_file(file: Path, passphrase_file: Path | None) -> KeyReport:
    """Judge a local file, as if it were the only entry of a Secret."""
    name = "standard input" if str(file) == "-" else file.name
    data = {name: read_bounded(file, MAX_ENTRY_BYTES)}
    if passphrase_file is None:
        report = report_of(data, name, None)
        return replace(report, hint=_HINT) if report.key is None and report.is_encrypted else report
    passphrase = f"passphrase of {name}"
    return report_of(data | {passphrase: read_bounded(passphrase_file, MAX_PASSPHRASE_BYTES)}, name, passphrase)


def comparison(fingerprint: str, held: Mapping[str, str | None]) -> Sequence[str]:
    """Say which numbers hold the key; `held` has the fingerprint that each number's API last reported."""
    others = {number: other for number, other in held.items() if other != fingerprint}
    lines = [f"held by {len(held) - len(others)} of {len(held)} numbers"]
    return lines + [
        f"{number} holds {f'another key: {key_id(other)}' if other else 'no key that was seen yet'}"
        for number, other in others.items()
    ]


def opened_last(fingerprint: str, opened: str | None) -> str:
    """Say whether the key is the one that the Flow endpoint opened last; `opened` is the fingerprint of that one."""
    if opened is None:
        return "the Flow endpoint has opened no key yet"
    return f"the Flow endpoint opened {'this key' if opened == fingerprint else f'another key last: {key_id(opened)}'}"
