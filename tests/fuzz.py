"""Files that are damaged at random, bombs, and kills: what the program does to them is counted.

    python -m tests.fuzz --mutants 300 --kills 1                          # two minutes, as in .ci/run
    python -m tests.fuzz --mutants 20000 --runs 5 --kills 20 --out docs/faults.md      # the table in docs/faults.md

Every supported kind of file is written small, then bytes are changed, cut out, put in, repeated or taken from another
file; one in eight is only cut short, and must be refused, warned of, or read as if it were whole. All files are read as
a run reads them. Runs over some of them, and runs that are killed at random moments and resumed, follow. Exit code 1 if
something crashed, hung, was lost, or belongs to another image.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import tifffile

from inference.reading import ImageError, ReadOptions
from inference.reading.safe_reading import ReadLimits, SafeReader
from tests.helpers.damaged_files import bombs, gray, mutant, seeds, shorter, write_content

ROOT = Path(__file__).parents[1]
SECONDS = 60.0  # without an answer, for a file of a few kilobytes; a busy machine needs some
MOST_MEMORY = 1 << 30  # bytes, of a process that reads a damaged file of a few kilobytes
MOST_PIXELS = 10_000_000  # of an image of a run; bombs are larger
CUT_SHORT = 8  # one mutant of so many
SAID_EVERY = 1000  # mutants
HEADING = "## What was tried"  # of the section of the page that this command writes
EACH = ReadOptions(z="each", t="each")
LINES = {
    "cut": "files that are only cut short",
    "bombs": "bombs, pipes, devices",
    "run": "files of runs with good and bad ones",
    "kills": "label files after each kill",
}


@dataclass
class Counts:
    """What happened, by the kind of file."""

    files: Counter = field(default_factory=Counter)
    read: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)
    crashes: Counter = field(default_factory=Counter)
    hangs: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    kills: int = 0
    mutants_a_second: float = 0.0
    slowest: float = 0.0
    slowest_mutant: float = 0.0
    memory: int = 0
    bombs_memory: int = 0


def planes_of(reader: SafeReader, path: Path) -> tuple[list[np.ndarray], list[str]]:
    """The first planes of a file, and what was warned of."""
    planes, warnings = [], []
    for image in reader.open_images(path, EACH)[0][:2]:
        for number in range(min(4, len(image.views))):
            picture = image.open(number)
            planes.append(picture.pixels[:256, :256])
            warnings += picture.warnings
    return planes, warnings


def read_one(reader: SafeReader, path: Path, kind: str, counts: Counts, whole: list[np.ndarray] | None = None) -> None:
    """Read a file as a run does, and count what came of it. An error that does not name the file is a fault.

    Parameters
    ----------
    whole : the planes of a file that is only cut short: other ones without a warning are a fault
    """
    counts.files[kind] += 1
    start = time.monotonic()
    try:
        planes, warnings = planes_of(reader, path)
        counts.read[kind] += 1
        if whole is not None and not warnings and not same(planes, whole):
            kept = path.with_name(f"kept{len(counts.faults)}_{path.name}")
            counts.faults.append(f"{kind}: {path.name} lost a part and nothing was said ({kept.name})")
    except ImageError as error:
        counts.refused[kind] += 1
        said = str(error)
        counts.crashes[kind] += "crashed" in said
        counts.hangs[kind] += "no answer" in said
        if path.name not in said or "\n" in said:
            counts.faults.append(f"{kind}: {said!r} does not name {path.name} in one line")
    except Exception as error:  # the run would have taken it for a fault of its own
        counts.faults.append(f"{kind}: {error!r}")
    counts.slowest = max(counts.slowest, time.monotonic() - start)


def same(planes: list[np.ndarray], others: list[np.ndarray]) -> bool:
    """Whether two files hold the same pixels."""
    return len(planes) == len(others) and all(map(np.array_equal, planes, others))


def fuzz_reading(count: int, seed: int, counts: Counts) -> None:
    """Read mutants of every kind of file, and bombs."""
    rng, files = random.Random(seed), seeds()
    reader = SafeReader(ReadLimits(seconds=10 * SECONDS))  # libraries are loaded first
    others = list(files.values())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        whole = {}
        for name, content in files.items():
            write_content(folder / name, content)
            whole[name] = planes_of(reader, folder / name)[0]
        reader.limits = ReadLimits(seconds=SECONDS)
        start = time.monotonic()
        for number in range(count):
            name = list(files)[number % len(files)]
            path = folder / name
            if number // len(files) % CUT_SHORT == CUT_SHORT - 1:
                write_content(path, shorter(rng, files[name]))
                read_one(reader, path, "cut", counts, whole[name])
            else:
                write_content(path, mutant(rng, files[name], others))
                read_one(reader, path, path.suffix.lstrip("."), counts)
            if number % SAID_EVERY == SAID_EVERY - 1:
                print(f"{number + 1} mutants, {time.monotonic() - start:.0f} s", file=sys.stderr)
        counts.mutants_a_second = count / (time.monotonic() - start)
        counts.memory = reader.peak_memory() or 0
        counts.slowest_mutant = counts.slowest
        for path in bombs(folder):
            read_one(reader, path, "bombs", counts)
        counts.bombs_memory = reader.peak_memory() or 0


def predict(inputs: Path, outputs: Path, *options: object) -> subprocess.Popen:
    """The program, silent, in a process group of its own, with one thread: that is enough for small images."""
    return subprocess.Popen(
        [sys.executable, ROOT / "predict.py", "-q", "-i", inputs, "-o", outputs, *map(str, options)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def pictures(folder: Path, count: int) -> None:
    """Images with cells, of one size, each another one."""
    folder.mkdir()
    for number in range(count):
        picture = np.roll(gray(), (5 * number, 9 * number), (0, 1))
        cv2.imwrite(
            str(folder / f"image{number}.png"), cv2.resize(picture, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
        )


def fuzz_a_run(seed: int, counts: Counts) -> None:
    """A run over good files among damaged ones: all good ones are done, all are in the report."""
    rng, files = random.Random(seed), seeds()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pictures(folder / "in", 3)
        good = [path.name for path in (folder / "in").iterdir()]
        for number, (name, content) in enumerate(files.items()):
            write_content(folder / "in" / f"{number}.{name}", mutant(rng, content, list(files.values())))
        list(bombs(folder / "in"))
        report = folder / "report.json"
        options = "--full-names", "--max-pixels", MOST_PIXELS, "--report", report, "--z", "max", "--t", "max"
        code = predict(folder / "in", folder / "out", *options).wait()
        if code != 1:
            counts.faults.append(f"run: exit code {code}")
        if not report.exists():
            counts.faults.append("run: no report")
            return
        rows = {row["image"]: row["status"] for row in json.loads(report.read_text())}
        counts.files["run"] += len(rows)
        counts.read["run"] += sum(status == "done" for status in rows.values())
        counts.refused["run"] += sum(status.startswith(("failed", "skipped")) for status in rows.values())
        lost = [
            name for name in good if rows.get(name) != "done" or not (folder / "out" / f"{name}_label.tiff").is_file()
        ]
        told = {Path(name).name for name in rows}
        lost += [path.name for path in (folder / "in").iterdir() if path.name not in told]
        counts.faults += [f"run: {name} is lost" for name in lost]


def fuzz_kills(kills: int, seed: int, counts: Counts) -> None:
    """Runs, sometimes two at once into one folder, that are killed at random moments and resumed; then two images
    change places and are resumed once more."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder, out = Path(temporary), Path(temporary) / "out"
        pictures(folder / "in", 6)
        start = time.monotonic()
        predict(folder / "in", folder / "right").wait()
        lasts = time.monotonic() - start
        right = {
            path.stem: labels_of(folder / "right" / f"{path.stem}_label.tiff") for path in (folder / "in").iterdir()
        }

        def check() -> None:
            for path in out.glob("*_label.tiff"):
                counts.files["kills"] += 1
                try:
                    equal = np.array_equal(labels_of(path), right[path.name.removesuffix("_label.tiff")])
                except Exception as error:  # tifffile's, of a broken file
                    counts.faults.append(f"kill: {path.name} is broken: {error}")
                else:
                    counts.read["kills"] += equal
                    if not equal:
                        counts.faults.append(f"kill: {path.name} holds other labels")

        for number in range(kills):
            processes = [predict(folder / "in", out, "--resume") for _ in range(1 + number % 2)]
            for process in processes:
                time.sleep(rng.uniform(0.3, 1) * lasts)
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                counts.kills += 1
                check()
            if out.is_dir() and rng.random() < 0.5:
                for path in out.glob("*_label.tiff"):
                    path.unlink()
        a, b = folder / "in" / "image0.png", folder / "in" / "image1.png"
        a.rename(folder / "c"), b.rename(a), (folder / "c").rename(b)
        right["image0"], right["image1"] = right["image1"], right["image0"]
        predict(folder / "in", out, "--resume").wait()
        check()
        left = {path.name for path in out.iterdir()} ^ {f"{name}_label.tiff" for name in right}
        counts.faults += [f"kill: {name} is lost, or left over" for name in left]


