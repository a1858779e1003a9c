"""The page of a run, opened in a real browser."""

import base64
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from inference.outputs import page
from inference.outputs.page import BINS, Page, PageEntry, count_sizes, embedded

pytest.importorskip("jinja2")
BROWSER_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000")


class Table(HTMLParser):
    """Texts of a page's table, row by row, and what the page would load from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.outside, self.inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        source = dict(attributes).get("src") or (dict(attributes).get("href") if tag == "link" else None)
        if source and not source.startswith("data:"):
            self.outside.append(source)
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "td"

    def handle_data(self, data):
        if self.inside and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


@pytest.fixture
def written(tmp_path):
    picture = np.full((40, 60, 3), (255, 0, 0), np.uint8)
    pictures = embedded(picture, 20), embedded(picture, 30)
    with Page(tmp_path / "page.html", "cells in <plate> & others") as result:
        for name, kind, cells in (("a10.tif", "gray", 5), ("<b>a9.tif", "fluorescence", 111), ("a1.tif", "gray", 40)):
            sizes = count_sizes(np.full(cells, 300))
            result.add(PageEntry(name, None, kind, cells, 20.5, 6.25, ("unsure & dim",), *pictures, sizes))
        result.add(PageEntry("x.tif", "x.tif: the file is empty"))
        result.write()
    return tmp_path / "page.html"


def in_browser(program, path, fragment=""):
    return program("chromium", *BROWSER_OPTIONS, "--dump-dom", f"file://{path}{fragment}")


@pytest.mark.parametrize(
    "fragment, order",
    [
        ("", ["a10.tif", "<b>a9.tif", "a1.tif", "x.tif"]),
        ("#image", ["<b>a9.tif", "a1.tif", "a10.tif", "x.tif"]),
        ("#-cells", ["<b>a9.tif", "a1.tif", "a10.tif", "x.tif"]),
        ("#-warnings", ["x.tif", "a10.tif", "<b>a9.tif", "a1.tif"]),
    ],
)
def test_a_browser_sorts_the_table(written, program, fragment, order):
    table = Table(in_browser(program, written, fragment))
    assert [row[0] for row in table.rows if row] == order


def test_a_browser_draws_the_pictures(written, program, tmp_path):
    program(
        "chromium", *BROWSER_OPTIONS, f"--screenshot={tmp_path}/a.png", "--window-size=1200,900", f"file://{written}"
    )
    screen = cv2.imread(str(tmp_path / "a.png")).astype(int)
    blue, green, red = np.moveaxis(screen, -1, 0)
    assert np.count_nonzero((red > 240) & (green < 20) & (blue < 20)) > 3 * 20 * 13  # pixels of the three images
    assert np.count_nonzero((blue > 190) & (red < 70)) > 100  # of the histograms


def test_the_page_is_one_file_and_its_texts_are_text(written, program):
    dom = in_browser(program, written)
    table = Table(dom)
    assert table.outside == []
    assert "<b>a9" not in written.read_text()
    assert "cells in &lt;plate&gt; &amp; others" in written.read_text()
    rows = [row for row in table.rows if row]
    assert rows[1][0] == "<b>a9.tif"
    assert rows[1][3:6] == ["fluorescence", "111", "20.5 px6.25 µm"]
    assert rows[1][7] == "unsure & dim"
    assert rows[3][7] == "x.tif: the file is empty"
    assert "4 images, 156 cells" in dom
    assert "1 failed" in dom
    assert [path.name for path in written.parent.iterdir() if path.suffix == ".html"] == ["page.html"]


def test_pictures_are_small_and_whole(written):
    found = re.findall(r"data:image/jpeg;base64,([^\"]+)", written.read_text())
    shapes = [cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), 1).shape for data in found]
    assert shapes == [(13, 20, 3), (20, 30, 3)] * 3


def test_sizes():
    counts = count_sizes(np.array([1, 1, 2, 315, 10**9]))
    assert len(counts) == BINS
    assert sum(counts) == 5
    assert counts[0] == 2
    assert counts[-1] == 1
    assert counts[int(np.log2(np.sqrt(4 * 315 / np.pi)) * page.BINS_PER_OCTAVE)] == 1
    assert count_sizes(np.array([], int)) == (0,) * BINS


def test_a_full_disk_is_said_once(tmp_path, monkeypatch, caplog):
    with Page(tmp_path / "p.html", "title") as page_:
        page_.add_kept("a.tif", 1)
        page_._entries.close()
        full = SimpleNamespace(tell=lambda: 0, write=fail, close=fail)
        monkeypatch.setattr(page_, "_entries", full)
        for name in ("b.tif", "c.tif"):
            page_.add_failure(name, "damaged")
    assert page_.broken
    assert caplog.text.count("the page cannot be kept (No space left on device)") == 1


def fail(*_):
    raise OSError(28, "No space left on device")


def test_a_run_without_images(tmp_path):
    with Page(tmp_path / "a.html", "nothing") as result:
        result.write()
    assert "0 images, 0 cells" in (tmp_path / "a.html").read_text()
