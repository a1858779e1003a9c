"""Pack data, networks and this project into one file, to train on a borrowed GPU without a network.

    python -m training.parcel.pack --manifest data/manifest.csv --out parcel.zip --limit 60 --train-options="--stream \\
        both --init runs/pretrain/stardist.safetensors --init-head runs/pretrain/hover.safetensors --crop 256 \\
        --batch 64 --lr 1e-3 --schedule cosine --hv-weight 10"

The file is a Python program. On the other machine, which needs Python 3.11 with PyTorch, numba, NumPy, SciPy,
scikit-image, OpenCV, tifffile, safetensors and tqdm, and timm for ConvNeXt, but none of the other requirements:

    python3 parcel.zip train --out results --seconds 540
    python3 parcel.zip send --out results --first 4
    python3 parcel.zip run training.measure.network_speed --device cuda

`training.parcel.device` says what they do; `training.parcel.bring_back` makes checkpoints of the results;
`training.parcel.rehearse` does all of it here, on the CPU.

The parcel holds

    images          those to train on, and as many to score the networks on as --validate-images says: lossy, with cells
                    no larger than training shows them, of unchanged class (training.parcel.images). --quality is the
                    best that --limit has room for, unless it is given
    networks        of --init and --init-head, of the latter only its head; or the ImageNet weights of the encoder
    the project     the modules of models, inference and training, and the name of the commit

--train-options are those of training.train, without --manifest, --out and --time-budget. Room is also made by
--leave-out among them, and by --most, the number of training images of each source.
"""

import argparse
import json
import logging
import shlex
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
from safetensors.torch import save_file
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from models.checkpoint import STORAGES, load_checkpoint, read_config, save_checkpoint
from models.efficientnet import EFFICIENTNETS
from models.unet import ConvNeXtUNet
from training.command import DONE, command, manual, positive
from training.images.datasets import READERS
from training.images.manifest import Record, check_sources, read_manifest, write_manifest
from training.learning import train_options
from training.learning.encoder_weights import load_encoder, packaged_weights
from training.learning.settings import SegmenterSettings, check_head, training_records
from training.learning.trainer import COMMIT_FILE, git_commit
from training.parcel.images import pack_image
from training.tables import grouped
from training.validation import of_trained_sources, pick_balanced

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
ROOMS = ("models", "inference", "training")
DATA, START, OPTIONS = Path("data"), Path("start"), "options.json"
MANIFEST = DATA / "manifest.csv"
QUALITIES = (92, 88, 84, 80, 75, 70, 65, 60, 50, 40)
SAMPLED = 60  # images by which the size is estimated
MIB = 2**20


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.parcel.pack", __doc__)
    add = parser.add_argument
    add("--manifest", type=Path, required=True, help="CSV file of labelled images (training.images.manifest)")
    add("--out", type=Path, required=True, metavar="FILE", help="the parcel")
    add("--train-options", default="", metavar="TEXT", help="of training.train; write --train-options=TEXT")
    add("--limit", type=float, default=60.0, metavar="MIB", help="size of the parcel at most [60]")
    add("--quality", type=int, choices=range(1, 101), metavar="Q", help="of the images, 1 to 100 [the best that fits]")
    add("--most", type=positive, metavar="N", help="training images of each source [all]")
    add("--storage", choices=STORAGES, default="float16", help="of the networks [float16]")
    args = parser.parse_args(argv)
    args.words = shlex.split(args.train_options)
    args.training = train_options.parse_arguments([*args.words, "--manifest", str(args.manifest), "--out", "runs"])
    if args.training.time_budget:
        parser.error("--time-budget is not for --train-options: the device's --seconds decides")
    return args


def chosen(manifest: Path, options: argparse.Namespace, most: int | None) -> list[Record]:
    """The images of the manifest that travel.

    Parameters
    ----------
    options : of the training
    most : images of a source; None for all
    """
    check_sources(manifest, options.leave_out, "--leave-out")
    training = training_records(options)
    if most:
        sources = grouped(training, lambda record: record.source)
        training = [r for own in sources.values() for r in pick_balanced(own, most)]
    if not options.validate_images:
        return training
    known = {record.source for record in training}
    held_out = [r for r in of_trained_sources(manifest, read_manifest(manifest, "val")) if r.source in known]
    if not held_out:
        raise ValueError(f"{manifest}: no image of split 'val' to validate with; give --validate-images 0")
    return training + pick_balanced(held_out, options.validate_images)


