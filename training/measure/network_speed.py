"""Time a segmenter's network on one window of 512x512 pixels, as the program runs it and in other ways.

    python -m training.measure.network_speed
    python -m training.measure.network_speed --encoder convnext_small --device cuda

The first line is what `inference.network` chooses on this machine; each further one changes one thing: the number
format, the order of the channels in memory, the number of windows a call, the number of threads (CPU), or lets
torch.compile translate the network, of which the first call, translation included, counts for a program that is started
once an image. Weights are random: they do not change the time.

    ms/window   median over --repeat calls, after two that do not count, divided by the windows of a call
    first s     the first call
    peak MB     of the GPU's memory

What the number format does to the labels is `training.measure.number_formats`' question.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from inference.network import CPU_BATCH, GPU_BATCH, best_dtype, choose_device
from inference.tiles import WINDOW
from models.stardist import ConvNeXtStarDist
from training.command import DONE, add_device, command, manual, positive
from training.measure.machine import machine
from training.tables import text_table

WARM_UP_CALLS = 2


@dataclass(frozen=True)
class Way:
    """How a network is run."""

    dtype: torch.dtype
    channels_last: bool
    batch: int
    threads: int
    compiled: bool = False


def ways(device: torch.device) -> Iterator[Way]:
    """The program's own way, then those that differ from it in one thing."""
    gpu = device.type == "cuda"
    own = Way(best_dtype(device), True, GPU_BATCH if gpu else CPU_BATCH, torch.get_num_threads())
    yield own
    for dtype in (torch.float32, torch.bfloat16, *([torch.float16] if gpu else [])):
        if dtype != own.dtype:
            yield replace(own, dtype=dtype)
    yield replace(own, channels_last=False)
    for batch in (1, 4, 16) if gpu else (2, 4):
        if batch != own.batch:
            yield replace(own, batch=batch)
    if not gpu and own.threads > 1:
        yield replace(own, threads=1)
    yield replace(own, compiled=True)


@torch.inference_mode()
def measure(
    encoder: str, device: torch.device, way: Way, repeat: int, window: int = WINDOW
) -> dict[str, str | int | float]:
    """A line of the table, for windows of `window` pixels on each side."""
    torch.manual_seed(0)
    torch.set_num_threads(way.threads)
    layout = torch.channels_last if way.channels_last else torch.contiguous_format
    network = ConvNeXtStarDist(encoder, layer_scale=0.5).eval().to(device=device, dtype=way.dtype, memory_format=layout)
    if way.compiled:
        network = torch.compile(network)
    windows = torch.rand(way.batch, 3, window, window).to(device=device, dtype=way.dtype, memory_format=layout)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    for _ in range(1 + WARM_UP_CALLS + repeat):
        start = time.perf_counter()
        network(windows)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    memory = {"peak MB": round(torch.cuda.max_memory_allocated(device) / 2**20)} if device.type == "cuda" else {}
    return {
        "encoder": encoder,
        "format": str(way.dtype).removeprefix("torch."),
        "channels": "last" if way.channels_last else "first",
        "windows": way.batch,
        "threads": way.threads,
        "compiled": "yes" if way.compiled else "",
        "ms/window": 1000 * float(np.median(seconds[1 + WARM_UP_CALLS :])) / way.batch,
        "first s": seconds[0],
        **memory,
    }


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.measure.network_speed", __doc__)
    add = parser.add_argument
    add(
        "--encoder",
        nargs="+",
        default=["convnext_small", "convnext_atto"],
        metavar="NAME",
        help="ConvNeXts of timm [convnext_small convnext_atto: the paper's, and that of preset cpu]",
    )
    add_device(parser)
    add("--repeat", type=positive, default=5, metavar="N", help="calls of which the median counts [5]")
    add("--window", type=positive, default=WINDOW, metavar="PIXELS", help=f"a multiple of 32 [{WINDOW}: the program's]")
    add("--no-compile", action="store_true", help="leave torch.compile out, which needs a C++ compiler and a minute")
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    threads = torch.get_num_threads()
    try:
        device, place = choose_device(args.device), machine()
        tried = [way for way in ways(device) if not (way.compiled and args.no_compile)]
        rows = [measure(encoder, device, way, args.repeat, args.window) for encoder in args.encoder for way in tried]
    finally:
        torch.set_num_threads(threads)
    print(f"machine: {place}\n\n{text_table(rows)}")
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
