"""What a parcel does on the machine that it was brought to (training.parcel.pack makes it).

    python3 parcel.zip train --out results --seconds 540                      check the machine, train, send
    python3 parcel.zip train --out results --seconds 540 -- --batch 128       with other options of training.train
    python3 parcel.zip send --out results --first 4                           parts of the results from number 4 on
    python3 parcel.zip run training.measure.network_speed --device cuda       any command of the project

The first command unpacks the parcel into a folder that the others find again (PARCEL_WORK names another place for it).

`train` counts --seconds from its start. First it says what there is on the machine, and makes a few steps from packed
images through the loader's processes: if that fails, it ends at once with exit code 3, and nothing was trained. Then
training.train has what is left of the time, less --reserve for what follows: the results are sent, and then, as far as
the time goes, the networks are scored on the parcel's validation images, and what they started from as well, for the
log. The last network is kept whatever it scores: some lossy images are no reason to throw away what nobody can repeat.
What training writes goes to runs/NAME of the unpacked folder; a second training needs another --name. If the command is
killed before its end, `send` sends what was written until then, while the machine is there.

`send` writes the results of all trainings, resume files left out, to --out: parts of --part-size MiB, at most --parts a
call, with the checksums of all, and the log. Both `train` and `send` end by saying which parts are left.
"""

import argparse
import csv
import json
import logging
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from training.command import DONE, PARTLY, command, manual, positive
from training.parcel.parts import LOG, RESULTS, split

log = logging.getLogger(__name__)

LOADED = time.time()
WORK = Path(__file__).resolve().parents[2]
RUNS, TRIAL = WORK / "runs", WORK / "trial"
UNFIT = 3  # exit code
SHARED_MEMORY, SHARED_ROOM = Path("/dev/shm"), 2 * 2**30  # through which crops come from the loader's processes
LEFT_THERE = "resume.safetensors"  # four times the network, and the results go on from the networks


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.parcel.device", __doc__)
    commands = parser.add_subparsers(dest="what", required=True, metavar="COMMAND")
    train, send, run = (commands.add_parser(name) for name in ("train", "send", "run"))
    for each in (train, send):
        each.add_argument("--out", type=Path, required=True, help="folder for the results")
        each.add_argument("--part-size", type=float, default=15, metavar="MIB", help="[15]")
        each.add_argument("--parts", type=positive, default=4, metavar="N", help="parts a call [4]")
    train.set_defaults(first=0)
    send.add_argument("--first", type=int, default=0, metavar="N", help="number of the first part [0]")
    add = train.add_argument
    add("--seconds", type=float, required=True, help="from start to end")
    add("--reserve", type=float, default=50, metavar="SECONDS", help="for sending and scoring [50]")
    add("--score", type=int, metavar="N", help="validation images to score the networks on [all that were packed]")
    add("--least", type=float, default=30, metavar="SECONDS", help="of training, below which nothing is begun [30]")
    add("--regardless", action="store_true", help="train for --least even if the time is over, to rehearse")
    add("--name", default="joint", help="of the training [joint]")
    add("--device", choices=("cpu", "cuda"), default="cuda", help="[cuda]")
    add("--trial-steps", type=positive, default=20, metavar="N", help="of the check [20]")
    run.add_argument("module", help="of the project, such as training.measure.network_speed")
    run.add_argument("words", nargs=argparse.REMAINDER, help="its arguments")
    return parser.parse_args(argv)


def train_here(args: argparse.Namespace) -> int:
    """Check, train, send; the exit code."""
    options = [*json.loads((WORK / "options.json").read_text(encoding="utf-8")), "--device", args.device]
    options += [*args.options, "--validate-images", "0"]
    if (RUNS / args.name / LEFT_THERE).exists():  # going on from there, it would count the time that it took before
        return unfit(ValueError(f"{args.name} was trained here before; give another --name"))
    try:
        check(args.device)
        from training.images.datasets import keep_samples  # late: they load PyTorch, which the check may miss
        from training.train import main as train
    except Exception as error:
        return unfit(error)
    with keep_samples():
        try:
            try_steps(train, options, args.trial_steps)
        except Exception as error:
            return unfit(error)
        left = args.seconds - args.reserve - elapsed()
        if args.regardless:
            left = max(left, args.least)
        if left < args.least:
            return unfit(TimeoutError(f"{left:.0f} of {args.seconds:g} s are left; give more --seconds"))
        log.info("training for %.0f s", left)
        try:
            code = train([*options, "--out", str(RUNS / args.name), "--time-budget", f"{left / 60:.5f}"])
        except Exception:  # what was written until then must come back
            log.exception("the training broke off")
            code = PARTLY
        send_results(args)
        try:
            score_networks(args, options)
        except (Exception, SystemExit):  # the results are sent
            log.exception("the networks were not scored")
    shutil.copy(WORK / LOG, args.out / LOG)
    return code


def unfit(error: Exception) -> int:
    """Say why nothing was trained."""
    log.error("CHECK FAILED after %.0f s, nothing was trained: %s: %s", elapsed(), type(error).__name__, error)
    return UNFIT


