"""CZI as Zeiss's library writes it: scenes, channels, planes, mosaics, colours."""

import numpy as np
import pytest

from inference.reading import ImageError, ReadOptions, open_image, open_images, read_image
from inference.reading.stores import StoreSettings

czi = pytest.importorskip("pylibCZIrw.czi", reason="needs pylibCZIrw: pip install pylibCZIrw")
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 60_000, (2, 3, 40, 50), np.uint16)  # C, Z, Y, X


@pytest.fixture
def stack(tmp_path):
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for c, z in np.ndindex(2, 3):
            file.write(PIXELS[c, z, :, :, None], plane={"C": c, "Z": z, "T": 0}, location=(100, 70))
        file.write_metadata("title", channel_names={0: "DAPI", 1: "GFP"}, scale_x=0.5e-6, scale_y=0.25e-6, scale_z=1e-6)
    return tmp_path / "a.czi"


def test_channels_and_planes(stack):
    picture = read_image(stack, ReadOptions(z=2))
    assert np.array_equal(picture.pixels, PIXELS[:, 1].transpose(1, 2, 0))
    assert (picture.channels, picture.pixel_size) == (("DAPI", "GFP"), (0.25, 0.5))
    assert np.array_equal(read_image(stack, ReadOptions(z="max", channels=(("GFP",),))).pixels, PIXELS[1].max(axis=0))
    with pytest.raises(ImageError, match=r"a\.czi: .*3 z planes"):
        read_image(stack)


def test_regions(stack):
    pixels = open_image(stack, ReadOptions(z=3), StoreSettings(whole_bytes=0)).pixels
    assert not isinstance(pixels, np.ndarray)
    assert pixels.shape == (40, 50, 2)
    expected = PIXELS[:, 2].transpose(1, 2, 0)
    for place in ((slice(3, 17), slice(20, 50)), (slice(0, 40, 3), slice(1, 50, 4)), (slice(30, 99), slice(None))):
        assert np.array_equal(pixels[place], expected[place])


def test_scenes_of_tiles(tmp_path):
    """Two scenes, each of two tiles side by side."""
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for scene, (left, top) in enumerate(((0, 0), (500, 300))):
            for tile in range(2):
                file.write(PIXELS[scene, tile, :, :, None], location=(left + 50 * tile, top), scene=scene)
    images = open_images(tmp_path / "a.czi")
    assert [image.suffix for image in images] == ["_s1", "_s2"]
    for scene, image in enumerate(images):
        assert np.array_equal(image.open().pixels, np.concatenate([PIXELS[scene, 0], PIXELS[scene, 1]], axis=1))


def test_colours(tmp_path, tissue):
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        file.write(np.ascontiguousarray(tissue[..., ::-1]))
    picture = read_image(tmp_path / "a.czi")
    assert np.array_equal(picture.pixels, tissue)
    assert "RGB" in picture.axes
    regions = open_image(tmp_path / "a.czi", settings=StoreSettings(whole_bytes=0)).pixels
    assert np.array_equal(regions[5:30, 7:60], tissue[5:30, 7:60])


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_gray_and_colours_in_one_file(tmp_path, tissue, deep, first):
    """A brightfield camera's channel beside a fluorescent one, of the same or another number of bits."""
    gray = tissue[..., :1].astype(np.uint16) * 200 if deep else tissue[..., :1]
    channels = (gray, tissue) if first else (tissue, gray)
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for c, pixels in enumerate(channels):
            file.write(np.ascontiguousarray(pixels), plane={"C": c, "Z": 0, "T": 0})
    picture = read_image(tmp_path / "a.czi")
    assert picture.pixels.shape == (*tissue.shape[:2], 2)
    assert np.array_equal(picture.pixels[..., 0 if first else 1], gray[..., 0])
    assert np.allclose(picture.pixels[..., 1 if first else 0], tissue.mean(axis=2), atol=1)
    assert any("those of colours are taken as gray" in warning for warning in picture.warnings)


