"""A Hugging Face architecture by its configuration alone, with random weights.

    workloads:
      - {name: bert-tiny, hf-config: models/bert-tiny/config.json,
         inputs: {input_ids: {shape: [batch, 128], dtype: int64, high: 30522}}}

It serves for latency, memory and energy, which do not depend on what the weights are; quality is absent, since no
answer of a random network is right or wrong. Nothing is downloaded and no code beside the configuration runs. Needs the
extra ``nlp``. The module must not know what is made of the model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from results.errors import ConfigError, MissingExtraError
from scenarios.workloads import own_hf
from scenarios.workloads.protocol import Network, Prepared, Quality
from scenarios.workloads.seeded_inputs import InputSpec, draw, refuse_nothing_to_draw, tokens_of
from scenarios.workloads.torch_reference import prepared

CONFIG_FILE: Final = "config.json"
RANDOM: Final = Quality(name="none", absence="the weights are random, so no answer is right or wrong")
CHECKED_EXAMPLES: Final = 2
"""How many examples are run to see that the model takes the inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HfConfig:
    """What ``transformers.AutoModel`` makes of a ``config.json``, its weights drawn from the seed."""

    kind: ClassVar[str] = "hf-config"
    trusted: ClassVar[bool] = True
    form: ClassVar[str] = "torch"

    name: str
    path: Path
    """A ``config.json``, or the folder that holds one."""
    inputs: Mapping[str, InputSpec]
    examples: int = 64
    """How many examples are drawn to time, and how many to calibrate with."""

    def __post_init__(self) -> None:
        refuse_nothing_to_draw(self.inputs, self.examples)

    @property
    def quality(self) -> Quality:
        """Absent, with the reason."""
        return RANDOM

    @property
    def tokens_per_inference(self) -> int | None:
        """The length of ``input_ids``, if there is such an input."""
        return tokens_of(self.inputs)

    def inputs_digest(self) -> str:
        """A sha256 over the configuration.

        Raises:
            ConfigError: if there is none.
        """
        return hashlib.sha256(self._read()).hexdigest()

    def prepare(self, seed: int) -> Prepared:
        """Make the model with weights from the seed, and draw its inputs.

        Raises:
            ConfigError: if the configuration is broken or of no known architecture, or the model does not take the
                inputs.
            MissingExtraError: if transformers is not installed.
        """
        network = self._made(seed)
        prepared(network, self.inputs, CHECKED_EXAMPLES, seed, str(self.path))
        test, calibration = np.random.default_rng(seed).spawn(2)
        return Prepared(
            inputs=draw(self.inputs, self.examples, test),
            labels=None,
            calibration=draw(self.inputs, self.examples, calibration),
            network=network,
        )

    def score(self, outputs: tuple[NDArray[Any], ...], labels: NDArray[Any]) -> NDArray[np.float64]:  # noqa: ARG002 - the protocol's signature
        """Never asked for, since there are no labels.

        Raises:
            ValueError: saying so.
        """
        raise ValueError(str(RANDOM.absence))

    def _made(self, seed: int) -> Network:
        import torch

        try:
            config = json.loads(self._read())
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                module: Any = own_hf.make_network(config, list(self.inputs))
        except MissingExtraError:
            raise
        except Exception as error:  # configurations raise what their architectures make them raise
            what = f"makes no model: {type(error).__name__}: {error}"
            fix = "try `transformers.AutoModel.from_config`; `model_type` says of which architecture it is"
            raise ConfigError(what, where=str(self._config), fix=fix) from error
        whole = json.loads(module.model.config.to_json_string(use_diff=False))
        return Network(
            module=module.eval().requires_grad_(False),
            factory=f"{own_hf.__name__}:make_network",
            arguments={"config": whole, "inputs": list(self.inputs)},
        )

    def _read(self) -> bytes:
        if not self._config.is_file():
            fix = "check `hf-config:`, relative to the campaign file; nothing is downloaded"
            raise ConfigError(f"there is no `{CONFIG_FILE}`", where=str(self.path), fix=fix)
        return self._config.read_bytes()

    @property
    def _config(self) -> Path:
        return self.path / CONFIG_FILE if self.path.is_dir() else self.path


PROVIDES = (HfConfig,)
