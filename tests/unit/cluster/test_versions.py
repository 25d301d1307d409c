"""The order of resourceVersions."""

import pytest

from bek_operator.cluster.versions import is_newer


@pytest.mark.parametrize(
    ("version", "known", "newer"),
    [
        ("10", "9", True),
        ("9", "10", False),
        ("9", "9", False),
        ("1" + "0" * 38, "9" * 38, True),
        ("2" + "0" * 9000, "1" + "9" * 9000, True),
    ],
)
def test_resource_versions_are_integers_of_any_size(version: str, known: str, *, newer: bool) -> None:
    """More digits are more, and of as many the first that differs counts."""
    assert is_newer(version, known) is newer


@pytest.mark.parametrize("version", ["", "0", "07", "-7", "7a", "7.0", "\u0667", "7\n", "etcd-7"])
def test_another_form_has_no_order(version: str) -> None:
    """Neither before nor after a version that has one, or one of its own kind."""
    assert is_newer(version, "6") is is_newer("6", version) is is_newer(version, version) is None
