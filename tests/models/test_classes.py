"""The table of classes."""

import pytest

from models.classes import BINARY, CLASSES, GRAY, find_class


def test_numbers_are_places_in_the_table():
    assert [c.number for c in CLASSES] == [0, 1, 2, 3]
    assert CLASSES[BINARY].name == "binary"
    assert CLASSES[GRAY].name == "gray"


def test_kinds_are_the_papers():
    assert [c.kind for c in CLASSES] == ["stardist", "hover", "stardist", "stardist"]


@pytest.mark.parametrize("text", ["2", "large colour", "Large-Colour", " large_colour "])
def test_found_by_number_and_name(text):
    assert find_class(text) is CLASSES[2]


@pytest.mark.parametrize("text", ["4", "colour", "", "-1"])
def test_what_is_no_class_is_told_what_is(text):
    with pytest.raises(
        ValueError, match=r"is no class of images; give one of 0 \(binary\), 1 \(gray\), 2 \(large colour\), 3"
    ):
        find_class(text)
