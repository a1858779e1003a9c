"""A network on its device: number format, batches, and what happens when memory does not suffice; with stand-ins for
the model.
"""

import logging
import warnings

import numpy as np
import pytest
import torch

from inference.network import CPU_BATCH, Network, best_dtype, choose_device, in_few_sizes
from models.config import Config
from models.stardist import RAYS, StarDistMaps

CPU = torch.device("cpu")
ELSEWHERE = torch.device("meta")  # in the place of a GPU: tensors there hold nothing


class Model(torch.nn.Module):
    """Gives each window's mean as the logit, and the window's number in the batch as the distances.

    most : windows for which there is memory; on ELSEWHERE there is none at all
    """

    kind = "stardist"

    def __init__(self, most=99):
        super().__init__()
        self.most, self.seen = most, []

    def forward(self, images):
        self.seen.append((len(images), images.dtype, images.device.type))
        if len(images) > self.most or images.device == ELSEWHERE:
            raise torch.OutOfMemoryError
        height, width = images.shape[2] // 4, images.shape[3] // 4
        logit = images.float().mean(dim=(1, 2, 3))[:, None, None, None].expand(-1, 1, height, width)
        number = torch.arange(len(images))[:, None, None, None].expand(-1, RAYS, height, width)
        return StarDistMaps(logit, number)


def windows(count):
    return np.stack([np.full((32, 64, 3), 40 * n, np.uint8) for n in range(count)])


def network(model, device=CPU, dtype=torch.float32, batch=None):
    made = Network(model, Config(), device, dtype)
    made.batch = batch or made.batch
    return made


def test_maps_are_numpy_arrays_of_the_whole_batch():
    prob, dist = network(Model(), batch=2)(windows(5))
    assert prob.shape == (5, 1, 8, 16)
    assert prob.dtype == np.float32
    assert dist.shape == (5, RAYS, 8, 16)
    assert dist.dtype == np.float32
    np.testing.assert_allclose(prob[:, 0, 0, 0], 1 / (1 + np.exp(-np.arange(5) * 40 / 255)), rtol=1e-6)
    assert dist[:, 0, 0, 0].tolist() == [0, 1, 0, 1, 0], "two windows at a time"


def test_a_cpu_takes_one_window_at_a_time():
    made = network(Model())
    made(windows(3))
    assert [n for n, *_ in made.model.seen] == [CPU_BATCH] * 3
    assert not made.overlaps


@pytest.mark.parametrize(
    "count, height, width, filled",
    [
        (1, 32, 64, (1, 256, 256)),
        (3, 480, 512, (4, 512, 512)),
        (5, 512, 256, (6, 512, 256)),
        (6, 512, 512, (6, 512, 512)),
        (7, 256, 288, (7, 256, 512)),
    ],
)
def test_a_gpu_meets_few_sizes(count, height, width, filled):
    """Of six windows at the most: one, two, four or six of them. What was there is there."""
    given = np.random.default_rng(0).integers(0, 255, (count, height, width, 3), np.uint8)
    made = in_few_sizes(given, 6)
    assert made.shape == (*filled, 3)
    np.testing.assert_array_equal(made[:count, :height, :width], given)
    beyond = made[:count, height : 2 * height, :width]
    np.testing.assert_array_equal(beyond, given[:, ::-1][:, : beyond.shape[1]])


def test_maps_of_a_filled_batch_are_those_of_the_windows(monkeypatch):
    given = windows(3)
    expected = network(Model(), batch=8)(given)
    monkeypatch.setattr(Network, "on_gpu", True)
    made = network(Model(), batch=8)
    for found, own in zip(made(given), expected):
        np.testing.assert_allclose(found, own, rtol=1e-4)  # a mean over more pixels
    assert made.model.seen == [(4, torch.float32, "cpu")]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_model_gets_the_number_format(dtype):
    made = network(Model(), dtype=dtype)
    made(windows(1))
    assert made.model.seen == [(1, dtype, "cpu")]


@pytest.mark.parametrize(
    "architecture, instructions, library, expected",
    [
        ("x86_64", {"avx512_bf16"}, True, torch.bfloat16),
        ("x86_64", {"amx_bf16"}, True, torch.bfloat16),
        ("x86_64", set(), True, torch.float32),  # AVX-512 alone: the library would convert every number
        ("x86_64", set(), False, torch.float32),
        ("aarch64", set(), True, torch.bfloat16),  # there the library asks the processor
        ("aarch64", set(), False, torch.float32),
    ],
)
def test_the_best_format_is_one_that_the_processor_multiplies(
    architecture, instructions, library, expected, monkeypatch
):
    able = {"architecture": architecture, **{name: name in instructions for name in ("avx512_bf16", "amx_bf16")}}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: library)
    assert best_dtype(CPU) == expected
    assert Network(Model(), Config(), CPU).dtype == expected


