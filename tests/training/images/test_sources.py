"""training.images.sources: images are counted, and what is known of a source is not lost."""

from pathlib import Path

from training.images.manifest import Record
from training.images.sources import counted, united


def test_images_of_each_source_are_counted():
    records = [Record(Path("i"), Path("l"), "train", source) for source in "aba"]
    assert counted(records) == {"a": {"images": 2, "terms": ""}, "b": {"images": 1, "terms": ""}}


def test_nothing_gets_lost():
    """The most images and the first known terms, whichever comes first; what is given stays as it is."""
    one, other = (
        {"a": {"images": 1, "terms": "MIT"}},
        {"a": {"images": 2, "terms": ""}, "b": {"images": 3, "terms": ""}},
    )
    whole = {"a": {"images": 2, "terms": "MIT"}, "b": {"images": 3, "terms": ""}}
    assert united(one, other) == united(other, one) == whole
    assert united() == {}
    assert one == {"a": {"images": 1, "terms": "MIT"}}
