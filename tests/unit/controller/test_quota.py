"""The quota of numbers: after any changes the oldest objects are served, as far as their numbers fit."""

import random
from dataclasses import replace
from itertools import accumulate
from typing import Any

import pytest

from bek_operator.controller.quota import Quota
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.types import ObjectKey, Spec
from support.builders import resource, spec_body
from support.fakes import numbers

MOST = 40
LEAST = 4
"""As many numbers an object counts as at least."""


def served(known: dict[ObjectKey, BusinessEncryptionKey], namespace: str) -> set[ObjectKey]:
    """Return what is to be served, counted from the beginning."""
    ordered = sorted(
        (one for one in known.values() if one.ref.namespace == namespace), key=lambda one: (one.created, one.ref)
    )
    sums = accumulate(max(len(one.spec.numbers), LEAST) for one in ordered if isinstance(one.spec, Spec))
    return {one.ref for one, total in zip(ordered, sums, strict=True) if total <= MOST}


def test_the_oldest_objects_are_served_as_far_as_their_numbers_fit() -> None:
    """Whatever comes, changes and goes; every object for which that is different now is returned, and no other."""
    dice = random.Random(15)  # noqa: S311 - a test that can be repeated
    shapes = [resource(spec_body(numbers(count))) for count in (1, 5, 10, 11, 15, 20)]
    quota, known = Quota(MOST), dict[ObjectKey, BusinessEncryptionKey]()
    passed = 0
    for _ in range(3000):
        before = {ref: quota.serves(ref) for ref in known}
        ref = ObjectKey(dice.choice("ab"), f"object-{dice.randrange(9)}")
        if dice.random() < 0.3:
            known.pop(ref, None)
            changed = quota.drop(ref)
        else:
            shape = dice.choice(shapes)
            known[ref] = replace(shape, ref=ref, uid=f"uid-{dice.randrange(2)}", created=float(dice.randrange(4)))
            changed = quota.update(known[ref], known[ref].counted_numbers)
        assert {one for one in known if quota.serves(one)} == served(known, "a") | served(known, "b")
        assert changed == {one for one in known if one != ref and before.get(one) is not quota.serves(one)}
        passed += len(changed)
    assert passed > 1000


@pytest.mark.parametrize("spec", [spec_body(), {"phoneNumbers": 5}], ids=["one number", "unreadable"])
def test_an_object_counts_as_four_numbers_at_least(spec: dict[str, Any]) -> None:
    """It takes memory beside its numbers, and also where they cannot be read."""
    quota = Quota(2 * LEAST)
    for name in ("a", "b", "c"):
        one = replace(resource(spec), ref=ObjectKey("messaging", name), uid=name)
        quota.update(one, one.counted_numbers)
    assert [quota.serves(ObjectKey("messaging", name)) for name in ("a", "b", "c")] == [True, True, False]


def test_the_youngest_of_very_many_objects_beyond_the_quota_are_not_known() -> None:
    """An older one takes the place of a younger one; when one goes, there is a place for whichever comes."""
    quota, refs = Quota(LEAST, beyond=2), [ObjectKey("messaging", name) for name in "abcde"]
    a, b, c, d, e = (replace(resource(), ref=ref, uid=ref.name, created=float(index)) for index, ref in enumerate(refs))
    for one, changed in ((c, ""), (d, ""), (b, "c"), (e, ""), (a, "bd")):
        assert {ref.name for ref in quota.update(one, 1 + LEAST // 2)} == set(changed)
    assert [ref.name for ref in refs if quota.knows(ref)] == ["a", "b", "c"]
    assert [ref.name for ref in refs if quota.serves(ref)] == ["a"]

    assert {ref.name for ref in quota.drop(a.ref)} == {"b"}
    assert not quota.update(e, LEAST)
    assert {ref.name for ref in quota.update(d, LEAST)} == {"e"}
    assert [ref.name for ref in refs if quota.knows(ref)] == ["b", "c", "d"]
