"""The kind of an image file, told from its first bytes: names are often wrong or missing."""

import re
from pathlib import Path

TIFF, PNG, JPEG, BMP, WEBP, GIF, PNM, NPY = "TIFF", "PNG", "JPEG", "BMP", "WebP", "GIF", "PNM", "NumPy array"
JPEG_2000, JPEG_XL, AVIF, HEIC, DICOM, CZI, ZARR, ZIPPED_ZARR = (
    "JPEG 2000",
    "JPEG XL",
    "AVIF",
    "HEIC",
    "DICOM",
    "CZI",
    "Zarr",
    "zipped Zarr",
)

BIO_FORMATS = "open it in Fiji (File, Import, Bio-Formats) and save it as OME-TIFF"
UNREADABLE = {  # images that people have and that nothing here reads, with the way out
    "Nikon ND2": f"export it as TIFF from NIS-Elements, or {BIO_FORMATS}",
    "Leica LIF": f"export it as TIFF from LAS X, or {BIO_FORMATS}",
    "OLE document (Olympus OIB, Zeiss ZVI)": BIO_FORMATS,
    "HDF5 (Imaris IMS, ilastik, BigDataViewer)": f"save it as TIFF from the program that made it, or {BIO_FORMATS}",
    "Olympus OIR": BIO_FORMATS,
    "DeltaVision": BIO_FORMATS,
    "ICS": BIO_FORMATS,
    "MRC": BIO_FORMATS,
    "FITS": BIO_FORMATS,
    "NIfTI": BIO_FORMATS,
    "NRRD": BIO_FORMATS,
    "NumPy archive": "save one array with numpy.save, or as TIFF",
    "PAM": "save it as PNM, PNG or TIFF",  # of which OpenCV exchanges red and blue
    "PFM": "save it as a TIFF of floats",  # which OpenCV reads only without comments
    "OpenEXR": "save it as a TIFF of floats",
    "Photoshop PSD": "save it as TIFF from Photoshop",
    "GIMP XCF": "export it as TIFF from GIMP",
    "JPEG XR": "save it as TIFF",
    "Olympus VSI": "such a file is an overview, the image lies in the folder beside it; convert it to OME-TIFF, for "
    "example with QuPath or bfconvert",
    "3DHISTECH MRXS": "such a file is an overview, the slide lies in the folder beside it; convert it to OME-TIFF, for "
    "example with QuPath",
}

