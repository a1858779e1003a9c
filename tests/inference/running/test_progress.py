"""What is said of the progress of an image."""

from inference.running import progress
from inference.running.progress import Progress


def test_time_left(monkeypatch, caplog):
    """After 3 of 10 tiles in 60 seconds, 140 are left."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    caplog.set_level("INFO", progress.log.name)
    with Progress(1, quiet=True) as shown:
        shown.begin("slide.tif")
        for _ in range(3):
            clock[0] += 20
            shown.tile(10)
    assert [r.getMessage() for r in caplog.records] == ["slide.tif: 20 %, about 2 min 40 s left"], (
        "a line in 30 seconds at most"
    )
