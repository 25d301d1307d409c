"""The manifests that `kubectl bek export` writes."""

import pytest
import yaml

from bek_operator.cli.manifests import MOST_BYTES, NewObject, UnusableManifest, manifest_of, with_numbers
from bek_operator.crd.types import EntryRef
from bek_operator.whatsapp.cloud.account import ListedNumber

FIRST = ListedNumber(identity="1", number="+15550001111")
SECOND = ListedNumber(identity="2", number="+15550002222")
NEW = NewObject(
    name="flows",
    namespace="messaging",
    key_secret="flows-key",
    api="on",
    token=EntryRef(secret="meta-token", entry="token"),
    app_secret=EntryRef(secret="meta-app", entry="secret"),
)
HEAD = """\
# The keys of all shops.
---
apiVersion: v1
kind: Namespace   # beside it
metadata: {name: messaging}
---
kind: BusinessEncryptionKey
apiVersion: bek.dev/v1alpha1
metadata:
    name: 'flows'  # quoted
spec:
    keySecretRef: {name: flows-key}
    apis:
      - {name: pods, type: OnPremises}
      - {name: meta, type: Cloud}
    phoneNumbers:
"""
TAIL = """
    # Until the audit.
    publishPolicy: Never
# The end.
"""
BLOCK = """\
      - phoneNumber: "+15550001111"  # Berlin
        phoneNumberID: '1'  # of the old account
"""
FLOW = """\
      -   {phoneNumber: "+15550001111", phoneNumberID: "1"}  # Berlin
"""


def test_a_new_object() -> None:
    """Everything that the schema asks for; a name that YAML would read as something else is quoted."""
    assert (
        manifest_of(NEW, [FIRST])
        == """\
apiVersion: bek.dev/v1alpha1
kind: BusinessEncryptionKey
metadata:
  name: flows
  namespace: messaging
spec:
  keySecretRef:
    name: flows-key
  apis:
  - name: 'on'
    type: Cloud
    cloud:
      tokenSecretRef:
        name: meta-token
        key: token
      appSecretRef:
        name: meta-app
        key: secret
  phoneNumbers:
  - phoneNumber: "+15550001111"
    api: 'on'
    phoneNumberID: "1"
"""
    )


@pytest.mark.parametrize(
    ("before", "entry"),
    [
        (
            BLOCK,
            '      - phoneNumber: "+15550002222"\n        api: meta\n        phoneNumberID: "2"\n',
        ),
        (FLOW, '      -   {phoneNumber: "+15550002222", api: meta, phoneNumberID: "2"}\n'),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines_are_inserted_and_no_other_is_touched(before: str, entry: str, newline: str) -> None:
    """In the style of the last entry, in front of the comments that follow it."""
    text = (HEAD + before + TAIL).replace("\n", newline)
    addition = with_numbers(text, [FIRST, SECOND])

    assert addition.text == (HEAD + before + entry + TAIL).replace("\n", newline)
    assert (addition.added, addition.conflicts) == ((SECOND,), ())


def test_a_file_may_end_in_the_middle_of_a_line() -> None:
    """The entry is on a line of its own."""
    text = (HEAD + FLOW).rstrip("\n")
    listed = list(yaml.safe_load_all(with_numbers(text, [SECOND]).text))[-1]["spec"]["phoneNumbers"]

    assert [one["phoneNumber"] for one in listed] == [FIRST.number, SECOND.number]


def test_what_is_listed_stays() -> None:
    """A number or an id that is there is not added again, and a contradiction is told."""
    moved = ListedNumber(identity="3", number=FIRST.number)
    renamed = ListedNumber(identity="1", number="+15550009999")

    assert with_numbers(HEAD + BLOCK, [FIRST]).text == HEAD + BLOCK
    assert with_numbers(HEAD + BLOCK, [moved]).conflicts == (
        "+15550001111 is listed without the phoneNumberID 3 that it has in this account",
    )
    assert with_numbers(HEAD + BLOCK, [renamed]).conflicts == (
        "+15550009999 is listed as +15550001111, with the same phoneNumberID 1",
    )
    assert with_numbers(HEAD + BLOCK, [renamed]).text == HEAD + BLOCK


@pytest.mark.parametrize(
    ("text", "api", "fault"),
    [
        ("a: [", None, "is not YAML (line 1)"),
        ("a: 9999-99-99", None, "is not YAML"),
        ("[" * 5_000, None, "is not YAML"),
        ("#" * (MOST_BYTES + 1), None, f"is larger than {MOST_BYTES} bytes"),
        ("kind: Secret", None, "must have one BusinessEncryptionKey; it has 0"),
        (f"{HEAD + BLOCK}---\n{HEAD + BLOCK}", None, "must have one BusinessEncryptionKey; it has 2"),
        ("kind: BusinessEncryptionKey", None, "has no `spec`"),
        (HEAD.replace("Cloud", "Other") + BLOCK, None, "has 0 entries of type Cloud in `apis`; name the numbers' one"),
        (HEAD.replace("OnPremises", "Cloud") + BLOCK, None, "has 2 entries of type Cloud in `apis`"),
        (HEAD + BLOCK, "pods", "has no entry pods of type Cloud in `apis`; add it first"),
        (HEAD + "      []\n", None, "has no `phoneNumbers` that are written line by line; add these by hand: {"),
        (HEAD.replace("    phoneNumbers:\n", ""), None, "has no `phoneNumbers` that are written line by line"),
        (HEAD + "      - &one {a: b}\n      - *one\n", None, "has no `phoneNumbers` that are written line by line"),
    ],
)
def test_manifests_to_which_nothing_can_be_added(text: str, api: str | None, fault: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(UnusableManifest) as refused:
        with_numbers(text, [SECOND], api)

    assert str(refused.value).startswith(fault)


def test_an_api_can_be_named() -> None:
    """Where there are several of type Cloud."""
    text = HEAD.replace("OnPremises", "Cloud") + FLOW
    assert 'api: pods, phoneNumberID: "2"' in with_numbers(text, [SECOND], "pods").text