def largest_diameter(training: argparse.Namespace) -> float:
    """The largest median diameter, in pixels, at which training shows cells."""
    start = read_config(training.init)[1] if training.init else None
    settings = SegmenterSettings.of(training).completed(start)
    return settings.diameter * settings.zoom[1]


def estimate(records: Sequence[Record], largest: float, quality: int) -> float:
    """Bytes of all images and labels, from a part of them."""
    every = max(1, len(records) // SAMPLED)
    some = sorted(records, key=lambda r: r.source)[every // 2 :: every]
    sizes = READERS.map(lambda r: sum(map(len, pack_image(r, largest, quality)[::2])), some)
    return sum(sizes) * len(records) / len(some)


def write_data(records: Sequence[Record], largest: float, quality: int, root: Path) -> None:
    """Images, labels and their manifest below a folder."""
    shutil.rmtree(root / DATA, ignore_errors=True)
    packed, lines = READERS.map(lambda r: pack_image(r, largest, quality), records), []
    for number, (record, files) in enumerate(tqdm(zip(records, packed), total=len(records), disable=None)):
        folder = root / DATA / record.source
        folder.mkdir(parents=True, exist_ok=True)
        image, label = (folder / f"{number:05d}{end}" for end in (files.suffix, f"_label{files.label_suffix}"))
        image.write_bytes(files.image)
        label.write_bytes(files.label)
        lines.append(replace(record, image=image, label=label))
    write_manifest(root / MANIFEST, lines)


def write_start(training: argparse.Namespace, storage: str, root: Path) -> list[str]:
    """What training starts from, below a folder; the options that name it there."""
    options = []
    for option, path in (("--init", training.init), ("--init-head", training.init_head)):
        if not path:
            continue
        target = START / option.strip("-") / path.name
        model, config = load_checkpoint(path)
        if option == "--init-head":  # of which nothing else is taken: zeros take no room
            for value in model.unet.state_dict().values():
                value.zero_()
        (root / target).parent.mkdir(parents=True)
        save_checkpoint(root / target, model, config, storage)
        options += [option, target.as_posix()]
    if not (training.init or training.random_init):
        target = START / "encoder.safetensors"
        (root / START).mkdir()
        save_file(encoder_state(training), root / target)
        options += ["--encoder-weights", target.as_posix()]
    return options


def encoder_state(training: argparse.Namespace) -> dict:
    """The encoder's ImageNet weights in float16, under its own names."""
    own = training.encoder_weights or (
        packaged_weights(training.encoder) if training.encoder in EFFICIENTNETS else None
    )
    encoder = ConvNeXtUNet(encoder=training.encoder, pretrained=own is None).encoder
    if own:
        load_encoder(encoder, own)
    return {n: v.half() if v.is_floating_point() else v for n, v in encoder.state_dict().items()}


def write_project(root: Path, options: list[str]) -> None:
    """The project's modules, what starts them, and what they are told, below a folder."""
    if not (ROOT / "predict.py").exists():
        raise ValueError(f"{ROOT}: not the project's repository, whose modules the parcel takes along; run it there")
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        target = root / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    shutil.copy(Path(__file__).with_name("entry.py"), root / "__main__.py")
    (root / OPTIONS).write_text(json.dumps(options), encoding="utf-8")
    (root / COMMIT_FILE.name).write_text(git_commit(), encoding="utf-8")


def write_zip(root: Path, target: Path) -> int:
    """A file of a folder's content; its size in bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            file.write(path, path.relative_to(root))
    return target.stat().st_size


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    cv2.setNumThreads(1)
    records, largest = chosen(args.manifest, args.training, args.most), largest_diameter(args.training)
    if args.training.init_head:
        check_head(args.training.init, args.training.init_head, args.training.diameter is not None)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out.parent, prefix=".parcel-") as folder, logging_redirect_tqdm():
        root = Path(folder)
        options = [*args.words, "--manifest", MANIFEST.as_posix(), *write_start(args.training, args.storage, root)]
        write_project(root, options)
        room = args.limit * MIB - write_zip(root, args.out)
        for quality in [args.quality] if args.quality else QUALITIES:
            if not args.quality and quality != QUALITIES[-1] and estimate(records, largest, quality) > room:
                continue
            write_data(records, largest, quality, root)
            size = write_zip(root, args.out)
            log.info("%s: %.1f MiB, %d images of quality %d", args.out, size / MIB, len(records), quality)
            if size <= args.limit * MIB:
                return DONE
    args.out.unlink()
    raise ValueError(f"more than {args.limit:g} MiB: leave out sources or images (--most), or give a larger --limit")


if __name__ == "__main__":
    raise SystemExit(main())
