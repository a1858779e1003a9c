"""training.own.checks: each thing that may be wrong with labels, drawn, with the numbers of the cells concerned."""

import cv2
import numpy as np
import pytest

from training.own.checks import cell_shapes, check_labels, check_set
from training.readers.label_images import RawLabels, as_labels


def disks(count=7, side=160, radius=11):
    """Separate disks numbered from 1."""
    labels = np.zeros((side, side), np.uint16)
    for cell in range(count):
        y, x = divmod(cell, 4)
        cv2.circle(labels, (20 + 38 * x, 20 + 38 * y), radius, cell + 1, -1)
    return labels


def kinds(labels, **more):
    return {f.kind: f for f in check_labels(RawLabels(labels, **more))}


def test_good_labels_have_no_findings():
    assert kinds(disks()) == {}


def test_no_cells_are_no_finding():
    assert kinds(np.zeros((9, 9), np.uint16)) == {}


def test_touching_cells_are_no_finding():
    labels = np.zeros((60, 60), np.uint16)
    labels[10:30, 10:30], labels[10:30, 30:50], labels[30:50, 10:50] = 1, 2, 3
    assert kinds(labels) == {}


@pytest.mark.parametrize("width", [2, 3, 4])
@pytest.mark.parametrize("angle", [0, 30, 45, 90])
def test_thin_rods_in_rows_are_no_finding(width, angle):
    """As bacteria that have divided: each lies between a lower and a higher number."""
    labels = np.zeros((120, 120), np.uint16)
    along = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    for rod in range(20):
        middle = 60 + (rod - 10) * (width + 1) * np.array([-along[1], along[0]])
        corners = [
            middle + a * 9 * along + b * width / 2 * np.array([-along[1], along[0]])
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]
        cv2.fillPoly(labels, [np.rint(corners).astype(np.int32)], rod + 1)
    assert not any(finding.fatal for finding in kinds(labels).values())


def test_labels_scaled_to_1_are_named_so():
    found = check_labels(as_labels((disks() / 7).astype(np.float32), "a.tif"))
    assert [f.kind for f in found] == ["scaled"]
    assert "ConvertObjectsToImage" in found[0].text
    blurred = cv2.blur((disks() > 0).astype(np.float32), (3, 3))
    assert [f.kind for f in check_labels(as_labels(blurred, "a.tif"))] == ["interpolated borders"]


def test_one_cell_an_image_may_have_a_hole():
    ring = disks(1)
    ring[18:22, 18:22] = 0
    assert check_set([disks(1), disks(1), ring]) is None
    assert check_set([255 * disks(1), 255 * ring]).kind == "0/255 mask"


def test_a_hole_is_named_and_one_filled_by_another_cell_is_none():
    labels = disks()
    labels[18:22, 18:22] = 0
    labels[18:22, 56:60] = 9
    found = kinds(labels)
    assert found.keys() == {"holes"}
    assert found["holes"].cells == (1,)
    assert not found["holes"].fatal


def test_fragments_are_named():
    labels = disks()
    labels[150:155, 150:155] = 3
    assert kinds(labels)["fragments"].cells == (3,)


def test_a_speck_is_small_beside_the_others():
    labels = disks()
    labels[140:142, 140:142] = 12
    assert kinds(labels)["specks"].cells == (12,)
    assert kinds(disks(radius=2)) == {}


@pytest.mark.parametrize("where", [np.s_[:2, 30:50], np.s_[30:50, -1:], np.s_[-2:, 30:50], np.s_[30:50, :1]])
def test_border_slivers_of_each_side(where):
    labels = disks(count=1, radius=4)
    labels[where] = 5
    assert kinds(labels)["border slivers"].cells == (5,)


def test_a_large_cell_at_the_border_is_no_sliver():
    labels = np.zeros((60, 60), np.uint16)
    labels[:30, 10:40] = 1
    assert kinds(labels) == {}


def test_interpolated_borders_that_made_more_cells():
    """Seven cells resized with interpolation: their borders have numbers between theirs and the background's."""
    labels = (disks() * 8).astype(np.uint16)
    larger = cv2.resize(labels, None, fx=1.7, fy=1.7, interpolation=cv2.INTER_LINEAR)
    assert len(np.unique(larger)) > 30
    found = kinds(larger)
    assert found.keys() == {"interpolated borders"}
    assert found["interpolated borders"].fatal
    nearest = cv2.resize(labels, None, fx=1.7, fy=1.7, interpolation=cv2.INTER_NEAREST)
    assert kinds(nearest) == {}


def test_fractions_are_interpolated_borders():
    values = cv2.GaussianBlur(disks().astype(np.float32), (0, 0), 0.5)
    assert [f.kind for f in check_labels(as_labels(values, "x"))] == ["interpolated borders"]


def test_jpeg_by_its_file_and_by_its_noise():
    assert kinds(disks(), lossy=True)["JPEG"].fatal
    data = cv2.imencode(".jpg", (disks() * 30).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    spoilt = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE).astype(np.uint16)
    assert [f.fatal for f in kinds(spoilt).values()] == [True]