@pytest.mark.parametrize("name", ["uncompressed:", "zstd0:", "zstd1:PreProcess=HiLoByteUnpack"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("samples", [1, 3])
def test_compressions(tissue, tmp_path, name, dtype, samples):
    """What the library makes garbage of is refused; once it does not, `inference.reading.czi.WRONG` can go."""
    pixels = np.ascontiguousarray(tissue[..., :samples].astype(dtype) * (dtype(200) if dtype == np.uint16 else 1))
    with czi.create_czi(str(tmp_path / "a.czi"), compression_options=name) as file:
        file.write(np.ascontiguousarray(pixels[..., ::-1]))
    if samples == 3 and dtype == np.uint16 and name.startswith("zstd1"):
        with czi.open_czi(str(tmp_path / "a.czi")) as file:
            assert not np.array_equal(file.read()[..., ::-1], pixels)
        with pytest.raises(ImageError, match=r"a\.czi: .*16 bits in Zstandard.*save it"):
            read_image(tmp_path / "a.czi")
    else:
        assert np.array_equal(read_image(tmp_path / "a.czi").pixels, pixels[..., 0] if samples == 1 else pixels)


def test_further_axes_have_their_first_entry_taken_aloud(tmp_path, monkeypatch):
    """Phases and views. The writer leaves such axes out unless it is made to keep them."""
    monkeypatch.setattr(czi.CziWriter, "_create_plane", lambda self, plane, scene: {**plane, "S": scene})
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for h, v in np.ndindex(2, 3):
            file.write(PIXELS[h, v, :, :, None], plane={"C": 0, "Z": 0, "T": 0, "H": h, "V": v, "R": 0})
    picture = read_image(tmp_path / "a.czi")
    assert np.array_equal(picture.pixels, PIXELS[0, 0])
    assert picture.warnings == tuple(
        f"a.czi: of its {what} the first one is used" for what in ("2 phases (axis H)", "3 views (axis V)")
    )


def test_planes_whose_numbers_do_not_begin_at_0(tmp_path):
    """As in a part of a recording; the channel between two others is not there."""
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for c, z in np.ndindex(2, 3):
            file.write(PIXELS[c, z, :, :, None], plane={"C": 1 + 2 * c, "Z": 4 + z, "T": 7})
    picture = read_image(tmp_path / "a.czi", ReadOptions(z=2))
    assert np.array_equal(picture.pixels, np.dstack([PIXELS[0, 1], 0 * PIXELS[0, 1], PIXELS[1, 1]]))


def test_planes_that_were_not_recorded(tmp_path):
    """As in a recording that was stopped: the second channel lacks its last plane in the second scene."""
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for scene, c, z in [place for place in np.ndindex(2, 2, 3) if place != (1, 1, 2)]:
            place = {"C": c, "Z": z, "T": 0}
            file.write(PIXELS[c, z, :, :, None], plane=place, location=(90 * scene, 0), scene=scene)
    whole, stopped = open_images(tmp_path / "a.czi", ReadOptions(z=3))
    assert not whole.views[0].warnings
    said = "a.czi: 1 of 6 planes are not there and are empty; unless they were not recorded, copy it again"
    assert stopped.views[0].warnings == (said,)
    assert np.array_equal(stopped.open().pixels, np.dstack([PIXELS[0, 2], 0 * PIXELS[1, 2]]))
    with pytest.raises(ImageError, match=r"a\.czi: channel 2 of 2 and z plane 3 of 3 of image 2 is not there"):
        open_images(tmp_path / "a.czi", ReadOptions(z=3, channels=((2,),)))


def test_metadata_that_are_no_metadata(stack, monkeypatch):
    monkeypatch.setattr(czi.CziReader, "metadata", {"Odd": {}})
    picture = read_image(stack, ReadOptions(z=2))
    assert np.array_equal(picture.pixels, PIXELS[:, 1].transpose(1, 2, 0))
    assert not picture.channels
    assert any("are not understood and left out" in warning for warning in picture.warnings)


def test_a_damaged_file_is_named(stack):
    stack.write_bytes(stack.read_bytes()[:700])
    with pytest.raises(ImageError, match=r"a\.czi: damaged or unsupported CZI"):
        read_image(stack)
