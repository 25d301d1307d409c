"""Secret texts are not shown."""

import copy
import pickle
import traceback
from dataclasses import replace

import pytest

from bek_operator.secret_str import SecretStr
from support.builders import PASSWORD, endpoint, target


def test_only_reveal_returns_the_text() -> None:
    """Nothing that prints shows it."""
    secret = SecretStr(PASSWORD)
    assert secret.reveal() == PASSWORD
    assert PASSWORD not in f"{secret} {secret!r} {secret!s:>20}"


def test_a_target_shows_no_secret() -> None:
    """Its repr holds neither password nor user name."""
    assert "'admin'" not in repr(target())
    assert PASSWORD not in repr(target())


def test_texts_are_compared_without_showing_them() -> None:
    """Equal texts are equal values, so that a changed password is noticed; anything else is not."""
    assert SecretStr("a") == SecretStr("a")
    assert hash(SecretStr("a")) == hash(SecretStr("a"))
    assert SecretStr("a") != SecretStr("b")
    assert SecretStr("a") != "a"
    assert replace(endpoint(), password=SecretStr("new")) != endpoint()


def test_it_cannot_be_pickled_or_copied() -> None:
    """The error does not show the text."""
    for copy_ in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError) as caught:
            copy_(SecretStr(PASSWORD))
        assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_any_text_is_accepted() -> None:
    """Even invalid Unicode."""
    assert SecretStr("\ud800").reveal() == "\ud800"
