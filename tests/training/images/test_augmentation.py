"""training.images.augmentation: image and labels move together, each change comes as often and as far as it should,
gray stays gray.
"""

import numpy as np
import pytest

from training.images import augmentation
from training.images.augmentation import INTENSITY, change_intensity, cut, flip_and_turn


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def smooth_picture(shape=(90, 120)):
    """A smooth label-like pair: every pixel's number is in the labels, and in the image at a coarser step."""
    y, x = np.indices(shape)
    return ((y + x) % 256).astype(np.uint8), (y * shape[1] + x + 1).astype(np.int32)


def square(shape, top, left, side):
    labels = np.zeros(shape, np.int32)
    labels[top : top + side, left : left + side] = 1
    return labels


def test_probabilities_of_the_paper():
    """Section 3.3: flip, quarter turns and noise 0.5, contrast, smoothing and histogram shift 0.25, zoom 0.5 to 2."""
    assert (augmentation.FLIP, augmentation.ROTATE_90, augmentation.ZOOM) == (0.5, 0.5, (0.5, 2.0))
    of = {change.__name__: probability for probability, change in INTENSITY}
    assert of["gaussian_noise"] == 0.5
    assert of["adjust_contrast"] == of["gaussian_smooth"] == of["histogram_shift"] == 0.25


def test_cut_without_zoom_is_a_window(rng):
    """The window around the centre, moved inside the image where it would leave it."""
    image, labels = smooth_picture()
    for centre, (top, left) in (((45, 60), (29, 44)), ((0, 119), (0, 88)), ((89, 0), (58, 0))):
        crop, cells, known = cut(image, labels, 1.0, centre, 32, rng)
        assert np.array_equal(crop, image[top : top + 32, left : left + 32])
        assert np.array_equal(cells, labels[top : top + 32, left : left + 32])
        assert (crop.dtype, cells.dtype, known.dtype, known.min()) == (np.uint8, np.int32, np.float32, 1)


@pytest.mark.parametrize("zoom", (0.5, 0.7, 1.3, 2.0, 3.7))
def test_cut_zooms_image_and_labels_alike(rng, zoom):
    """A bright square is the labelled square, to the pixel; its side grows by the zoom."""
    labels = square((100, 100), 38, 41, 20)
    for colour in (False, True):
        image = (labels * 200).astype(np.uint8)
        crop, cells, known = cut(np.dstack([image] * 3) if colour else image, labels, zoom, (48, 51), 96, rng)
        crop = crop[:, :, 1] if colour else crop
        wrong = ((crop >= 100) != (cells > 0)) & (known > 0)
        assert np.count_nonzero(wrong) <= 4 * 20 * zoom * 0.55  # half a pixel along its outline
        assert abs(np.sqrt(np.count_nonzero(cells)) - 20 * zoom) <= 1


def test_cut_of_a_small_image(rng):
    """Where the image ends it is mirrored, the labels are 0, and the pixels are marked unknown."""
    image, labels = smooth_picture((20, 30))
    crop, cells, known = cut(image, labels, 1.0, (10, 15), 64, rng)
    assert crop.shape == cells.shape == known.shape == (64, 64)
    rows, columns = np.nonzero(known)
    inside = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert known[inside].shape == (20, 30)
    assert known[inside].all()
    assert np.array_equal(crop[inside], image)
    assert np.array_equal(cells[inside], labels)
    assert not cells[known == 0].any()
    if rows.min():
        assert np.array_equal(crop[rows.min() - 1, inside[1]], image[0])


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (7, 3), (300, 2)])
@pytest.mark.parametrize("zoom", (0.1, 1.0, 9.0))
def test_cut_of_any_shape(rng, shape, zoom):
    image, labels = np.full(shape, 9, np.uint8), np.ones(shape, np.uint16)
    crop, cells, known = cut(image, labels, zoom, (0, 0), 32, rng)
    assert crop.shape == cells.shape == known.shape == (32, 32)
    assert np.all(crop == 9)
    assert np.array_equal(cells > 0, known > 0)
    assert known.any()


def test_flips_and_turns_move_all_arrays_alike(rng):
    """Colour image, labels and mask; nothing is lost and the eight positions of a square all occur."""
    labels = np.arange(36, dtype=np.int32).reshape(6, 6)
    seen = set()
    for _ in range(200):
        image, cells, known = flip_and_turn([np.dstack([labels * 2] * 3).astype(np.float32), labels, labels > 17], rng)
        assert np.array_equal(image[:, :, 1], 2 * cells)
        assert np.array_equal(known, cells > 17)
        assert cells.flags["C_CONTIGUOUS"]
        assert sorted(cells.ravel()) == list(range(36))
        seen.add(cells.tobytes())
    assert len(seen) == 8


