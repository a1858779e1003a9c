"""The planes of a run's files, one after the other, so that the next one can be read while this one is segmented."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from inference.reading import Image, Picture, ReadOptions
from inference.reading.safe_reading import SafeReader
from inference.running.finding import Found


@dataclass(frozen=True)
class Opened:
    """A plane that has been read, or could not be.

    number, images : of the image in the file, from 0, and how many images the file holds
    seconds : that reading took
    error : what was raised instead
    digest : of the file, see `inference.reading.digests.file_digest`
    """

    found: Found
    number: int = 0
    images: int = 1
    seconds: float = 0.0
    error: Exception | None = None
    _image: Image | None = None
    _picture: Picture | None = None
    digest: str = ""

    @property
    def image(self) -> Image:
        """The image that the plane is of. Raises what kept it from being opened."""
        return self._got(self._image)

    @property
    def picture(self) -> Picture:
        """The plane. Raises what kept it from being read."""
        return self._got(self._picture)

    def _got(self, item):
        if item is None:
            assert self.error is not None, "what has not been read has failed"
            raise self.error
        return item

    @property
    def last(self) -> bool:
        """Whether the image is the last one of its file."""
        return self.number == self.images - 1

    @property
    def series(self) -> str | None:
        """Number and name of the image in a file of several."""
        if self._image is None or not self._image.suffix:
            return None
        return " ".join(part for part in (self._image.suffix.removeprefix("_s"), self._image.name) if part)


def open_all(files: Sequence[Found], options: ReadOptions, reader: SafeReader) -> Iterator[Opened]:
    """Every plane of every image of each file, or what was raised; after an error nothing more of its image."""
    for found in files:
        start = time.perf_counter()
        try:
            images, digest = reader.open_images(found.path, options)
        except Exception as error:  # whatever happens to one file, the others are still to be done
            yield Opened(found, seconds=time.perf_counter() - start, error=error)
            continue
        for number, image in enumerate(images):
            for plane in range(len(image.views)):
                picture, failed = None, None
                try:
                    picture = image.open(plane)
                except Exception as error:
                    failed = error
                yield Opened(found, number, len(images), time.perf_counter() - start, failed, image, picture, digest)
                start = time.perf_counter()
                if failed:
                    break
