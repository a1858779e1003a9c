"""Files that are damaged at random, bombs, and kills: what the program does to them is counted.

    python -m tests.fuzz --mutants 20000 --kills 20 --out docs/faults.md      # the table in docs/faults.md, about an
    hour on two cores python -m tests.fuzz --mutants 300 --kills 1                              # a minute or two, as in
    .ci/run

Every supported kind of file is written small, then bytes are changed, cut out, put in, repeated or taken from another
file. All files are read as a run reads them. A run over some of them, and runs that are killed at random moments and
resumed, follow. Exit code 1 if something crashed, hung, was lost, or belongs to another image.
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
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile
import zarr

from inference.reading import ImageError, ReadOptions
from inference.safe_reading import ReadLimits, SafeReader

ROOT = Path(__file__).parents[1]
SECONDS = 60.0  # without an answer, for a file of a few kilobytes; a busy machine needs some
MOST_MEMORY = 1 << 30  # bytes, of a process that reads a damaged file of a few kilobytes
MOST_PIXELS = 10_000_000  # of an image of a run; bombs are larger
HEADING = "## What was tried"  # of the section of the page that this command writes


def gray() -> np.ndarray:
    """Something like cells, (48, 64) uint8."""
    random_numbers = np.random.default_rng(0)
    picture = random_numbers.integers(0, 40, (48, 64), np.uint8)
    for y, x in random_numbers.integers(5, 43, (6, 2)).tolist():
        cv2.circle(picture, (x, y), 4, 200, -1)
    return picture


def seeds() -> dict[str, bytes]:
    """A small file of each kind: name -> content."""
    picture = gray()
    colour = np.stack([picture, picture // 2, 255 - picture], axis=-1)
    files = {}
    with tempfile.TemporaryDirectory() as folder:

        def tiff(name: str, data: np.ndarray, **options) -> None:
            path = Path(folder) / name
            tifffile.imwrite(path, data, **options)
            files[name] = path.read_bytes()

        for codec in ("none", "zlib", "lzw", "packbits", "zstd", "jpeg", "lzma"):
            tiff(f"{codec}.tif", picture, compression=codec)
        tiff("tiled.tif", colour, compression="zlib", tile=(16, 16), photometric="rgb")
        tiff("big.tif", picture.astype(np.uint16) * 200, bigtiff=True)
        tiff("float.tif", picture.astype(np.float32) / 255)
        tiff("stack.tif", np.stack([picture] * 3), imagej=True, metadata={"axes": "ZYX"})
        tiff("channels.ome.tif", np.stack([picture] * 2), metadata={"axes": "CYX"}, compression="zlib")
        np.save(Path(folder) / "array.npy", picture)
        files["array.npy"] = (Path(folder) / "array.npy").read_bytes()
    for ending in ("png", "jpg", "bmp", "webp", "pgm"):
        files[f"gray.{ending}"] = cv2.imencode(f".{ending}", picture)[1].tobytes()
        if ending != "pgm":
            files[f"colour.{ending}"] = cv2.imencode(f".{ending}", colour)[1].tobytes()
    files["gray.jp2"] = imagecodecs.jpeg2k_encode(picture)
    files["gray.jxl"] = imagecodecs.jpegxl_encode(picture)
    files["colour.gif"] = imagecodecs.gif_encode(picture)
    files["colour.avif"] = imagecodecs.avif_encode(colour)
    return files


def mutant(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """The file with one to eight changes; none in some."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        # Headers are short.
        place = rng.randrange(len(data) + 1) if rng.random() < 0.5 else rng.randrange(min(len(data), 200) + 1)
        length = rng.choice((1, 1, 2, 4, 16, 200))
        kind = rng.randrange(7)
        if kind == 0:
            data[place : place + length] = rng.randbytes(min(length, max(0, len(data) - place)))
        elif kind == 1:
            del data[place : place + length]
        elif kind == 2:
            data[place:place] = rng.randbytes(length)
        elif kind == 3:
            data[place : place + 4] = rng.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\1\0", b"\xff\xff\xff\x7f")
            )
        elif kind == 4:
            data[place:place] = data[place : place + length] * rng.choice((1, 3))
        elif kind == 5:
            del data[place:]
        else:
            other = rng.choice(others)
            start = rng.randrange(len(other))
            data[place : place + length] = other[start : start + length]
        if not data:
            break
    return bytes(data)


def bombs(folder: Path) -> Iterator[Path]:
    """Small files that ask for much: pixels, chunks, memory, time."""

    def written(name: str, content: bytes) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    side = 60_000
    header = side.to_bytes(4) * 2 + bytes((8, 0, 0, 0, 0))
    packed = zlib.compress(bytes(side + 1) * 1000, 9)
    yield written(
        "bomb.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )
    jpeg = bytearray(cv2.imencode(".jpg", gray())[1].tobytes())
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = (65_000).to_bytes(2) * 2
    yield written("bomb.jpg", bytes(jpeg))
    yield written("bomb.pgm", b"P5 100000 100000 255\n" + bytes(100))
    for name, options in (("strip", {"rowsperstrip": 30_000}), ("tiles", {"tile": (16_384, 16_384)})):
        zeros = zlib.compress(bytes(30_000 * 30_000 if name == "strip" else 16_384**2), 9)
        count = 1 if name == "strip" else 4
        path = folder / f"bomb_{name}.tif"
        tifffile.imwrite(
            path, iter([zeros] * count), shape=(30_000, 30_000), dtype=np.uint8, compression="zlib", **options
        )
        yield path
    array = zarr.create_array(folder / "bomb.zarr", shape=(200_000, 200_000), chunks=(1, 1), dtype="uint8")
    del array
    yield folder / "bomb.zarr"
    os.mkfifo(folder / "pipe.tif")
    yield folder / "pipe.tif"
    (folder / "zero.png").symlink_to("/dev/zero")
    yield folder / "zero.png"


@dataclass
class Counts:
    """What happened, by the kind of file."""

    files: Counter = field(default_factory=Counter)
    read: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)
    crashes: Counter = field(default_factory=Counter)
    hangs: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0
    slowest_mutant: float = 0.0
    memory: int = 0
    bombs_memory: int = 0


