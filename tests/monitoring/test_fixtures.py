"""The recorded series are what today's operator exposes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from monitoring.fixtures import FOLDER
from monitoring.recording import Recording, notation
from monitoring.scenes import SCENES
from monitoring.stage import play
from support.monitoring import series_names

if TYPE_CHECKING:
    from monitoring.scenes import Scene


@pytest.mark.parametrize("scene", SCENES.values(), ids=lambda scene: scene.name)
def test_a_scene_is_recorded_as_the_operator_plays_it_today(scene: Scene) -> None:
    """If this fails, look whether the metrics are meant to have changed; then `make alert-fixtures`."""
    assert play(scene.play, series_names()).render() == (FOLDER / f"{scene.name}.yaml").read_text(encoding="utf-8")


def test_there_are_no_other_recordings() -> None:
    """One for each scene."""
    assert {path.stem for path in FOLDER.iterdir()} == set(SCENES)


def test_every_series_of_the_rules_is_recorded() -> None:
    """A rule on a series that the operator does not have would never fire."""
    text = "".join(path.read_text(encoding="utf-8") for path in FOLDER.iterdir())
    assert {name for name in series_names() if f"'{name}{{" not in text} == set()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1.0, 1.0, 1.0], "1x2"),
        ([0.0, 30.0, 60.0, 60.0], "0+30x2 60"),
        ([12.0, 8.0, 4.0], "12-4x2"),
        ([1.0, 2.0], "1 2"),
        ([0.1, 0.2, 0.3, 0.3], "0.1 0.2 0.3x1"),
        ([None, None, None, 5.0], "_x3 5"),
        ([5.0, None, 5.0], "5 stale 5"),
        ([5.0, None, None, None, 5.0], "5 stale _x2 5"),
        ([5.0, None, None], "5 stale"),
        ([1781.23456, 1781.23456], "1781.235x1"),
    ],
)
def test_the_notation_of_values(values: list[float | None], text: str) -> None:
    """Repeated and evenly growing values are written once; where a series ends it is stale."""
    assert notation(values) == text


def test_a_recording_lists_series_with_their_scrapes() -> None:
    """Also those that come late or end early."""
    recording = Recording()
    for found in ({"a{}": 1.0}, {"a{}": 1.0, "b{}": 2.0}, {"b{}": 2.0}):
        recording.add(found)
    assert recording.render().splitlines()[1:] == [
        "length: 60s",
        "interval: 30s",
        "input_series:",
        "- series: 'a{}'",
        "  values: '1x1 stale'",
        "- series: 'b{}'",
        "  values: '_ 2x1'",
    ]
