"""Image files of every common kind, as arrays or as regions that are read when they are asked for."""

from inference.reading.opening import open_image, open_images, read_image
from inference.reading.options import ReadOptions
from inference.reading.picture import Image, ImageError, Picture
from inference.reading.regions import Regions
from inference.reading.sniff import IMAGE_SUFFIXES, ZARR_SUFFIX

__all__ = [
    "IMAGE_SUFFIXES",
    "ZARR_SUFFIX",
    "Image",
    "ImageError",
    "Picture",
    "ReadOptions",
    "Regions",
    "open_image",
    "open_images",
    "read_image",
]
