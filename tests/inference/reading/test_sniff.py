"""Kinds of file by their content, whatever they are called."""

import shutil

import pytest
import zarr

from inference.reading import ImageError, open_images
from inference.reading.sniff import UNREADABLE, kind_of

STARTS = {
    "Nikon ND2": b"\xda\xce\xbe\x0a" + bytes(40),
    "Leica LIF": b"\x70\0\0\0\x10\0\0\0*" + bytes(40),
    "OLE document (Olympus OIB, Zeiss ZVI)": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(40),
    "HDF5 (Imaris IMS, ilastik, BigDataViewer)": b"\x89HDF\r\n\x1a\n" + bytes(40),
    "Olympus OIR": b"OLYMPUSRAWFORMAT" + bytes(40),
    "DeltaVision": bytes(96) + b"\xa0\xc0" + bytes(40),
    "ICS": b"\t\nics_version\t1.0",
    "NumPy archive": b"PK\x03\x04" + bytes(22) + b"\x05\0\0\0a.npy" + bytes(40),
    "MRC": bytes(208) + b"MAP " + bytes(40),
    "FITS": b"SIMPLE  =                    T",
    "NIfTI": bytes(344) + b"n+1\0",
    "NRRD": b"NRRD0004\n",
    "OpenEXR": b"v/1\x01\x02\0\0\0",
    "Photoshop PSD": b"8BPS\0\1",
    "GIMP XCF": b"gimp xcf v011\0",
    "JPEG XR": b"II\xbc\x01\x20\0\0\0",
    "PAM": b"P7\nWIDTH 2\n",
    "PFM": b"Pf\n2 2\n-1.0\n" + bytes(16),
    "Olympus VSI": b"II*\0\x08\0\0\0",
    "3DHISTECH MRXS": b"\xff\xd8\xff\xe0",
}
NAMES = {"Olympus VSI": "image.vsi", "3DHISTECH MRXS": "image.MRXS"}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_not_read_is_named_with_the_way_out(tmp_path, kind):
    path = tmp_path / NAMES.get(kind, "image.tif")
    path.write_bytes(STARTS[kind])
    assert kind_of(path) == kind
    with pytest.raises(ImageError) as error:
        open_images(path)
    assert f"{path.name}: {kind} files are not read here; {UNREADABLE[kind]}" == str(error.value)
    assert "damaged" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"%PDF-1.7", b"PK\x03\x04not a zip", b"P9 2 2", b"\0\0\0\x18ftypisom\0\0\0\0mp42", b"RIFF....WAVE"],
)
def test_other_files_are_no_images(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    assert kind_of(tmp_path / "a.png") is None


def test_folders(tmp_path):
    zarr.open_array(tmp_path / "array", mode="w", shape=(2, 2), chunks=(2, 2), dtype="u1")
    zarr.open_group(tmp_path / "old", mode="w", zarr_format=2)
    (tmp_path / "plain").mkdir()
    assert [kind_of(tmp_path / name) for name in ("array", "old", "plain")] == ["Zarr", "Zarr", None]


def test_the_content_decides(gray_png, tmp_path):
    for name in ("a.tif", "a.czi", "a", "a.vsi"):
        shutil.copy(gray_png, tmp_path / name)
        assert kind_of(tmp_path / name) == "PNG"
        assert open_images(tmp_path / name)[0].open().format == "PNG"