def test_half_of_the_crops_are_flipped_and_half_turned(monkeypatch):
    """An L tells flips (its mirror image) from turns. 2000 draws: 4 standard deviations are 0.045."""
    letter = np.array([[1, 0, 0], [1, 0, 0], [1, 2, 0]])
    turned_only = {np.rot90(letter, k).tobytes(): k for k in range(4)}
    draws = [flip_and_turn([letter], np.random.default_rng(seed))[0].tobytes() for seed in range(2000)]
    assert np.mean([d not in turned_only for d in draws]) == pytest.approx(0.5, abs=0.045)
    monkeypatch.setattr(augmentation, "FLIP", 0)
    unflipped = [flip_and_turn([letter], np.random.default_rng(seed))[0] for seed in range(2000)]
    turns = [turned_only[array.tobytes()] for array in unflipped]
    assert np.mean([k > 0 for k in turns]) == pytest.approx(0.5, abs=0.045)
    assert all(np.mean([k == turn for k in turns]) == pytest.approx(1 / 6, abs=0.035) for turn in (1, 2, 3))


def test_each_change_comes_with_its_probability(rng):
    """10,000 draws: 4 standard deviations are 0.02."""
    calls = dict.fromkeys((change for _, change in INTENSITY), 0)

    def counted(change):
        def count(image, _):
            calls[change] += 1
            return image

        return count

    counting = [(probability, counted(change)) for probability, change in INTENSITY]
    for _ in range(10_000):
        change_intensity(np.zeros((1, 1), np.float32), rng, counting)
    for probability, change in INTENSITY:
        assert calls[change] / 10_000 == pytest.approx(probability, abs=0.02), change.__name__


@pytest.mark.parametrize("change", [change for _, change in INTENSITY], ids=lambda change: change.__name__)
@pytest.mark.parametrize("channels", (1, 3))
def test_changes_keep_shape_and_type(rng, change, channels):
    image = rng.random((16, 16) if channels == 1 else (16, 16, 3), np.float32)
    before = image.copy()
    for _ in range(20):
        changed = change(image, rng)
        assert (changed.shape, changed.dtype) == (image.shape, np.float32)
        assert np.isfinite(changed).all()
    assert np.array_equal(image, before)


def test_labels_are_taken_at_the_centres_of_the_pixels(rng):
    """A third of the size: the middle one of each 3x3; three times the size: each nine times."""
    labels = np.arange(1, 37).reshape(6, 6)
    image = labels.astype(np.uint8)
    small, cells, known = cut(image, labels, 1 / 3, (3, 3), 2, rng)
    assert cells.tolist() == [[8, 11], [26, 29]] == small.tolist()
    assert known.all()
    _, cells, _ = cut(image, labels, 3.0, (1, 1), 6, rng)
    assert np.array_equal(cells, np.kron(labels[:2, :2], np.ones((3, 3), int)))


def test_all_changes_together_stay_in_range(rng):
    """In [0, 1] at every step's end, and the crop is really changed most of the time."""
    image = rng.random((16, 16, 3), np.float32)
    changed = [change_intensity(image, rng) for _ in range(200)]
    assert all(c.min() >= 0 and c.max() <= 1 and c.dtype == np.float32 for c in changed)
    assert np.mean([not np.array_equal(c, image) for c in changed]) > 0.8


def test_noise(rng):
    """No bias; the standard deviation is uniform in its range."""
    flat = np.full((64, 64), 0.5, np.float32)
    noisy = np.array([augmentation.gaussian_noise(flat, rng) - flat for _ in range(200)])
    deviations = noisy.std(axis=(1, 2))
    low, high = augmentation.NOISE_STD
    assert abs(noisy.mean()) < 1e-3
    assert low <= deviations.min() < low + 0.01
    assert high - 0.01 < deviations.max() < high * 1.05
    assert deviations.mean() == pytest.approx((low + high) / 2, abs=0.007)


