"""Does training wait for its data? Images (crops) per second of the loader alone, the network's step alone, and both together.

    python -m training.loader_speed --manifest data/manifest.csv --random-init --crop 256 --batch 8 --workers 2

Takes the arguments of training.train, without --out: nothing is written. The loader keeps up with room to spare where it is at
least 1.5 times as fast as the step; below 1 the network waits, and more --workers help as long as there are cores for them.
"""

import argparse
import logging
import time
from collections.abc import Callable

import torch

from training.distributed import Team
from training.train import add_arguments, default_workers, make_loader, training_crops
from training.trainer import Trainer

log = logging.getLogger(__name__)

WARM_UP_STEPS = 3  # memory is allocated and kernels are chosen in the first ones


def rate(action: Callable[[], object], seconds: float, device: torch.device) -> float:
    """How often a second `action` can be done, tried for that many seconds."""
    count, started = 0, time.monotonic()
    while count == 0 or time.monotonic() - started < seconds:
        action()
        count += 1
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return count / (time.monotonic() - started)


def measure(args: argparse.Namespace, seconds: float) -> dict[str, float]:
    """Images per second of "loader", "step" and "together"."""
    team = Team(args.device)
    trainer = Trainer(args, team)
    loader = make_loader(training_crops(args, args.diameter), args, team, 0)
    ready = (loader.prefetch_factor or 0) * loader.num_workers
    batches = iter(loader)
    for _ in range(1 + ready):  # what lay ready would count as made in no time
        batch = next(batches)
    batch_rates = {"loader": rate(lambda: next(batches), seconds, team.device)}
    for _ in range(WARM_UP_STEPS):
        trainer.train_step(batch)
    waiting_workers = 2 * ready / batch_rates["loader"]
    time.sleep(min(60, waiting_workers))  # until the workers' queues are full and they rest
    batch_rates["step"] = rate(lambda: trainer.train_step(batch), seconds, team.device)
    for _ in range(ready):
        next(batches)
    batch_rates["together"] = rate(lambda: trainer.train_step(next(batches)), seconds, team.device)
    return {name: value * args.batch for name, value in batch_rates.items()}


def main(argv: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m training.loader_speed", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each of the three measurements [20]")
    args = parser.parse_args(argv)
    rates = measure(args, args.seconds)
    log.info("loader alone  %7.1f images/s (%d workers)\nstep alone    %7.1f images/s (%s on %s)\ntogether      %7.1f images/s\n"
             "loader/step   %7.2f", rates["loader"], args.workers or default_workers(torch.device(args.device)), rates["step"],
             args.encoder, args.device, rates["together"], rates["loader"] / rates["step"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