def read_one(reader: SafeReader, path: Path, kind: str, counts: Counts) -> None:
    """Read a file as a run does, and count what came of it. An error that does not name the file is a fault."""
    counts.files[kind] += 1
    start = time.monotonic()
    try:
        for image in reader.open_images(path, ReadOptions())[0][:2]:
            picture = image.open()
            _ = picture.pixels[:64, :64]
        counts.read[kind] += 1
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


def fuzz_reading(count: int, seed: int, counts: Counts) -> None:
    """Read mutants of every kind of file, and bombs."""
    rng, files = random.Random(seed), seeds()
    reader = SafeReader(ReadLimits(seconds=SECONDS))
    others = list(files.values())
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
            reader.open_images(Path(folder) / name, ReadOptions(z="max"))
        for number in range(count):
            name = list(files)[number % len(files)]
            path = Path(folder) / name
            path.write_bytes(mutant(rng, files[name], others))
            read_one(reader, path, path.suffix.lstrip("."), counts)
        counts.memory = reader.peak_memory() or 0
        counts.slowest_mutant = counts.slowest
        for path in bombs(Path(folder)):
            read_one(reader, path, "bombs", counts)
        counts.bombs_memory = reader.peak_memory() or 0


def predict(inputs: Path, outputs: Path, *options: object) -> subprocess.Popen:
    """The program, silent, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, ROOT / "predict.py", "-q", "-i", inputs, "-o", outputs, *map(str, options)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
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
            (folder / "in" / f"{number}.{name}").write_bytes(mutant(rng, content, list(files.values())))
        list(bombs(folder / "in"))
        options = "--full-names", "--max-pixels", MOST_PIXELS, "--report", folder / "report.json"
        code = predict(folder / "in", folder / "out", *options).wait()
        rows = {row["image"]: row["status"] for row in json.loads((folder / "report.json").read_text())}
        counts.files["run"] += len(rows)
        counts.read["run"] += sum(status == "done" for status in rows.values())
        counts.refused["run"] += sum(status.startswith(("failed", "skipped")) for status in rows.values())
        lost = [
            name for name in good if rows.get(name) != "done" or not (folder / "out" / f"{name}_label.tiff").is_file()
        ]
        told = {Path(name).name for name in rows}
        lost += [path.name for path in (folder / "in").iterdir() if path.name not in told]
        counts.faults += [f"run: {name} is lost" for name in lost]
        if code != 1:
            counts.faults.append(f"run: exit code {code}")


def fuzz_kills(kills: int, seed: int, counts: Counts) -> None:
    """Runs that are killed at random moments and resumed; then two images change places and are resumed once more."""
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
                    same = np.array_equal(labels_of(path), right[path.name.removesuffix("_label.tiff")])
                except Exception as error:  # tifffile's, of a broken file
                    counts.faults.append(f"kill: {path.name} is broken: {error}")
                else:
                    counts.read["kills"] += same
                    if not same:
                        counts.faults.append(f"kill: {path.name} holds other labels")

        for _ in range(kills):
            process = predict(folder / "in", out, "--resume")
            time.sleep(rng.uniform(0.3, 1) * lasts)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
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
        f"Made by `python -m tests.fuzz --mutants {args.mutants} --kills {args.kills} --seed {args.seed} --out "
        "docs/faults.md`: "
        "small files of every kind with bytes changed, cut out, put in, repeated or from another file; bombs, pipes "
        "and "
        "devices; a run over good files among damaged ones; and runs that are killed at random moments and resumed, "
        "after which two images change places.",
        "",
        "| what | tried | read | refused by name | decoder crashed | decoder hung |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind in counts.files:
        numbers = (column[kind] for column in (counts.files, counts.read, counts.refused, counts.crashes, counts.hangs))
        lines.append(f"| {LINES.get(kind, kind)} | " + " | ".join(f"{number:,}" for number in numbers) + " |")
    lines += [
        "",
        "Runs that ended before their time, images that were lost, broken label files, labels of another image: "
        f"{len(counts.faults)}. "
        f"The slowest damaged file took {counts.slowest_mutant:.1f} s, the slowest of all {counts.slowest:.1f} s. "
        f"The largest memory of a process that read a damaged file was {counts.memory / 2**20:.0f} MB, and a bomb "
        f"{counts.bombs_memory / 2**20:.0f} MB.",
    ]
    return "\n".join(lines) + "\n"


LINES = {
    "run": "files of a run with good and bad ones",
    "kills": "label files after each kill",
    "bombs": "bombs, pipes, devices",
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=300, help="damaged files [%(default)s]")
    parser.add_argument("--kills", type=int, default=1, help="runs that are killed [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="[%(default)s]")
    parser.add_argument("--out", type=Path, help="file that ends in the table [standard output]")
    args = parser.parse_args(argv)
    counts = Counts()
    fuzz_reading(args.mutants, args.seed, counts)
    fuzz_a_run(args.seed, counts)
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
