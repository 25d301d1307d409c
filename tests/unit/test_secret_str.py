"""Secret texts do not show."""

import copy
import pickle
import traceback
from dataclasses import replace

import pytest

from bek_operator.secret_str import SecretStr
from support.builders import PASSWORD, endpoint, target


def test_it_is_revealed_only_when_asked() -> None:
    """The text comes out by `reveal`, and by nothing that prints."""
    hidden = SecretStr(PASSWORD)
    assert hidden.reveal() == PASSWORD
    assert PASSWORD not in f"{hidden} {hidden!r} {hidden!s:>20}"


def test_a_target_shows_no_secret() -> None:
    """Neither password nor user name is in what a log line would show of a target."""
    assert "'admin'" not in repr(target())
    assert PASSWORD not in repr(target())


def test_texts_are_compared_without_showing_them() -> None:
    """Equal texts are equal values, so that a changed password is noticed; anything else is not."""
    assert SecretStr("a") == SecretStr("a")
    assert hash(SecretStr("a")) == hash(SecretStr("a"))
    assert SecretStr("a") != SecretStr("b")
    assert SecretStr("a") != "a"
    assert replace(endpoint(), password=SecretStr("new")) != endpoint()


def test_it_cannot_be_taken_elsewhere() -> None:
    """It is neither pickled nor deep-copied, and the refusal does not tell the text."""
    for carry in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError) as caught:
            carry(SecretStr(PASSWORD))
        assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_any_text_can_be_hidden() -> None:
    """Even one that is no proper Unicode."""
    assert SecretStr("\ud800").reveal() == "\ud800"
