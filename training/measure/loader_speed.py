"""Does training wait for its data? Images (crops) per second of the loader alone, the network's step alone, and both
together.

    python -m training.measure.loader_speed --manifest data/manifest.csv --random-init --crop 256 --batch 8 --workers 2

Takes the arguments of training.train, without --out: nothing is written. The loader keeps up with room to spare where
it is at least 1.5 times as fast as the step; below 1 the network waits, and more --workers help as long as there are
cores for them.
"""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from inference.network import choose_device
from training.command import DONE, command, manual
from training.learning.distributed import Team
from training.learning.loop import default_workers, make_loader, working
from training.learning.segmenter_trainer import SegmenterTrainer, training_crops
from training.learning.settings import SegmenterSettings
from training.learning.train_options import add_arguments

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


def measure(settings: SegmenterSettings, seconds: float) -> tuple[dict[str, float], str]:
    """Images per second of "loader", "step" and "together"; what takes the steps."""
    team = Team(choose_device(settings.device))
    trainer = SegmenterTrainer(settings, team)
    loader = make_loader(training_crops(trainer.settings), trainer.settings, team, 0)
    ready = (loader.prefetch_factor or 0) * loader.num_workers
    with working(loader) as batches:
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
    rates = {name: value * settings.batch for name, value in batch_rates.items()}
    return rates, f"{trainer.settings.encoder} on {team.device}"


@command
def main(argv: list[str] | None = None) -> int:
    parser = manual("training.measure.loader_speed", __doc__)
    add_arguments(parser)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each of the three measurements [20]")
    parser.set_defaults(out=Path())
    args = parser.parse_args(argv)
    rates, network = measure(SegmenterSettings.of(args), args.seconds)
    workers = default_workers(choose_device(args.device)) if args.workers is None else args.workers
    print(
        f"loader alone  {rates['loader']:7.1f} images/s ({workers} workers)\n"
        f"step alone    {rates['step']:7.1f} images/s ({network})\n"
        f"together      {rates['together']:7.1f} images/s\n"
        f"loader/step   {rates['loader'] / rates['step']:7.2f}"
    )
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