def test_a_mask_of_0_and_255():
    found = kinds(((disks() > 0) * 255).astype(np.uint16))
    assert found.keys() == {"0/255 mask"}
    assert found["0/255 mask"].cells == (255,)
    assert "7 parts" in found["0/255 mask"].text


def test_a_mask_of_kinds():
    labels = disks()
    assert kinds(np.where(labels > 0, 1 + labels % 2, 0).astype(np.uint16)).keys() == {"semantic mask"}
    many = np.kron(np.arange(1, 41).reshape(5, 8), np.ones((30, 30), int)) * np.tile(labels[:30, :30] > 0, (5, 8))
    assert kinds(np.where(many, 1 + many % 7, 0).astype(np.uint16)).keys() == {"semantic mask"}


def test_one_cell_alone_is_no_mask():
    assert kinds(disks(count=1)) == {}


def test_a_mask_of_few_cells():
    two = (np.isin(disks(), (1, 2)) * 255).astype(np.uint16)
    hollow = disks(count=1)
    cv2.circle(hollow, (20, 20), 5, 0, -1)
    assert kinds(two)["0/255 mask"].fatal
    assert kinds(hollow * 255).keys() == {"0/255 mask"}
    assert kinds(hollow).keys() == {"holes"}
    assert kinds(disks(count=1) * 255) == {}


def test_masks_are_told_by_all_images_together():
    """Touching cells have one part; a cell alone in each image is no mask."""
    one, two = disks(count=1), (disks(count=2) > 0).astype(np.uint16)
    assert check_set([one, two]).fatal
    assert "2 images have the number 1 alone, in 1 of them" in check_set([one, two]).text
    assert check_set([one, one]) is None
    assert check_set([two]) is None
    assert check_set([one * 2, two]) is None
    assert check_set([one] * 7 + [two]) is None
    assert check_set([one * 255] * 7 + [two * 255]).fatal


@pytest.mark.parametrize(
    ("spoil", "number"),
    [
        (lambda labels: labels + 1, 1),
        (lambda labels: np.where(labels > 0, 1, 2), 2),
        (lambda labels: np.where(labels > 0, 0, 255), 255),
        (lambda labels: np.where(labels > 0, labels, labels.max() + 1), 8),
    ],
)
def test_a_background_that_counts_as_a_cell(spoil, number):
    """Numbers from 2 on; ilastik's segmentation; an inverted mask; a white background in a picture of colours."""
    found = kinds(spoil(disks()).astype(np.uint16))
    assert found.keys() == {"background is a cell"}
    assert found["background is a cell"].cells == (number,)
    assert found["background is a cell"].fatal


def test_scattered_pixels_in_a_background_are_no_jpeg():
    labels = np.where(disks() > 0, 1, 2).astype(np.uint16)
    labels[2:158:6, 2:158:6] = 1
    assert kinds(labels).keys() == {"background is a cell"}


def test_crowded_cells_without_a_background_are_no_background():
    rows, columns = np.indices((120, 120)) // 20
    assert kinds((1 + 6 * rows + columns).astype(np.uint16)) == {}


def test_numbers_scaled_to_fractions():
    found = check_labels(as_labels((disks() / 65535).astype(np.float32), "x"))
    assert [(f.kind, f.fatal) for f in found] == [("scaled", True)]


@pytest.mark.parametrize("angle", [5, 20])
def test_turning_with_interpolation_is_no_jpeg(angle):
    turn = cv2.getRotationMatrix2D((80, 80), angle, 1)
    labels = (disks() * 8).astype(np.uint16)
    turned = cv2.warpAffine(labels, turn, (160, 160), flags=cv2.INTER_LINEAR)
    assert kinds(turned).keys() == {"interpolated borders"}


def test_scattered_pixels_are_to_be_seen():
    data = cv2.imencode(".jpg", (disks() * 30).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    found = kinds(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE).astype(np.uint16))
    assert found.keys() == {"JPEG"}
    assert 20 < found["JPEG"].spots.sum() < 4000


def test_outlines_beneath_others_are_named():
    found = kinds(disks(), hidden=1, overlap=9)["overlapping outlines"]
    assert not found.fatal
    assert "1 of 8 outlines" in found.text
    assert kinds(disks(), hidden=8)["overlapping outlines"].fatal
    assert kinds(disks(), overlap=9) == {}


def test_shapes_by_hand():
    labels = np.zeros((7, 9), np.uint16)
    labels[0:2, 0:3] = 4
    labels[3:7, 4:8] = 6
    labels[4:6, 5:7] = 0
    four, six = cell_shapes(labels)
    assert (four.number, four.area, four.hole, four.thin, four.sides) == (4, 6, 0, True, (2, 3))
    assert (six.number, six.area, six.hole, six.thin, six.sides) == (6, 12, 4, True, (4,))
