"""inference.image.colour: fluorescence in one hue is told from two dyes and from stained tissue, also as JPEG."""

import cv2
import numpy as np
import pytest

from inference.image.colour import channel_of_one_hue, is_dark, shows_more

RNG = np.random.default_rng(0)


def nuclei(seed=0):
    """Blurred disks on a dark background, float in [0, 1]."""
    rng, image = np.random.default_rng(seed), np.zeros((128, 160), np.float32)
    for _ in range(12):
        cv2.circle(image, tuple(int(n) for n in rng.integers(10, 118, 2)), 9, float(rng.uniform(0.3, 1)), -1)
    return 0.05 + 0.95 * cv2.GaussianBlur(image, (0, 0), 2)


def jpeg(image, quality):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


@pytest.mark.parametrize("hue, brightest", [((0, 0, 1), 2), ((0, 1, 0.9), 1), ((1, 0.3, 0.1), 0), ((0.6, 0, 1), 2)])
def test_one_hue(hue, brightest):
    """As 8 and 16 bits, as float, as JPEG, and with a little noise in the empty channels."""
    image = nuclei()[:, :, None] * np.float32(hue)
    eight = (image * 255).astype(np.uint8)
    for stored in (
        image,
        eight,
        (image * 60000).astype(np.uint16),
        jpeg(eight, 90),
        jpeg(eight, 60),
        eight + RNG.integers(0, 4, eight.shape, np.uint8),
    ):
        assert channel_of_one_hue(stored) == brightest


def test_one_channel_that_varies_beside_one_that_does_not():
    """However bright that one is."""
    for empty in (0, 300):
        image = np.dstack([np.full(nuclei().shape, empty), nuclei() * 128])
        assert channel_of_one_hue(image) == 1


def test_a_dim_dye_is_one_all_the_same():
    """Of 16 bits; noise, an empty channel and a weaker copy show nothing of their own."""
    bright, noise = nuclei(0) * 12000, RNG.normal(100, 5, (128, 160)).clip(0)
    for dim, expected in ((nuclei(1) * 500, True), (noise, False), (noise * 0, False), (bright * 0.2 + noise, False)):
        image = np.dstack([dim, bright]).astype(np.uint16)
        assert channel_of_one_hue(image) == 1
        assert shows_more(image, 1) is expected
    assert not shows_more(np.dstack([nuclei(1) * 20, nuclei(0) * 250]).astype(np.uint8), 1)


def test_two_dyes_take_two_channels():
    assert channel_of_one_hue(np.dstack([nuclei(0), nuclei(1), np.zeros((128, 160))])) is None


def test_bright_backgrounds_keep_their_colours():
    """Brown and blue cells on glass, and a photograph of phase contrast through a yellow filter."""
    stained = 1 - nuclei()[:, :, None] * np.float32([0.2, 0.6, 0.8])
    assert channel_of_one_hue(stained) is None
    assert channel_of_one_hue((1 - 0.3 * nuclei())[:, :, None] * np.float32([1, 0.9, 0.5])) is None
    assert is_dark(nuclei().reshape(-1, 1))
    assert not is_dark(stained.reshape(-1, 3))


def test_nothing_to_tell_a_hue_by():
    assert channel_of_one_hue(np.zeros((20, 20, 3), np.uint8)) is None
    speck = np.zeros((200, 200, 3))
    speck[3, 3] = 0, 0, 1
    assert channel_of_one_hue(speck) is None
    assert channel_of_one_hue(np.full((20, 20, 3), np.nan)) is None