def test_contrast(rng):
    """A power between 1/2 and 2, as often above as below 1; black and white stay."""
    image = np.array([[0, 0.5, 1]], np.float32)
    changed = np.array([augmentation.adjust_contrast(image, rng)[0] for _ in range(500)])
    gamma = np.log(changed[:, 1]) / np.log(0.5)
    assert np.all(changed[:, 0] == 0)
    assert np.all(changed[:, 2] == 1)
    assert 0.5 <= gamma.min() < 0.55
    assert 1.9 < gamma.max() <= 2
    assert np.mean(gamma > 1) == pytest.approx(0.5, abs=0.09)


def test_smoothing(rng):
    """Keeps the mean and a flat image, takes away variance."""
    image = rng.random((64, 64), np.float32)
    for _ in range(20):
        smooth = augmentation.gaussian_smooth(image, rng)
        assert smooth.mean() == pytest.approx(image.mean(), abs=0.01)
        assert smooth.std() < image.std()
    np.testing.assert_allclose(augmentation.gaussian_smooth(np.full((9, 9), 0.3, np.float32), rng), 0.3, rtol=1e-5)


def test_histogram_shift(rng):
    """A monotone map of [0, 1] onto itself, another one each time."""
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None]
    moved = np.array([augmentation.histogram_shift(ramp, rng)[0] for _ in range(100)])
    assert np.all(np.diff(moved) >= 0)
    assert np.all(moved[:, 0] == 0)
    assert np.all(moved[:, -1] == 1)
    assert moved.std(axis=0).max() > 0.03


def test_colours(rng):
    """Inversion, channel order and desaturation by hand; gain and offset are the same for all pixels of a channel."""
    pixel = np.array([[[0.2, 0.5, 0.8]]], np.float32)
    np.testing.assert_allclose(augmentation.invert(pixel, rng), [[[0.8, 0.5, 0.2]]], rtol=1e-6)
    assert {tuple(augmentation.channel_order(pixel, rng)[0, 0].argsort()) for _ in range(100)} == {
        (0, 1, 2),
        (0, 2, 1),
        (1, 0, 2),
        (1, 2, 0),
        (2, 0, 1),
        (2, 1, 0),
    }
    for _ in range(50):
        red, green, blue = augmentation.desaturate(pixel, rng)[0, 0]
        assert green == pytest.approx(0.5)
        assert 0.2 <= red <= 0.5
        assert red + blue == pytest.approx(1)
        gained = augmentation.colour_gain(np.tile(np.float32([0, 1]), (2, 1)), rng)
        assert np.array_equal(gained[0], gained[1])
        offset, gain = gained[0, 0], gained[0, 1] - gained[0, 0]
        assert abs(offset) <= 0.15
        assert 0.7 <= gain <= 1.3 + 1e-6


def test_stain_changes_colours_and_keeps_places(rng):
    """Of a blue nucleus on pink the colours change, differently each time; the nucleus stays apart, white stays
    white.
    """
    picture = np.ones((40, 40, 3), np.float32)
    picture[5:35, 5:35] = 0.95, 0.6, 0.8
    picture[15:25, 15:25] = 0.35, 0.25, 0.6
    drawn = [augmentation.stain(picture, rng) for _ in range(30)]
    for image in drawn:
        assert image.dtype == np.float32
        assert 0 <= image.min()
        assert image.max() <= 1
        colours = image[0, 0], image[10, 10], image[20, 20]
        assert colours[0] == pytest.approx(1, abs=1e-3)
        assert all(np.ptp(image[part], axis=(0, 1)).max() < 1e-6 for part in (np.s_[:5], np.s_[16:24, 16:24]))
        assert np.abs(colours[1] - colours[2]).max() > 0.1
    hues = np.array([image[20, 20] - image[20, 20].mean() for image in drawn])
    assert np.ptp(hues[:, 2]) > 0.3  # from blue to brown
    assert np.isfinite(augmentation.stain(np.zeros((3, 3, 3), np.float32), rng)).all()


def test_dye_patches(rng):
    """They only darken, in most pictures a part of it and not all alike, in several colours; gray stays as it is."""
    white = np.ones((64, 96, 3), np.float32)
    pictures = np.array([augmentation.dye_patches(white, rng) for _ in range(40)])
    assert pictures.dtype == np.float32
    assert pictures.max() <= 1
    assert pictures.min() > np.exp(-augmentation.PATCH_DYE[1])
    untouched = (pictures == 1).all(axis=3).mean(axis=(1, 2))
    assert 0.2 < untouched.mean() < 0.8
    assert np.mean((untouched > 0.05) & (untouched < 0.95)) > 0.7
    strongest = pictures.reshape(40, -1, 3).min(axis=1).argmin(axis=1)
    assert {1, 2} <= set(strongest), "eosin absorbs green most, DAB blue"
    gray = white[:, :, 0]
    assert augmentation.dye_patches(gray, rng) is gray


