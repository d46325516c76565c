"""torch, training: a query is one step of AdamW, forward and backward, in fp32 or under autocast.

An artifact is the initial weights and how to make the module that takes them, as of eager torch; the module says
itself how it is trained. While it is timed its weights move on; to be judged it starts again from the initial ones.
The module must not know what is learnt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.engines.torch_eager import (
    NETWORK_FILE,
    CpuSession,
    CudaSession,
    device_of,
    load_network,
    save_network,
    set_precision,
)
from harness.engines.torch_tensors import arrays
from harness.spec import Placement
from harness.variants.protocol import Model, Stage, TorchModel
from results.errors import UnsupportedError
from results.records import Kernel
from scenarios.workloads.learner import Learner

if TYPE_CHECKING:
    from torch import Tensor


class TorchTraining:
    """Steps of training by torch, on the CPU or on an NVIDIA GPU."""

    name: ClassVar[str] = "torch-training"
    takes: ClassVar[Stage] = Stage.TORCH
    preload: ClassVar[tuple[str, ...]] = ("torch",)

    def toolchain(self) -> Mapping[str, str]:
        """The version of torch, without importing it."""
        return {"torch": version("torch")}

    def export(self, model: Model, example: Mapping[str, NDArray[Any]], directory: Path) -> None:
        """Write the initial weights, and how to make the module that takes them.

        Raises:
            UnsupportedError: if the model is no torch module that says how it is trained.
        """
        if not isinstance(model, TorchModel) or not isinstance(model.network.module, Learner):
            what = "it takes a torch module that computes its own loss and says how it is trained"
            raise UnsupportedError(what, where=self.name, fix="use the engine `torch`, or the workload `train-mixed`")
        save_network(model, list(example), directory)

    def load(self, directory: Path, placement: Placement) -> TrainingSession:
        """Make the module and its optimizer, and put them on the device.

        Raises:
            UnsupportedError: if there is no such device, or it cannot train as the model asks.
        """
        settings = json.loads((directory / NETWORK_FILE).read_text())
        device = device_of(placement)
        set_precision(settings, placement)
        if settings["autocast"] == "float16" and placement.device == "cpu":
            what = "torch does not train in float16 on the CPU: its gradient scaler is for GPUs"
            raise UnsupportedError(what, where="placements", fix="use `dtype: bfloat16`, or `device: cuda`")
        trainer = Trainer(directory, settings["autocast"], device)
        inputs = tuple(settings["inputs"])
        if placement.device == "cpu":
            return TrainingSession(trainer, CpuSession(trainer.step, inputs))
        return TrainingSession(trainer, CudaSession(trainer.step, inputs, device))


class Trainer:
    """A module with its optimizer, at some step of its training.

    Gradients are scaled up before fp16 can round them to zero, and back before they are clipped (Micikevicius et al.
    2018, arXiv 1710.03740); a step whose gradients overflow all the same is left out, as torch's scaler does.
    """

    def __init__(self, directory: Path, autocast: str | None, device: str) -> None:
        self._directory, self._autocast = directory, autocast
        self._device = device
        self.module: Any = load_network(directory).module.to(device).train().requires_grad_(requires_grad=True)
        self._start()

    def restart(self) -> None:
        """Go back to the initial weights, and forget the optimizer's moments."""
        self.module.load_state_dict(load_network(self._directory).module.state_dict())
        self.module.train()
        self._start()

    def step(self, feed: tuple[Tensor, ...]) -> Tensor:
        """Train on one batch and give its loss before the step, a scalar."""
        import torch

        self._optimizer.zero_grad()
        with torch.autocast(self._type, dtype=self._dtype, enabled=self._dtype is not None):
            loss: Tensor = self.module(*feed)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch's own
        self._scaler.unscale_(self._optimizer)
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.module.curriculum.clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return loss.detach()

    def predict(self, feed: tuple[Tensor, ...]) -> Tensor:
        """What is scored, in the precision that is trained in."""
        import torch

        self.module.eval()
        with torch.inference_mode(), torch.autocast(self._type, dtype=self._dtype, enabled=self._dtype is not None):
            predicted: Tensor = self.module.predict(*feed)
        return predicted

    def _start(self) -> None:
        import torch

        plan = self.module.curriculum
        self._type = self._device.partition(":")[0]
        self._dtype = getattr(torch, self._autocast) if self._autocast else None
        self._optimizer = torch.optim.AdamW(
            self.module.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
        )
        self._scaler = torch.amp.GradScaler(self._type, enabled=self._autocast == "float16")


class TrainingSession:
    """A module in training; one query is one step, timed as any query is."""

    def __init__(self, trainer: Trainer, session: CpuSession | CudaSession) -> None:
        self._trainer, self._session = trainer, session
        self.run = session.run

    def feed(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[Tensor, ...]:
        """Tensors on the device, in the order the module takes them."""
        return self._session.feed(inputs)

    def outputs(self, result: Any) -> tuple[NDArray[Any], ...]:
        """The loss."""
        return self._session.outputs(result)

    def synchronize(self) -> None:
        """Wait for all work on the device."""
        self._session.synchronize()

    def device_latencies_ns(self) -> NDArray[np.int64] | None:
        """Nanoseconds between the device's events around each step since the last call; None on the CPU."""
        return self._session.device_latencies_ns()

    def allocator_peak_bytes(self) -> int | None:
        """Peak of the device allocator since load; None on the CPU."""
        return self._session.allocator_peak_bytes()

    def kernels(self, feed: tuple[Tensor, ...]) -> tuple[Kernel, ...]:
        """The operators that run for one step, by torch's profiler."""
        return self._session.kernels(feed)

    def answers(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """Predictions for the held-out last inputs, after training on the others from the initial weights.

        Returns:
            One array, ``[held-out examples, …]``.
        """
        trainer, plan = self._trainer, self._trainer.module.curriculum
        every = self._session.feed(inputs)
        rows = len(every[0]) - plan.held_out
        trainer.restart()
        for number in range(plan.steps):
            start = number * plan.batch % max(1, rows - plan.batch + 1)
            trainer.step(tuple(tensor[start : min(start + plan.batch, rows)] for tensor in every))
        starts = range(rows, rows + plan.held_out, plan.batch)
        parts = [trainer.predict(tuple(tensor[s : s + plan.batch] for tensor in every)) for s in starts]
        return (np.concatenate([arrays(part)[0] for part in parts]),)


PROVIDES = (TorchTraining,)
