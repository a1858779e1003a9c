"""Run a segmenter on windows of an image: device, number format, batch size. The only torch on an image's way but the
router's.
"""

import logging
import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from inference.kinds import KINDS
from inference.tiles import mirrored
from models.checkpoint import load_checkpoint
from models.config import Config
from models.unet import STRIDE

log = logging.getLogger(__name__)

CPU_BATCH = 1  # windows a call; a 512x512 window fills the cores, and more would only take memory
GPU_BATCH = 16
GPU_SIDES = 256  # pixels, of which the sides of a GPU's windows are multiples
FIRST_TENSOR_CORES = (7, 0)  # compute capability; before it float16 is no faster, on most cards slower
GPU_BYTES_PER_WINDOW = 200 * 2**20  # ConvNeXt-small's activations for 512x512 in bf16, with room to spare


def choose_device(name: str = "auto") -> torch.device:
    """The device for "auto", "cpu", "cuda" or "mps" (Apple's GPUs); "auto" takes a GPU of NVIDIA if there is one.

    Raises ValueError if "cuda" or "mps" is asked for and there is none.
    """
    usable, complaint = (False, "") if name in ("cpu", "mps") else _cuda()
    if name == "cuda" and not usable:
        raise ValueError(
            f"no usable GPU{complaint and f' ({complaint})'}: start the container with --gpus all on a machine with "
            "an NVIDIA driver, or use --device cpu"
        )
    if name == "mps" and not torch.backends.mps.is_available():
        raise ValueError("no usable GPU of Apple's: this machine or this PyTorch has none; use --device cpu")
    if name == "auto":
        name = "cuda" if usable else "cpu"
        if complaint:
            log.warning(
                "the GPU cannot be used (%s); going on with the CPU. A newer driver helps, or an image built for "
                "this one: see TORCH_BUILD in the Dockerfile",
                complaint,
            )
    return torch.device(name)


def _cuda() -> tuple[bool, str]:
    """Whether there is a usable GPU of NVIDIA's, and what PyTorch says of one that is not, as when its driver is too
    old.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
    return usable, "" if usable else "; ".join(str(warning.message).split(". ")[0] for warning in said)


def best_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it (emulated, it is slower), float16 on a GPU of Volta's or Turing's age,
    else float32.
    """
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16
        return torch.float16 if torch.cuda.get_device_capability(device) >= FIRST_TENSOR_CORES else torch.float32
    return torch.bfloat16 if _cpu_multiplies_bfloat16() else torch.float32


def _cpu_multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for it. Where AVX-512 has none, PyTorch's library still calls bfloat16
    supported, but converts every number to float32 and back.
    """
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    able = torch.cpu.get_capabilities()
    return able["architecture"] != "x86_64" or able["avx512_bf16"] or able["amx_bf16"]


class Segmenting(Protocol):
    """What the way from a working image to labels needs of a network.

    kind : "stardist" or "hover"
    config : the checkpoint's configuration
    batch : windows that it takes at once
    overlaps : whether windows and cells are to be worked on while it runs
    """

    kind: str
    config: Config

    @property
    def batch(self) -> int: ...

    @property
    def overlaps(self) -> bool: ...

    def __call__(self, windows: np.ndarray) -> tuple[np.ndarray, ...]: ...


class Network:
    """A segmenter on a device, with numpy arrays in and out.

    Parameters
    ----------
    model : moved and converted in place: hand over a copy to go on training
    config : the checkpoint's configuration
    dtype : number format; by default the fastest that the device has
    """

    def __init__(self, model: torch.nn.Module, config: Config, device: torch.device, dtype: torch.dtype | None = None):
        self.kind, self.config = str(model.kind), config
        self.device, self.dtype = device, dtype or best_dtype(device)
        model = model.eval().requires_grad_(False).to(device, self.dtype)
        self.model: Any = model.to(memory_format=torch.channels_last)
        self.batch = CPU_BATCH
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            self.batch = max(1, min(GPU_BATCH, int(free // 2 // GPU_BYTES_PER_WINDOW)))

    @classmethod
    def load(cls, path: Path, device: torch.device, dtype: torch.dtype | None = None) -> "Network":
        """The segmenter of a checkpoint; raises CheckpointError."""
        dtype = dtype or best_dtype(device)
        return cls(*load_checkpoint(path, dtype, fold=True), device, dtype)

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU of NVIDIA's."""
        return self.device.type == "cuda"

    @property
    def overlaps(self) -> bool:
        """Whether windows and cells are to be worked on while the network runs. On the CPU they would take its cores
        away.
        """
        return self.on_gpu

    def __call__(self, windows: np.ndarray) -> tuple[np.ndarray, ...]:
        """(N, H, W, 3) uint8 -> the network's maps on the 1/4 grid, (N, C, h, w) float32, as its kind's `activate`
        gives them.

        When the GPU's memory does not suffice, the batch is halved for this and all later calls; when a single window
        does not fit, the network moves to the CPU, with a warning.
        """
        try:
            parts = [self._run(windows[i : i + self.batch]) for i in range(0, len(windows), self.batch)]
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            if self.batch > 1:
                self.batch //= 2
                log.warning("not enough GPU memory: going on with %d windows at a time", self.batch)
            else:
                self.device, self.dtype = torch.device("cpu"), best_dtype(torch.device("cpu"))
                self.model = self.model.to(device=self.device, dtype=self.dtype)
                log.warning("not enough GPU memory for a single window: going on with the CPU")
            return self(windows)
        return tuple(np.concatenate(maps) for maps in zip(*parts))

    @torch.inference_mode()
    def _run(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count, height, width, _ = windows.shape
        batch = torch.from_numpy(in_few_sizes(windows, self.batch) if self.on_gpu else windows)
        batch = batch.pin_memory() if self.device.type == "cuda" else batch
        batch = batch.to(self.device, non_blocking=True).permute(0, 3, 1, 2)  # channels-last in memory already
        maps = KINDS[self.kind].activate(*self.model(batch.to(self.dtype) / 255))
        own = slice(count), slice(None), slice(height // STRIDE), slice(width // STRIDE)
        first, second = (m[own].to("cpu", non_blocking=True) for m in maps)  # into pinned memory
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()
        return first.numpy(), second.numpy()


def in_few_sizes(windows: np.ndarray, most: int) -> np.ndarray:
    """Windows filled up behind their last row, column and number, so that few sizes of batches are left: cuDNN plans
    convolutions anew for each one that it meets.

    Parameters
    ----------
    windows : (N, H, W, 3) uint8
    most : windows of a full batch

    Returns
    -------
    uint8, with sides that are multiples of GPU_SIDES, mirrored, and a power of two or `most` as its number.
    """
    count, *sides = windows.shape[:3]
    rows, columns = (mirrored(np.arange(-(-side // GPU_SIDES) * GPU_SIDES), side) for side in sides)
    if [len(rows), len(columns)] != sides:
        windows = windows[:, rows[:, None], columns]
    filled = max(count, min(2 ** (count - 1).bit_length(), most))
    return windows if filled == count else np.concatenate([windows, np.zeros_like(windows[: filled - count])])