def test_fluorescence_in_colour(rng):
    """A dark gray image is shown in one hue: its brightest channel is the image itself; a bright one (phase contrast,
    say) stays.
    """
    dark = (rng.random((32, 32), np.float32) > 0.9).astype(np.float32)
    for _ in range(30):
        coloured = augmentation.hue(dark, rng)
        assert np.array_equal(coloured.max(axis=2), dark)
        assert not (coloured == coloured[:, :, :1]).all()
    bright = 1 - dark
    assert augmentation.hue(bright, rng) is bright


def test_a_second_dye(rng):
    """A dark gray image is one channel, sharp as it is; another one has a dimmer and smoother signal, around the same
    place or across the middle from it; the third is empty. Any two channels may be those, and the rng alone decides.
    """
    dark = np.zeros((48, 48), np.float32)
    dark[8:16, 10:20] = 0.8
    orders, places = set(), set()
    for seed in range(60):
        channels = augmentation.composite(dark, np.random.default_rng(seed))
        assert np.array_equal(channels, augmentation.composite(dark, np.random.default_rng(seed)))
        brightest = channels.max(axis=(0, 1))
        first, second, third = np.argsort(-brightest)
        assert np.array_equal(channels[:, :, first], dark)
        assert 0.2 * 0.8 <= brightest[second] <= 0.8 * 0.8
        assert np.abs(np.diff(channels[:, :, second], axis=1)).max() < 0.3 * brightest[second]
        assert brightest[third] == 0
        orders.add((first, second))
        places.add(tuple(int(n > 24) for n in np.unravel_index(channels[:, :, second].argmax(), dark.shape)))
    assert len(orders) == 6
    assert places == {(0, 0), (1, 1)}


def test_bright_images_colours_and_darkness_get_no_second_dye(rng):
    bright, colour = np.full((8, 8), 0.7, np.float32), np.zeros((8, 8, 3), np.float32)
    assert augmentation.composite(bright, rng) is bright
    assert augmentation.composite(colour, rng) is colour
    assert not augmentation.composite(np.zeros((8, 8), np.float32), rng).any()


def test_shot_noise_grows_with_the_light(rng, monkeypatch):
    """Its variance is the brightness over the number of photons."""
    image = np.repeat(np.float32([0.0, 0.25, 1.0]), 20_000)[None]
    monkeypatch.setattr(augmentation, "PHOTONS", (50, 50.001))
    noise = augmentation.shot_noise(image, rng).reshape(3, -1) - image.reshape(3, -1)
    np.testing.assert_allclose(noise.var(axis=1), [0, 0.25 / 50, 1 / 50], rtol=0.05)


def test_downsampling_loses_detail_and_keeps_places(rng):
    """Single bright pixels are lost, a square stays where it is."""
    image = np.zeros((64, 64), np.float32)
    image[::4, ::4] = 1
    image[20:40, 24:44] = 1
    less = augmentation.downsample(image, rng)
    assert less.max(where=(np.mgrid[:64, :64] < 10).all(axis=0), initial=0) < 0.6
    assert less[26:34, 30:38].min() > 0.9


def test_vignette_dim_and_debris(rng):
    """Light only falls off; a dim image keeps its order and loses contrast; specks are the brightest on dark, the
    darkest on bright.
    """
    image = np.full((32, 32), 0.5, np.float32)
    shaded = augmentation.vignette(image, rng)
    assert shaded.max() <= 0.5
    assert shaded.min() < 0.45
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    dimmed = augmentation.dim(ramp, rng)
    assert np.all(np.diff(dimmed.ravel()) >= 0)
    assert np.ptp(dimmed) < 0.61
    assert augmentation.debris(np.zeros((64, 64), np.float32), rng).max() > 0.3
    assert augmentation.debris(np.ones((64, 64, 3), np.float32), rng).min() < 0.7


def test_jpeg_changes_little_and_keeps_the_channels_order(rng):
    image = np.zeros((32, 32, 3), np.float32)
    image[:, :, 0] = 0.8
    for _ in range(10):
        assert np.abs(augmentation.jpeg(image, rng) - image).max() < 0.1