MAGIC = (  # bytes, where they stand, kind
    (b"II*\0", 0, TIFF),
    (b"MM\0*", 0, TIFF),
    (b"II+\0", 0, TIFF),
    (b"MM\0+", 0, TIFF),
    (b"\x89PNG\r\n\x1a\n", 0, PNG),
    (b"\xff\xd8\xff", 0, JPEG),
    (b"GIF87a", 0, GIF),
    (b"GIF89a", 0, GIF),
    (b"\0\0\0\x0cjP  \r\n\x87\n", 0, JPEG_2000),
    (b"\xff\x4f\xff\x51", 0, JPEG_2000),
    (b"\0\0\0\x0cJXL \r\n\x87\n", 0, JPEG_XL),
    (b"\xff\x0a", 0, JPEG_XL),
    (b"\x93NUMPY", 0, NPY),
    (b"ZISRAWFILE", 0, CZI),
    (b"DICM", 128, DICOM),
    (b"\xda\xce\xbe\x0a", 0, "Nikon ND2"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, "OLE document (Olympus OIB, Zeiss ZVI)"),
    (b"\x89HDF\r\n\x1a\n", 0, "HDF5 (Imaris IMS, ilastik, BigDataViewer)"),
    (b"OLYMPUSRAWFORMAT", 0, "Olympus OIR"),
    (b"\t\nics_version", 0, "ICS"),
    (b"\t\r\nics_version", 0, "ICS"),
    (b"MAP ", 208, "MRC"),
    (b"SIMPLE  =", 0, "FITS"),
    (b"n+1\0", 344, "NIfTI"),
    (b"NRRD0", 0, "NRRD"),
    (b"v/1\x01", 0, "OpenEXR"),
    (b"8BPS", 0, "Photoshop PSD"),
    (b"gimp xcf", 0, "GIMP XCF"),
    (b"II\xbc", 0, "JPEG XR"),
)
SHARED = {  # kinds of file that hold anything, with the endings that images of that kind have
    "OLE document (Olympus OIB, Zeiss ZVI)": (".oib", ".zvi"),
    "HDF5 (Imaris IMS, ilastik, BigDataViewer)": (".ims",),
    "NumPy archive": (),
}
OVERVIEWS = {".vsi": (TIFF, "Olympus VSI"), ".mrxs": (JPEG, "3DHISTECH MRXS")}  # told from others by the name alone
ZARR_SUFFIX = ".zarr"  # of a folder
IMAGE_SUFFIXES = (  # that files of the readable kinds have by custom
    *".tif .tiff .btf .tf2 .tf8 .stk .lsm .svs .ndpi .scn .png .jpg .jpeg .bmp .webp .gif .pbm .pgm .ppm .pnm".split(),
    *".npy .jp2 .j2k .jxl .avif .heic .heif .dcm .czi".split(),
    ZARR_SUFFIX,
)
# Of files that call themselves images, whatever is in them.
IMAGE_ENDINGS = (
    *IMAGE_SUFFIXES,
    ".zarr.zip",
    *".nd2 .lif .oir .oif .dv .ics .sld .nii .nii.gz".split(),
    *OVERVIEWS,
    *(e for endings in SHARED.values() for e in endings),
)
ZARR_FILES = (".zgroup", ".zarray", "zarr.json")
BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # their lengths in bytes
START = 512  # bytes that are looked at


def kind_of(path: Path) -> str | None:
    """One of the kinds named above or of `UNREADABLE`, None for anything else. Raises OSError if it cannot be read.

    The name counts only where a file is one picture of an image that lies elsewhere.
    """
    if path.is_dir():
        return ZARR if any((path / name).is_file() for name in ZARR_FILES) else None
    with open(path, "rb") as file:
        start = file.read(START)
    for magic, place, kind in MAGIC:
        if start[place : place + len(magic)] == magic:
            inside, overview = OVERVIEWS.get(path.suffix.lower(), (None, ""))
            return overview if kind == inside else kind
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return WEBP
    if start[:4] == b"\x70\0\0\0" and start[8:9] == b"*":
        return "Leica LIF"
    if start[4:8] == b"ftyp":
        brands = start[8 : int.from_bytes(start[:4])]
        return (
            AVIF
            if b"avif" in brands
            else HEIC
            if any(b in brands for b in (b"heic", b"heix", b"mif1", b"heim"))
            else None
        )
    if start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in BMP_HEADERS:
        return BMP
    if found := re.match(rb"P([1-7fF])\s+[#\dW]", start):
        return "PAM" if found[1] == b"7" else "PFM" if found[1] in b"fF" else PNM
    if start[:4] == b"PK\x03\x04":
        first = start[30 : 30 + int.from_bytes(start[26:28], "little")]
        return ZIPPED_ZARR if zarr_folders(path) else "NumPy archive" if first.endswith(b".npy") else None
    return "DeltaVision" if start[96:98] in (b"\xa0\xc0", b"\xc0\xa0") else None


def zarr_folders(path: Path) -> list[str]:
    """The folders in a ZIP file that are a Zarr group or array, "" for the top; none in a file that is no whole ZIP
    file."""
    import zipfile  # late: few files need it

    try:
        with zipfile.ZipFile(path) as file:
            parts = (name.rpartition("/") for name in file.namelist())
            return [folder for folder, _, name in parts if name in ZARR_FILES]
    except (zipfile.BadZipFile, OSError):
        return []
