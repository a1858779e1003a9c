"""What users write on the command line, and what they are told when it makes no sense."""

import pytest

from inference.reading.options import ReadOptions, parse_axes, parse_channels, parse_plane, parse_series


@pytest.mark.parametrize(
    "text, expected",
    [
        ("2", ((2,),)),
        ("3,1", ((3,), (1,))),
        ("DAPI", (("DAPI",),)),
        ("DAPI+WGA, GFP", (("DAPI", "WGA"), ("GFP",))),
        ("1+2,3", ((1, 2), (3,))),
    ],
)
def test_channels(text, expected):
    assert parse_channels(text) == expected


@pytest.mark.parametrize("text", ["", "1,,2", "1,2,3,4", "+1", "DAPI,"])
def test_wrong_channels(text):
    with pytest.raises(ValueError, match=r"expected one to three .* such as 2 or DAPI,GFP or DAPI\+WGA"):
        parse_channels(text)


def test_axes():
    assert parse_axes("zcyx") == "ZCYX"
    for wrong in ("", "CY", "YXX", "QYX"):
        with pytest.raises(ValueError, match=r"such as CYX or TZYX"):
            parse_axes(wrong)


def test_series():
    assert parse_series("2") == (2,)
    assert parse_series("1, 3-5,4") == (1, 3, 4, 5)
    for wrong in ("0", "", "a", "1-", "1;2", "5-3"):
        with pytest.raises(ValueError, match=r"such as 2 or 1,3-5"):
            parse_series(wrong)


def test_planes():
    assert [parse_plane(text) for text in ("5", "max", "mean", "each")] == [5, "max", "mean", "each"]
    for wrong in ("0", "-1", "", "sum"):
        with pytest.raises(ValueError, match="max, mean, or each"):
            parse_plane(wrong)


def test_the_place_of_planes_that_were_chosen():
    assert ReadOptions(z=3, t=1).chosen == {"T": 0, "Z": 2}
    assert ReadOptions(z="each", t=2).chosen == {"T": 1}
    assert ReadOptions(z="max").chosen == {}
