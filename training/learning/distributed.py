"""The processes that train together: a single one, or those that `torchrun` started, one a GPU."""

import datetime
import os
import re
from collections.abc import Sequence

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

LONGEST_WAIT = datetime.timedelta(hours=2)  # of the others for the first one, which validates and saves


# What PyTorch says in a process whose partner is gone, of gloo, of NCCL and of its store
LOST = re.compile(r"(?i)connection (was )?(closed|reset|refused)|broken pipe|remote process|timed out|socket closed")


class ProcessLost(ValueError):
    """Another process of the training is not there any more. The message says what to do."""


class Team:
    """Use as a context manager.

    rank, size : this process among how many; the one with rank 0 leads: it logs and saves
    device : of this process; with several GPUs each process has its own
    """

    def __init__(self, device: torch.device):
        self.rank, self.size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.device = device
        if self.size > 1 and self.device.type == "cuda":
            self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(self.device)

    def __enter__(self) -> "Team":
        if self.size > 1:
            distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
        return self

    def __exit__(self, kind, error, trace) -> None:
        """Raises ProcessLost if another process has ended before its time."""
        if self.size == 1:
            return
        try:
            if error is None:
                distributed.barrier()  # a process that is left behind by the others may be aborted by PyTorch
        except RuntimeError as lost:
            error = lost
        if isinstance(error, RuntimeError) and LOST.search(str(error)):
            # Its group is not taken down: that would wait for the process that is gone.
            raise ProcessLost(
                f"process {self.rank} of {self.size}: another process of this training has ended, and its last lines "
                "say why; the same command goes on from the last resume file"
            ) from error
        distributed.destroy_process_group()

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def share(self, model: nn.Module) -> nn.Module:
        """The model, with gradients averaged over the processes by `backward`."""
        if self.size == 1:
            return model
        return DistributedDataParallel(model, [self.device] if self.device.type == "cuda" else None)

    def agree(self, *numbers: float, stop: bool) -> tuple[float | bool, ...]:
        """The leader's numbers, and whether any process wants to stop. All processes must call it at the same point."""
        if self.size == 1:
            return *numbers, stop
        said = torch.tensor(
            [*(numbers if self.leads else [0.0] * len(numbers)), stop], dtype=torch.float64, device=self.device
        )
        distributed.all_reduce(said)
        return *said[:-1].tolist(), bool(said[-1])

    def gather(self, own: Sequence | None) -> list | None:
        """The items of all processes, each of which has every n-th one, in their order; None if one of them has None.
        All processes must call it at the same point.
        """
        if self.size == 1:
            return None if own is None else list(own)
        shares: list = [None] * self.size
        distributed.all_gather_object(shares, own)
        if any(share is None for share in shares):
            return None
        return [shares[i % self.size][i // self.size] for i in range(sum(map(len, shares)))]

    def same(self, number: int) -> bool:
        """Whether all processes have the same number. All of them must call it at the same point."""
        if self.size == 1:
            return True
        extremes = torch.tensor([number, -number], dtype=torch.int64, device=self.device)
        distributed.all_reduce(extremes, distributed.ReduceOp.MAX)
        return bool(extremes[0] == -extremes[1])
