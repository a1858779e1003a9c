"""Names of results: each from its own file's name alone, none twice."""

from pathlib import Path

import pytest

from inference.running.finding import Found
from inference.running.naming import Names, NamesCollide, challenge_names, result_names, stem


def names(*paths, rule=Names.STEM):
    return [
        str(name) for name in result_names([Found(Path(p)) if isinstance(p, str) else p for p in paths], rule).values()
    ]


@pytest.mark.parametrize(
    "name, expected",
    [
        ("a.tif", "a"),
        ("a.b.tif", "a.b"),
        ("a.ome.tif", "a"),
        ("A.OME.TIFF", "A"),
        ("a.c.PNG", "a.c"),
        ("a.ome.zarr", "a"),
        ("a.zarr.zip", "a"),
        ("cell.001", "cell.001"),
        ("noending", "noending"),
        ("measured today", "measured today"),
        (".tif", ".tif"),
        ("x.nd2", "x"),
    ],
)
def test_the_ending_goes(name, expected):
    assert stem(name) == expected


def test_names_that_used_to_overwrite_each_other():
    assert names("a.b.tif", "a.c.tif") == ["a.b", "a.c"]
    assert names("a.b.tif") == ["a.b"]


def test_images_that_differ_in_the_ending_alone_are_named_before_anything_runs():
    with pytest.raises(NamesCollide, match=r"in/x\.tif and in/x\.png; --full-names"):
        names("in/x.tif", "in/x.png", "in/y.tif")
    assert names("in/x.tif", "in/x.png", rule=Names.FULL) == ["x.tif", "x.png"]


def test_one_name_in_two_folders():
    with pytest.raises(NamesCollide, match=r"p/x\.tif and q/x\.tif; give their common folder with --recursive"):
        names("p/x.tif", "q/x.tif")
    with pytest.raises(NamesCollide, match="--recursive"):
        names("p/x.tif", "q/x.tif", rule=Names.FULL)
    assert names(Found(Path("in/p/x.tif"), Path("p")), Found(Path("in/q/x.tif"), Path("q"))) == ["p/x", "q/x"]


def test_a_challenge_never_runs_out_of_names():
    paths = [Path(f"{folder}/a.tif") for folder in "abcde"]
    assert len(set(challenge_names(paths).values())) == 5


def test_a_challenge_cuts_at_the_first_dot():
    assert names("a.b.tif", "cell_00001.png", rule=Names.CHALLENGE) == ["a", "cell_00001"]
    assert names("a.b.tif", "a.c.tif", "a.c.png", rule=Names.CHALLENGE) == ["a", "a.c", "a.c.png"]
    assert names(".b.tif", rule=Names.CHALLENGE) == [".b"]