def elapsed() -> float:
    """Seconds since the start of this command, which the parcel's main program has noted."""
    return time.time() - float(os.environ.get("PARCEL_BEGAN", LOADED))


def check(device: str) -> None:
    """Say what the machine has; raises if the GPU or a package is missing."""
    import cv2
    import numba
    import numpy
    import safetensors
    import torch

    modules = torch, numpy, numba, cv2, safetensors
    versions = ", ".join(f"{module.__name__} {module.__version__}" for module in modules)
    log.info("Python %s, %s; %d cores", platform.python_version(), versions, len(os.sched_getaffinity(0)))
    if device == "cuda":
        if not torch.cuda.is_available():
            raise RuntimeError("PyTorch sees no GPU")
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info())
        log.info("%s, %.0f of %.0f GiB free", torch.cuda.get_device_name(), free, total)
    make_room()


def make_room() -> None:
    """Enlarge the shared memory where less than SHARED_ROOM bytes of it are free, as often in a container, if that is
    allowed.
    """
    if not SHARED_MEMORY.exists():
        return
    if shutil.disk_usage(SHARED_MEMORY).free < SHARED_ROOM:
        subprocess.run(["mount", "-o", f"remount,size={4 * SHARED_ROOM}", str(SHARED_MEMORY)], capture_output=True)
    free = shutil.disk_usage(SHARED_MEMORY).free
    log.log(
        logging.INFO if free >= SHARED_ROOM else logging.WARNING,
        "shared memory: %.1f GiB free%s",
        free / 2**30,
        "" if free >= SHARED_ROOM else "; if the loader's processes die, train with -- --workers 0",
    )


def try_steps(train, options: list[str], steps: int) -> None:
    """A few steps of the training, and how long they took; raises RuntimeError if they failed."""
    shutil.rmtree(TRIAL, ignore_errors=True)
    every = max(1, steps // 2)
    trial = ["--steps", str(steps), "--log-every", str(every), "--out", str(TRIAL)]
    if train([*options, *trial]):
        raise RuntimeError("the trial ended with an error, see above")
    with open(TRIAL / "log.csv", newline="", encoding="utf-8") as file:
        rows = [(float(row["seconds"]), float(row["waiting"])) for row in csv.DictReader(file)]
    if len(rows) > 1:
        took = rows[-1][0] - rows[-2][0]
        log.info(
            "%d steps in %.2f s, of which %.2f s waiting for data; %.0f s gone", every, took, rows[-1][1], elapsed()
        )
    shutil.rmtree(TRIAL)


def score_networks(args: argparse.Namespace, options: list[str]) -> None:
    """Say what the networks of the training score on the packed validation images, and what their starts do."""
    from inference.network import Network, choose_device
    from training.images.manifest import read_manifest
    from training.learning.train_options import parse_arguments as training_arguments
    from training.validation import validate, validation_samples

    training = training_arguments([*options, "--out", str(RUNS / args.name)])
    images = sum(record.split == "val" for record in read_manifest(training.manifest))
    if count := images if args.score is None else min(args.score, images):
        samples = validation_samples(training.manifest, training.classes, count, training.leave_out)
        for path in (*sorted(training.out.glob("*.safetensors")), training.init):
            if path is None or path.name == LEFT_THERE:
                continue
            if elapsed() > args.seconds and not args.regardless:
                log.info("%s: no time left to score it", path)
                continue
            f1 = validate(Network.load(path, choose_device(args.device)), samples)
            log.info("%s: F1 %.4f on %d images, %.0f s gone", path, f1, len(samples), elapsed())


def send_results(args: argparse.Namespace) -> None:
    """Write parts of the results, their checksums and the log to --out."""
    args.out.mkdir(parents=True, exist_ok=True)
    results = WORK / RESULTS
    with tarfile.open(results, "w") as tar:
        for path in sorted(p for p in RUNS.rglob("*") if p.is_file() and p.name != LEFT_THERE):
            tar.add(path, path.relative_to(RUNS))
    left = split(results, args.out, round(args.part_size * 2**20), args.first, args.parts)
    size = results.stat().st_size / 2**20
    log.info("%s: results of %.1f MiB%s", args.out, size, "" if left is None else f"; still there: send --first {left}")
    shutil.copy(WORK / LOG, args.out / LOG)


@command(clock=True)
def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    end = words.index("--") if "--" in words and words[0] == "train" else len(words)
    args = parse_arguments(words[:end])
    args.options = words[end + 1 :]
    if args.what == "run":
        return subprocess.run([sys.executable, "-m", args.module, *args.words], cwd=WORK).returncode
    args.out = args.out.resolve()
    os.chdir(WORK)
    handler = logging.FileHandler(LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logging.getLogger().addHandler(handler)
    try:
        if args.what == "train":
            return train_here(args)
        if not RUNS.exists():
            raise ValueError(f"{RUNS}: nothing was trained here; train first")
        send_results(args)
        return DONE
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


if __name__ == "__main__":
    raise SystemExit(main())
