"""Runs on a cluster of real worker processes: the files, report and exit codes of one machine, whatever dies.

Tested are inference.cluster.asking, inference.cluster.file, inference.cluster.job, inference.cluster.large,
inference.cluster.shipping and inference.cluster.tasks.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from skimage.data import coins

pytest.importorskip("distributed")
from distributed import Client
from hooks import Hooks
from own import everywhere, with_own
from pictures import of_two_sizes

from inference.cluster.batch import together
from inference.cluster.file import File
from inference.command_line import main
from inference.door import Segmenter
from inference.running.finding import Found

ROOT = Path(__file__).parents[3]
COINS = coins()
TIMES = {"seconds", "peak_memory_mb"}


def without_times(rows):
    return [{k: v for k, v in row.items() if k not in TIMES and not k.endswith("_seconds")} for row in rows]


def files_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_equal_runs(tmp_path, one, cluster):
    assert files_in(tmp_path / one).keys() == files_in(tmp_path / cluster).keys()
    for name, content in files_in(tmp_path / one).items():
        assert files_in(tmp_path / cluster)[name] == content, name


@pytest.mark.parametrize("sent", ["shared", "send"])
def test_a_run_on_workers_is_that_of_one_machine(tmp_path, run, image, workers, sent):
    """Labels and tables to the bit, lines of the report in the files' order, a broken file among them."""
    for name in ("a.png", "b.tif", "d.png"):
        image(name)
    (tmp_path / "in" / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    alike = ("--table", "--same-contrast", "--same-diameter")
    options = (*alike, "--page", tmp_path / "page.html")
    expected, rows = run("one", *options)
    page = (tmp_path / "page.html").read_text()
    code, found = run("many", *options, "--dask", workers.scheduler.address, "--dask-files", sent)
    assert code == expected == 1
    assert [row["status"][:6] for row in found] == ["done", "done", "failed", "done"]
    assert without_times(found) == without_times(rows)
    assert_equal_runs(tmp_path, "one", "many")
    assert (tmp_path / "page.html").read_text() == page
    labels = {row["image"]: tifffile.imread(tmp_path / "many" / row["labels"]) for row in found if row["labels"]}
    assert len(labels) == 3
    assert all(label.max() > 3 for label in labels.values())
    (tmp_path / "in" / "c.png").unlink(), (tmp_path / "many" / "b_label.tiff").unlink()
    options = ("--dask", workers.scheduler.address, "--dask-files", sent, "--resume", *alike)
    code, again = run("many", *options, "--overwrite")
    assert code == 0
    assert [row["status"] for row in again] == ["kept", "done", "kept"]


@pytest.mark.parametrize("sent", [False, True])
def test_a_correction_is_not_written_over(tmp_path, run, image, workers, sent):
    for name in ("a.png", "b.png"):
        image(name)
    words = ("--dask", workers.scheduler.address, "--cellpose", "--dask-files", "send" if sent else "shared")
    words += ("--diameter", "28")
    for more in ((), (), ("--route", "1")):
        assert run("out", *words, *more)[0] == 0
    seg = tmp_path / "out" / "a_seg.npy"
    seg.write_bytes(b"by hand")
    labels = (tmp_path / "out" / "a_label.tiff").read_bytes()
    code, rows = run("out", *words)
    assert code == 1
    assert "a_seg.npy was changed after this program wrote it" in rows[0]["status"]
    assert rows[1]["status"] == "done"
    assert seg.read_bytes() == b"by hand"
    assert (tmp_path / "out" / "a_label.tiff").read_bytes() == labels
    assert run("out", *words, "--route", "1", "--resume")[1][0]["status"] == "kept"


def test_the_scheduler_keeps_nothing_of_a_run(tmp_path, run, image, workers):
    """Least of all the pictures of its page."""
    image("a.png")
    assert run("out", "--page", tmp_path / "page.html", "--dask", workers.scheduler.address)[0] == 0
    assert [topic for topic in workers.get_events() if topic.startswith("cellseg")] == []


@pytest.mark.parametrize("sent", ["shared", "send"])
def test_relative_paths_are_those_of_the_current_folder(
    tmp_path, run, image, workers, untrained_weights, monkeypatch, sent
):
    """Also where that of the workers is another one; links are followed as the system does, and --resume without a
    cluster finds the same images."""
    image("a.png")
    (tmp_path / "there" / "below").mkdir(parents=True)
    (tmp_path / "there" / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "below")
    monkeypatch.chdir(tmp_path)
    words = ["-i", "in", "-o", "link/../out", "--weights", os.path.relpath(untrained_weights), "--device", "cpu"]
    words += ["--report", "report.json", "--diameter", "28"]
    assert main([*words, "--dask", workers.scheduler.address, "--dask-files", sent]) == 0
    assert (tmp_path / "there" / "out" / "a_label.tiff").exists()
    rows = json.loads(Path("report.json").read_text())
    assert [(row["status"], row["image"], row["labels"]) for row in rows] == [("done", "a.png", "a_label.tiff")]
    assert main([*words, "--resume"]) == 0
    assert [row["status"] for row in json.loads(Path("report.json").read_text())] == ["kept"]


@pytest.mark.parametrize(
    "route, diameter, size, around",
    [
        ("0", "28", (1500, 260), 0),
        ("1", "28", (1900, 260), 0),
        ("0", "14", (800, 140), 0),
        ("1", "15", (1000, 140), 0),
        ("0", "28", (1000, 160), 400),
    ],
)
def test_a_split_image_is_that_of_one_machine(tmp_path, run, image, workers, route, diameter, size, around):
    """StarDist and Hover, with seams between parts; enlarged for small cells; in empty surroundings, where the content
    alone has the contrast."""
    slide = cv2.resize(COINS, size[::-1])
    image("slide.tif", cv2.copyMakeBorder(slide, around, around, around, around, cv2.BORDER_CONSTANT, value=5))
    image("small.png")
    options = ("--diameter", diameter, "--route", route, "--overlay")
    expected, rows = run("one", *options)
    split = ("--dask", workers.scheduler.address, "--dask-split", "100000")
    code, found = run("many", *options, *split)
    assert code == expected == 0
    assert_equal_runs(tmp_path, "one", "many")
    assert without_times(found) == without_times(rows)
    assert rows[0]["tiles"] > 3
    assert rows[0]["cells"] > 20


def test_a_split_image_may_be_of_a_network_of_ones_own(tmp_path, run, image, workers, untrained_weights):
    """Of Hover, where that of the class is StarDist."""
    image("slide.tif", cv2.resize(COINS, (140, 500)))
    own = with_own(untrained_weights, tmp_path / "own", 0, 1, everywhere())
    options = ("--diameter", "28", "--route", "0", "--weights", own)
    _, rows = run("one", *options)
    code, found = run("many", *options, "--dask", workers.scheduler.address, "--dask-split", "50000")
    assert code == 0
    assert_equal_runs(tmp_path, "one", "many")
    assert without_times(found) == without_times(rows)
    assert rows[0]["own_network"] == 1
    assert rows[0]["cells"] > 5


def test_several_images_in_a_file_of_which_some_are_split(tmp_path, run, workers):
    """Report and page have them in their order, also where an earlier run has left them complete."""
    with tifffile.TiffWriter(tmp_path / "in" / "a.ome.tif", ome=True) as file:
        for height in (300, 90, 280):
            file.write(COINS[:height], metadata={"axes": "YX"})
    page, options = tmp_path / "page.html", ("--diameter", "28", "--route", "0", "--page", tmp_path / "page.html")
    cluster = ("--dask", workers.scheduler.address, "--dask-split", "100000")
    for resumed in ((), ("--resume",)):
        expected = *run("one", *options, *resumed), page.read_text()
        found = *run("many", *options, *resumed, *cluster), page.read_text()
        assert [row["series"] for row in found[1]] == ["1 Image0", "2 Image1", "3 Image2"]
        assert (found[0], without_times(found[1]), found[2]) == (expected[0], without_times(expected[1]), expected[2])
    sent = run("many", *options, "--resume", *cluster, "--dask-files", "send")[1]
    assert without_times(sent) == without_times(expected[1])


def test_cells_of_two_sizes_in_an_image_that_might_be_split(tmp_path, run, image, workers):
    """The shipped networks see that there are two; one worker does the whole image, as one machine does."""
    nuclei = cv2.imread(str(ROOT / "tests" / "images" / "nuclei.tif"), cv2.IMREAD_UNCHANGED)[:256, :256]
    nuclei = (nuclei / nuclei.max() * 255).astype(np.uint8)
    image("two.tif", of_two_sizes(nuclei, Segmenter(quick=True).segment(nuclei).labels)[0])
    shipped = ("--weights", str(ROOT / "weights"))
    expected, rows = run("one", *shipped)
    code, found = run("many", *shipped, "--dask", workers.scheduler.address, "--dask-split", "100000")
    assert code == expected == 0
    assert_equal_runs(tmp_path, "one", "many")
    assert without_times(found) == without_times(rows)
    areas = np.bincount(tifffile.imread(tmp_path / "one" / "two_label.tiff").ravel())[1:]
    assert np.quantile(areas, 0.97) > 10 * np.quantile(areas, 0.1)


def test_what_dies_takes_nothing_else_along(tmp_path, run, image, workers):
    """A file whose worker is killed once, one that kills each of its workers, and one that is slow until all others are
    done."""
    names = ["a", "b", "c", "once", "poison", "slow"]
    for name in names:
        image(f"{name}.png")
    hooks = Hooks(tmp_path, tmp_path / "many", 4)
    workers.register_plugin(hooks)
    try:
        page = tmp_path / "page.html"
        code, rows = run("many", "--diameter", "28", "--page", page, "--dask", workers.scheduler.address)
    finally:
        workers.unregister_worker_plugin("hooks")
    status = {row["image"]: row["status"] for row in rows}
    assert code == 1
    assert status.pop("poison.png").startswith("failed: poison.png: 2 workers died")
    assert status == {f"{name}.png": "done" for name in names if name != "poison"}
    begun = hooks.begun()
    assert {name: begun.count(name) for name in names if name != "poison"} == dict(a=1, b=1, c=1, once=2, slow=1)
    assert begun.count("poison") == 4, "two workers, and two more with nothing beside it"
    text = page.read_text()
    assert text.index("once.png") < text.index("poison.png") < text.index("slow.png")


def test_the_schedulers_loss_is_an_error_and_resume_finishes(tmp_path, run, image, caplog):
    for name in ("a.png", "cut.png"):
        image(name)
    port = tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    scheduler = subprocess.Popen(
        [*command, "--no-dashboard", "--scheduler-file", port], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", port, "--nthreads", "1"]
    worker += ["--no-nanny", "--no-dashboard", "--death-timeout", "300"]
    folders = f"{ROOT}:{ROOT / 'tests' / 'helpers'}"
    processes = [scheduler]
    try:
        while not port.exists() or not port.read_text().strip():
            time.sleep(0.1)
        environment = {**os.environ, "PYTHONPATH": folders}
        processes.append(subprocess.Popen(worker, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL))
        address = json.loads(port.read_text())["address"]
        with Client(address) as client:
            client.wait_for_workers(1, timeout=300)
            client.register_plugin(Hooks(tmp_path, tmp_path / "many", scheduler=scheduler.pid))
        code, rows = run("many", "--diameter", "28", "--dask", address)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert code == 1
    assert [row["status"][:40] for row in rows] == ["done", "failed: cut.png: not done, the connectio"]
    assert "--resume does the others" in caplog.text
    code, rows = run("many", "--diameter", "28", "--resume")
    assert code == 0
    assert [row["status"] for row in rows] == ["kept", "done"]


def test_a_run_without_a_cluster_is_an_error(tmp_path, run, image, caplog):
    image("a.png")
    code = main(["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--dask", "local:0"])
    assert code == 2
    assert "local:0" in caplog.text


def test_a_part_without_images_needs_no_cluster(run, image):
    image("a.png")
    assert run("out-2", "--part", "2/2", "--dask", "tcp://127.0.0.1:9") == (0, [])


def test_files_whose_results_might_have_the_same_names_are_done_together():
    names = ["a", "a_s1", "a_s1_s2", "b", "c_s1", "d/a_s3", "e_z1", "a_t1_z2", "e", "e_t3", "_z1"]
    files = [File(i, Found(Path(name)), Path(name)) for i, name in enumerate(names)]
    groups = [[str(file.name) for file in group] for group in together(files)]
    assert groups == [
        ["a", "a_s1", "a_s1_s2", "a_t1_z2"],
        ["b"],
        ["c_s1"],
        ["d/a_s3"],
        ["e_z1", "e", "e_t3"],
        ["_z1"],
    ]
