"""What a run says while it goes on."""

import logging
import sys
import time

from tqdm import tqdm

from inference.streams import escaped

log = logging.getLogger(__name__)


class Progress:
    """How far the run is, with the time that is left: a bar on a terminal; elsewhere a log line now and then for a
    large image.
    """

    def __init__(self, images: int, quiet: bool, seconds_between_lines: float = 30.0):
        self.seconds_between_lines = seconds_between_lines
        self.bar = tqdm(
            total=images,
            unit="image",
            disable=True if quiet else None,
            bar_format="{l_bar}{bar}| {n:.1f}/{total} [{elapsed}<{remaining}]{postfix}",
        )
        self.images = self.tiles = 0
        self.name, self.began, self.told = "", 0.0, 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error) -> None:
        self.bar.close()

    def begin(self, name: str) -> None:
        """An image is begun."""
        self.name, self.tiles = name, 0
        self.began = self.told = time.monotonic()
        self.bar.set_postfix_str(escaped(name))

    def tile(self, total: int) -> None:
        """One of `total` tiles of the image is done."""
        self.tiles += 1
        self.bar.update(1 / total)
        now = time.monotonic()
        if self.bar.disable and now - self.told > self.seconds_between_lines:
            self.told = now
            left = (now - self.began) * (total - self.tiles) / self.tiles
            log.info(
                "%s: %.0f %%, about %d min %02d s left", self.name, 100 * self.tiles / total, *divmod(round(left), 60)
            )

    def end(self) -> None:
        """The image is done, or has failed."""
        self.images += 1
        self.bar.update(self.images - self.bar.n)


class BarSafeHandler(logging.StreamHandler):
    """Log lines that do not tear the progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)
