"""Image files of any common kind, as arrays or as regions that are read when they are asked for."""

from inference.reading.images import IMAGE_SUFFIXES, ZARR_SUFFIX, ImageError, Picture, Regions, open_image, read_image

__all__ = ["IMAGE_SUFFIXES", "ZARR_SUFFIX", "ImageError", "Picture", "Regions", "open_image", "read_image"]