def labels_of(path: Path) -> np.ndarray:
    """The pixels of a label file."""
    return tifffile.imread(path)


def table(counts: Counts, args: argparse.Namespace) -> str:
    """The section of the page in docs/."""
    lines = [
        HEADING,
        "",
        f"Made by `python -m tests.fuzz --mutants {args.mutants} --runs {args.runs} --kills {args.kills} --seed "
        f"{args.seed} --out docs/faults.md`: small files of every kind with bytes changed, cut out, put in, repeated "
        "or from another file; such that are only cut short, which must be refused, warned of, or read as if they were "
        "whole; bombs, pipes and devices; runs over good files among damaged ones; and runs, also two at once into one "
        "folder, that are killed at random moments and resumed, after which two images change places.",
        "",
        "| what | tried | read | refused by name | decoder crashed | decoder hung |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind in sorted(counts.files, key=lambda kind: (list(LINES).index(kind) if kind in LINES else -1, kind)):
        numbers = (column[kind] for column in (counts.files, counts.read, counts.refused, counts.crashes, counts.hangs))
        lines.append(f"| {LINES.get(kind, kind)} | " + " | ".join(f"{number:,}" for number in numbers) + " |")
    lines += [
        "",
        f"Runs that were killed: {counts.kills}. Runs that ended before their time, images that were lost, parts that "
        "were lost and nothing said, broken label files, labels of another image: "
        f"{len(counts.faults)}. {counts.mutants_a_second:.0f} damaged files were read in a second, one after the "
        f"other. The slowest took {counts.slowest_mutant:.1f} s, the slowest of all {counts.slowest:.1f} s. "
        f"The largest memory of a process that read a damaged file was {counts.memory / 2**20:.0f} MB, and a bomb "
        f"{counts.bombs_memory / 2**20:.0f} MB.",
    ]
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=300, help="damaged files [%(default)s]")
    parser.add_argument("--runs", type=int, default=1, help="over good files among damaged ones [%(default)s]")
    parser.add_argument("--kills", type=int, default=1, help="rounds of killing a run, or two [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="[%(default)s]")
    parser.add_argument("--out", type=Path, help="file that ends in the table [standard output]")
    args = parser.parse_args(argv)
    counts = Counts()
    fuzz_reading(args.mutants, args.seed, counts)
    for number in range(args.runs):
        fuzz_a_run(args.seed + number, counts)
    if args.kills:
        fuzz_kills(args.kills, args.seed, counts)
    if counts.memory > MOST_MEMORY:
        counts.faults.append(f"a file took {counts.memory / 2**20:.0f} MB")
    if args.out:
        before = args.out.read_text(encoding="utf-8").split(HEADING)[0] if args.out.exists() else ""
        args.out.write_text(before + table(counts, args), encoding="utf-8")
    else:
        print(table(counts, args))
    for fault in counts.faults:
        print(f"fault: {fault}", file=sys.stderr)
    return 1 if counts.faults else 0


if __name__ == "__main__":
    sys.exit(main())
