"""DICOM files that DCMTK writes and compresses."""

import cv2
import numpy as np
import pytest

from inference.reading import ImageError, ReadOptions, read_image

pydicom = pytest.importorskip("pydicom", reason="needs pydicom: pip install pydicom")


@pytest.fixture
def dcm(program, tissue, tmp_path):
    """A colour picture without compression, through a BMP file."""
    assert cv2.imwrite(str(tmp_path / "in.bmp"), tissue[..., ::-1])
    program("img2dcm", "-i", "BMP", tmp_path / "in.bmp", tmp_path / "a.dcm")
    return tmp_path / "a.dcm"


def test_colours(dcm, tissue):
    picture = read_image(dcm)
    assert np.array_equal(picture.pixels, tissue)
    assert picture.reading == "DICOM, YXS (RGB), 96x72 pixels of uint8"


def test_run_lengths(program, dcm, tissue):
    program("dcmcrle", dcm, dcm.with_name("b.dcm"))
    assert np.array_equal(read_image(dcm.with_name("b.dcm")).pixels, tissue)


def test_jpeg_inside(program, tissue, tmp_path):
    assert cv2.imwrite(str(tmp_path / "in.jpg"), tissue[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    program("img2dcm", tmp_path / "in.jpg", tmp_path / "a.dcm")
    assert np.abs(read_image(tmp_path / "a.dcm").pixels.astype(int) - tissue).mean() < 8


def edited(path, **values):
    data = pydicom.dcmread(path)
    for name, value in values.items():
        setattr(data, name, value)
    data.save_as(path)
    return path


@pytest.fixture
def gray_dcm(program, gray, tmp_path):
    assert cv2.imwrite(str(tmp_path / "in.bmp"), gray)
    program("img2dcm", "-i", "BMP", tmp_path / "in.bmp", tmp_path / "gray.dcm")
    data = pydicom.dcmread(tmp_path / "gray.dcm")
    data.PhotometricInterpretation, data.SamplesPerPixel, data.PixelData = "MONOCHROME2", 1, gray.tobytes()
    for name in ("PlanarConfiguration",):
        data.pop(name, None)
    data.save_as(tmp_path / "gray.dcm")
    return tmp_path / "gray.dcm"


def test_gray_with_a_pixel_size(gray_dcm, gray):
    picture = read_image(edited(gray_dcm, PixelSpacing=[0.00025, 0.0005]))
    assert np.array_equal(picture.pixels, gray)
    assert picture.pixel_size == pytest.approx((0.25, 0.5))


def test_white_as_zero_is_inverted(gray_dcm, gray):
    assert np.array_equal(read_image(edited(gray_dcm, PhotometricInterpretation="MONOCHROME1")).pixels, 255 - gray)
    rescaled = edited(gray_dcm, RescaleSlope=-1, RescaleIntercept=255)
    assert np.array_equal(read_image(rescaled).pixels, gray)
    assert np.array_equal(read_image(edited(rescaled, PhotometricInterpretation="MONOCHROME2")).pixels, 255 - gray)


def test_frames(gray_dcm, gray):
    edited(gray_dcm, NumberOfFrames=2, FrameTime=40, PixelData=gray.tobytes() + (255 - gray).tobytes())
    assert np.array_equal(read_image(gray_dcm, ReadOptions(t=2)).pixels, 255 - gray)


def test_what_is_not_read_is_named_with_the_way_out(gray_dcm, gray):
    edited(gray_dcm, NumberOfFrames=2, TotalPixelMatrixRows=144, PixelData=gray.tobytes() * 2)
    with pytest.raises(ImageError, match=r"gray\.dcm: a whole slide cut into 2 tiles.*OME-TIFF"):
        read_image(gray_dcm)
    data = pydicom.dcmread(gray_dcm)
    del data.PixelData
    data.save_as(gray_dcm)
    with pytest.raises(ImageError, match="no picture in it"):
        read_image(gray_dcm)


def test_a_pixel_size_that_is_none(tmp_path, gray):
    """Written here; a single number where the standard asks for two."""
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.Rows, data.Columns = gray.shape
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = 7, 0, 1
    data.PhotometricInterpretation, data.PixelData = "MONOCHROME2", gray.tobytes()
    data.PixelSpacing = [0.5]
    data.preamble = bytes(128)
    data.save_as(tmp_path / "a.dcm")
    picture = read_image(tmp_path / "a.dcm")
    assert np.array_equal(picture.pixels, gray)
    assert picture.pixel_size is None
    assert len(picture.warnings) == 1
