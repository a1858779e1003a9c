"""What networks have seen: images and terms of each source, as checkpoints and model cards have it."""

from collections import Counter
from collections.abc import Iterable, Mapping

from training.images.manifest import Record

Sources = Mapping[str, Mapping]  # source -> {"images": number, "terms": text, "" if unknown}


def counted(records: Iterable[Record]) -> dict[str, dict]:
    """The sources of images whose terms are not known yet."""
    return {source: {"images": n, "terms": ""} for source, n in Counter(record.source for record in records).items()}


def united(*parts: Sources) -> dict[str, dict]:
    """All sources of several trainings: of each one the most images, and the first terms that are known.

    Examples
    --------
    >>> united({"a": {"images": 3, "terms": ""}}, {"a": {"images": 2, "terms": "MIT"}, "b": {"images": 1, "terms": ""}})
    {'a': {'images': 3, 'terms': 'MIT'}, 'b': {'images': 1, 'terms': ''}}
    """
    whole: dict[str, dict] = {}
    for source, entry in (pair for part in parts for pair in part.items()):
        known = whole.get(source, entry)
        images = max(known["images"], entry["images"])
        whole[source] = {"images": images, "terms": known["terms"] or entry["terms"]}
    return whole
