"""A user's own torch model, as ``package.module:factory``.

    workloads:
      - {name: net, torch: "mypackage.models:make_net", inputs: {x: {shape: [batch, 64]}}}

Making it runs the user's code, so a campaign that names one needs ``--trust``. ``inputs`` are passed to ``forward`` by
position, in the order given. Quality is fidelity to the model's own fp32. The module must not know what is made of it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from results.errors import ConfigError
from scenarios.workloads.fidelity import FIDELITY, fidelity
from scenarios.workloads.protocol import Network, Prepared, Quality
from scenarios.workloads.seeded_inputs import InputSpec, refuse_nothing_to_draw, tokens_of
from scenarios.workloads.torch_reference import prepared

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchFactory:
    """A module made by calling a function without arguments, its weights loaded or set by that function."""

    kind: ClassVar[str] = "torch"
    trusted: ClassVar[bool] = False
    form: ClassVar[str] = "torch"

    name: str
    path: str
    """``package.module:callable``, importable where the campaign runs."""
    inputs: Mapping[str, InputSpec]
    examples: int = 64
    """How many examples are drawn to judge by, and how many to calibrate with."""
    files: tuple[Path, ...] = ()
    """What else the factory reads, such as its weights: a change of these makes another workload."""

    def __post_init__(self) -> None:
        module, _, function = self.path.partition(":")
        if not all(part.isidentifier() for part in [*module.split("."), *function.split(".")]):
            raise ValueError(f"{self.path!r} is not of the form `package.module:factory`")
        refuse_nothing_to_draw(self.inputs, self.examples)

    @property
    def quality(self) -> Quality:
        """Fidelity: there are no labels."""
        return FIDELITY

    @property
    def tokens_per_inference(self) -> int | None:
        """The length of ``input_ids``, if there is such an input."""
        return tokens_of(self.inputs)

    def inputs_digest(self) -> str:
        """A sha256 over the source of the factory's package, or folder, and ``files``, found without running any code.

        Raises:
            ConfigError: if there is no such module.
        """
        source = _source_of(self.path.partition(":")[0])
        if source is None:
            raise ConfigError(f"there is no module for `{self.path}`", where=self.name, fix=_importable_fix())
        digest = hashlib.sha256()
        for file in [*_beside(source, self.path.partition(":")[0]), *self.files]:
            digest.update(f"{file.name}:".encode())
            digest.update(file.read_bytes())
        return digest.hexdigest()

    def prepare(self, seed: int) -> Prepared:
        """Call the factory and record its module's answers to seeded inputs.

        Raises:
            ConfigError: if the factory cannot be imported or called, or its module does not run on the inputs.
        """
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = self._make().eval().float().requires_grad_(False)
        network = Network(module=module, factory=self.path)
        return prepared(network, self.inputs, self.examples, seed, f"{self.name} ({self.path})")

    def score(self, outputs: tuple[NDArray[Any], ...], labels: NDArray[Any]) -> NDArray[np.float64]:
        """Agreement with the module's own fp32 answers, by example."""
        return fidelity(outputs, labels)

    def _make(self) -> nn.Module:
        from torch import nn

        module_name, _, function = self.path.partition(":")
        try:
            factory: Any = importlib.import_module(module_name)
            for part in function.split("."):
                factory = getattr(factory, part)
            made = factory()
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"`{self.path}` cannot be used: {error}", where=self.name, fix=_importable_fix()
            ) from error
        except Exception as error:  # the user's own code may raise anything
            what = f"`{self.path}` raised {type(error).__name__}: {error}"
            raise ConfigError(what, where=self.name, fix="it is called without arguments; make that work") from error
        if not isinstance(made, nn.Module):
            what = f"`{self.path}` gave {type(made).__name__}, not a torch.nn.Module"
            raise ConfigError(what, where=self.name, fix="let the factory return the module")
        return made


def _source_of(module_name: str) -> Path | None:
    """The file of a module: looked for on the path without running any code, else asked of the import system."""
    relative = Path(*module_name.split("."))
    for folder in map(Path, sys.path):
        for file in (folder / relative.with_suffix(".py"), folder / relative / "__init__.py"):
            if file.is_file():
                return file
    try:
        spec = importlib.util.find_spec(module_name)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin else None


def _beside(source: Path, module_name: str) -> list[Path]:
    """The modules that may take part in making the model: its package's, or its folder's; an installed one alone."""
    depth = module_name.count(".")
    if "site-packages" in source.parts and not depth:
        return [source]
    top = source.parent if source.name != "__init__.py" else source.parent.parent
    for _ in range(depth - 1):
        top = top.parent
    return sorted(top.rglob("*.py") if depth else top.glob("*.py"))


def _importable_fix() -> str:
    return "give `package.module:factory`, in the folder the command runs in or on PYTHONPATH"


PROVIDES = (TorchFactory,)
