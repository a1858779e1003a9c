"""Tags of a TIFF as odd programs write them; tifffile would leave such out."""

import tifffile

ASCII, RATIONAL, FLOAT = 2, 5, 11  # TIFF's types


def write_with_tags(path, pixels, tags):
    """A TIFF of one page with resolution tags of these values.

    Parameters
    ----------
    tags : number of a tag -> (value, TIFF's type or None for that of the tag)
    """
    tifffile.imwrite(path, pixels, metadata=None, resolution=(2, 3), resolutionunit="CENTIMETER")
    for number, (value, dtype) in tags.items():
        with tifffile.TiffFile(path, mode="r+b") as tiff:
            tiff.pages[0].tags[number].overwrite(value, dtype=dtype)
    return path