@pytest.mark.skipif(torch.cpu.get_capabilities()["architecture"] != "x86_64", reason="other processors have others")
def test_the_processor_at_hand_tells_what_it_multiplies():
    """The names that PyTorch gives the instructions are those that are asked for."""
    assert {"avx512_bf16", "amx_bf16"} <= torch.cpu.get_capabilities().keys()


def test_the_processor_at_hand_has_a_format():
    assert best_dtype(CPU) in (torch.bfloat16, torch.float32)


def test_a_model_is_made_ready_for_inference():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2))
    model.kind = "stardist"
    made = network(model, dtype=torch.bfloat16)
    assert not made.model.training
    assert all(p.dtype == torch.bfloat16 and not p.requires_grad for p in made.model.parameters())


def test_without_memory_the_batch_is_halved_for_good(caplog):
    made = network(Model(most=3), batch=16)
    prob, _ = made(windows(6))
    assert made.batch == 2
    assert [n for n, *_ in made.model.seen] == [6, 6, 4, 2, 2, 2]
    np.testing.assert_allclose(prob[:, 0, 0, 0], 1 / (1 + np.exp(-np.arange(6) * 40 / 255)), rtol=1e-6)
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        f"not enough GPU memory: going on with {n} windows at a time" for n in (8, 4, 2)
    ]
    made.model.seen.clear()
    made(windows(4))
    assert [n for n, *_ in made.model.seen] == [2, 2]


def test_without_memory_for_one_window_the_cpu_takes_over(caplog):
    made = network(Model(), device=ELSEWHERE, batch=1)
    prob, _ = made(windows(2))
    assert made.device == CPU
    assert made.dtype == best_dtype(CPU)
    assert [place for *_, place in made.model.seen] == ["meta", "cpu", "cpu"]
    assert prob.shape == (2, 1, 8, 16)
    assert np.isfinite(prob).all()
    assert caplog.text.count("not enough GPU memory for a single window: going on with the CPU") == 1


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    model = Model()
    model.forward = lambda images: 1 / 0
    with pytest.raises(ZeroDivisionError):
        network(model)(windows(1))


@pytest.mark.parametrize("there", [False, True])
def test_devices(monkeypatch, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert choose_device("cpu") == CPU
    assert choose_device("auto") == torch.device("cuda" if there else "cpu")
    if there:
        assert choose_device("cuda") == torch.device("cuda")
    else:
        with pytest.raises(ValueError, match="no usable GPU.*--device cpu"):
            choose_device("cuda")


def test_the_format_of_a_gpu(monkeypatch):
    """bfloat16 where the card multiplies it, float16 from Volta on, else float32."""
    for bfloat16, capability, expected in (
        (True, (8, 0), torch.bfloat16),
        (False, (7, 5), torch.float16),
        (False, (6, 1), torch.float32),
    ):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, answer=bfloat16: answer)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, answer=capability: answer)
        assert best_dtype(torch.device("cuda")) == expected


@pytest.mark.parametrize("free_gib, batch", [(0.1, 1), (2.0, 5), (80.0, 16)])
def test_a_gpus_batch_follows_its_free_memory(monkeypatch, free_gib, batch):
    """Half of it, at 200 MiB a window, and 16 windows at most."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free_gib * 2**30), 0))
    monkeypatch.setattr(Model, "to", lambda self, *_, **__: self)
    made = network(Model(), device=torch.device("cuda"))
    assert made.batch == batch
    assert made.overlaps


def test_a_driver_that_is_too_old(monkeypatch, caplog):
    """The run says so, and goes on with the CPU."""

    def unavailable():
        warnings.warn(
            "CUDA initialization: The NVIDIA driver on your system is too old (found version 12020). Please update",
            stacklevel=1,
        )
        return False

    monkeypatch.setattr(torch.cuda, "is_available", unavailable)
    assert choose_device("auto") == CPU
    assert (
        "the GPU cannot be used (CUDA initialization: The NVIDIA driver on your system is too old (found version "
        "12020))" in caplog.text
    )
    with pytest.raises(ValueError, match="no usable GPU .*too old"):
        choose_device("cuda")
    caplog.clear()
    assert choose_device("cpu") == CPU
    assert not caplog.text


def test_no_gpu_at_all_is_nothing_to_speak_of(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    assert not caplog.text
