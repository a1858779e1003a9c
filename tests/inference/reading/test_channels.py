"""Which channels make the picture, by default and when asked for; and what is asked back."""

import numpy as np
import pytest
import tifffile

from inference.reading import ImageError, ReadOptions, open_image, read_image
from inference.reading.channels import choose_channels
from inference.reading.stores import StoreSettings

NAMES = ("Hoechst 33342", "WGA-488", "Actin 568", "Mito 647")
RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 60_000, (4, 20, 30), np.uint16)


def choose(count, wanted=None, names=(), **more):
    return choose_channels("a.tif", count, names, wanted, **more)


@pytest.mark.parametrize(
    "arguments, groups, said",
    [
        ({"count": 1}, ((0,),), "gray"),
        ({"count": 2}, ((0,), (1,)), "2 channels"),
        ({"count": 3, "names": NAMES[:3]}, ((0,), (1,), (2,)), "Hoechst 33342, WGA-488, Actin 568"),
        ({"count": 3, "colours": 3}, ((0,), (1,), (2,)), "RGB"),
        ({"count": 4, "colours": 3, "alpha": 1}, ((0,), (1,), (2,)), "RGB, alpha dropped"),
        ({"count": 2, "alpha": 1}, ((0,),), "gray, alpha dropped"),
        ({"count": 4, "wanted": ((3,), (1,))}, ((2,), (0,)), "channel 3, channel 1 of 4"),
        ({"count": 2, "wanted": ((1,),), "names": ("0", "1")}, ((0,),), "0 of 2"),
        ({"count": 2, "wanted": ((488,),), "names": ("405", "488")}, ((1,),), "488 of 2"),
        ({"count": 1, "wanted": ((1, 1),)}, ((0,),), "channel 1 of 1"),
        (
            {"count": 4, "wanted": (("wga-488", "Actin 568"), ("hoechst",)), "names": NAMES},
            ((1, 2), (0,)),
            "WGA-488+Actin 568, Hoechst 33342 of 4",
        ),
        ({"count": 3, "colours": 3, "wanted": (("blue",),)}, ((2,),), "blue of 3"),
        ({"count": 2, "names": ("488", "405"), "wanted": ((405,),)}, ((1,),), "405 of 2"),
    ],
)
def test_choices(arguments, groups, said):
    choice = choose(**arguments)
    assert (choice.groups, choice.said, choice.warnings) == (groups, said, ())


def test_of_many_channels_the_one_named_after_nuclei_is_taken_and_said():
    choice = choose(4, names=NAMES)
    assert choice.groups == ((0,),)
    assert choice.names == ("Hoechst 33342",)
    assert "1 Hoechst 33342, 2 WGA-488" in choice.warnings[0]
    assert "--channels" in choice.warnings[0]


@pytest.mark.parametrize("names", [(), ("a", "b", "c", "d"), ("DAPI 1", "DAPI 2", "c", "d")])
def test_of_many_channels_that_say_nothing_the_user_is_asked(names):
    with pytest.raises(ImageError, match=r"a\.tif: 4 channels \(1.*--channels 1"):
        choose(4, names=names)


def test_a_fourth_sample_that_is_no_alpha_is_left_out_aloud():
    choice = choose(4, colours=3)
    assert choice.groups == ((0,), (1,), (2,))
    assert "--channels" in choice.warnings[0]


@pytest.mark.parametrize(
    "channel, words", [(5, "5' is none|5 of"), (0, "0 of"), ("GFP", "none of its channels"), ("6", "none|several")]
)
def test_a_channel_that_is_not_there(channel, words):
    with pytest.raises(ImageError, match=rf"a\.tif: .*(?:{words}).*1 Hoechst 33342"):
        choose(4, ((channel,),), ("Hoechst 33342", "6 a", "6 b", "x"))


def write(path, **options):
    tifffile.imwrite(
        path, STACK, metadata={"axes": "CYX", "Channel": {"Name": list(NAMES)}}, photometric="minisblack", **options
    )
    return path


def test_chosen_channels_are_read_in_their_order(tmp_path):
    path = write(tmp_path / "a.ome.tif")
    picture = read_image(path, ReadOptions(channels=(("Mito 647",), (1,))))
    assert np.array_equal(picture.pixels, STACK[[3, 0]].transpose(1, 2, 0))
    assert picture.channels == (
        "Mito 647",
        "Hoechst 33342",
    )
    assert picture.axes == "CYX (Mito 647, Hoechst 33342 of 4)"
    assert np.array_equal(read_image(path, ReadOptions(channels=((2,),))).pixels, STACK[1])


def test_merged_channels_weigh_alike(tmp_path):
    """A bright and a dark marker of different cells: both are as bright in the merged channel, and regions fit the
    whole."""
    bright, dark = np.zeros((2, 64, 64), np.uint16)
    bright[10:20, 10:20], dark[40:50, 40:50] = 50_000, 500
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.stack([bright, dark, bright // 2]), metadata={"axes": "CYX"}, photometric="minisblack")
    merged = read_image(path, ReadOptions(channels=((1, 2),))).pixels
    assert merged.shape == (64, 64)
    assert merged.dtype == np.uint16
    assert merged[15, 15] == merged[45, 45] > 30_000
    assert merged[0, 0] == 0
    both = read_image(path, ReadOptions(channels=((1, 2), (3,)))).pixels
    assert both.shape == (64, 64, 2)
    assert np.array_equal(both[..., 0], merged)


def test_merged_regions_of_a_large_file_are_those_of_the_whole(tmp_path):
    path = write(tmp_path / "a.ome.tif", tile=(16, 16), compression="zlib")
    options = ReadOptions(channels=((1, 2, 4), (3,)))
    whole = read_image(path, options).pixels
    pixels = open_image(path, options, StoreSettings(whole_bytes=0)).pixels
    assert not isinstance(pixels, np.ndarray)
    assert pixels.shape == (20, 30, 2)
    assert np.array_equal(pixels[3:17, 5:29], whole[3:17, 5:29])
