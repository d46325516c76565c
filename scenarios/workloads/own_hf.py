"""A user's own Hugging Face model, as a local folder with ``config.json`` and safetensors weights.

    workloads:
      - {name: minilm, hf: models/minilm, inputs: {input_ids: {shape: [batch, 128], dtype: int64, high: 30522}}}

Nothing is downloaded, no code in the folder runs, and pickled weights are refused. ``inputs`` are passed by name; the
first tensor of the answer is judged, by fidelity to the model's own fp32. Needs the extra ``nlp``. The module must not
know what is made of the model.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from results.errors import ConfigError, MissingExtraError
from scenarios.workloads.fidelity import FIDELITY, fidelity
from scenarios.workloads.protocol import Network, Prepared, Quality
from scenarios.workloads.seeded_inputs import InputSpec, refuse_nothing_to_draw, tokens_of
from scenarios.workloads.torch_reference import prepared

if TYPE_CHECKING:
    from torch import nn

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HfFolder:
    """What ``transformers.AutoModel`` makes of a local folder."""

    kind: ClassVar[str] = "hf"
    trusted: ClassVar[bool] = True
    form: ClassVar[str] = "torch"

    name: str
    path: Path
    inputs: Mapping[str, InputSpec]
    examples: int = 64
    """How many examples are drawn to judge by, and how many to calibrate with."""

    def __post_init__(self) -> None:
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
        """A sha256 over the configuration and the weights, by file name.

        Raises:
            ConfigError: if the folder lacks either.
        """
        weights = sorted(self.path.glob("*.safetensors"))
        for found, wanted in ((self.path.is_dir(), "folder"), (self._config.is_file(), "`config.json` in it")):
            if not found:
                fix = "check `hf:`, relative to the campaign file; nothing is downloaded"
                raise ConfigError(f"there is no {wanted}", where=str(self.path), fix=fix)
        if not weights:
            fix = "save the model with `save_pretrained`; pickled weights are refused, since loading them runs code"
            raise ConfigError("there are no `*.safetensors` weights in it", where=str(self.path), fix=fix)
        whole = hashlib.sha256()
        for path in (self._config, *weights):
            with path.open("rb") as file:
                whole.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        return whole.hexdigest()

    def prepare(self, seed: int) -> Prepared:
        """Load the folder and record the model's answers to seeded inputs.

        Raises:
            ConfigError: if the folder is incomplete or broken, or the model does not take the inputs.
            MissingExtraError: if transformers is not installed.
        """
        self.inputs_digest()
        model = self._load(seed)
        arguments = {"config": json.loads(model.config.to_json_string(use_diff=False)), "inputs": list(self.inputs)}
        module = _by_name(model.eval().requires_grad_(False), tuple(self.inputs))
        network = Network(module=module, factory=f"{__name__}:make_network", arguments=arguments)
        return prepared(network, self.inputs, self.examples, seed, str(self.path))

    def score(self, outputs: tuple[NDArray[Any], ...], labels: NDArray[Any]) -> NDArray[np.float64]:
        """Agreement with the model's own fp32 answers, by example."""
        return fidelity(outputs, labels)

    def _load(self, seed: int) -> Any:
        import torch

        transformers = _transformers()
        try:
            with torch.random.fork_rng(devices=[]), _silent(transformers):
                torch.manual_seed(seed)  # weights that the folder lacks, an unused pooler's say, are drawn
                model, told = transformers.AutoModel.from_pretrained(
                    str(self.path),
                    dtype=torch.float32,
                    local_files_only=True,
                    trust_remote_code=False,
                    use_safetensors=True,
                    output_loading_info=True,
                )
        except Exception as error:  # loaders raise what their formats make them raise
            what = f"cannot be loaded: {type(error).__name__}: {error}"
            raise ConfigError(what, where=str(self.path), fix="try `transformers.AutoModel.from_pretrained`") from error
        if told["missing_keys"]:
            missing = ", ".join(sorted(told["missing_keys"]))
            _log.warning("%s: the folder lacks weights, which were drawn from the seed: %s", self.path, missing)
        return model

    @property
    def _config(self) -> Path:
        return self.path / "config.json"


def make_network(config: Mapping[str, Any], inputs: Sequence[str]) -> nn.Module:
    """The same architecture again from its configuration alone, without the folder it came from.

    Args:
        config: what ``config.json`` holds, with every default written out.
        inputs: names of the arguments, in the order in which the module takes them.
    """
    transformers = _transformers()
    settings = {key: value for key, value in config.items() if key != "model_type"}
    made = transformers.AutoConfig.for_model(config["model_type"], **settings)
    return _by_name(transformers.AutoModel.from_config(made, trust_remote_code=False), tuple(inputs))


def _by_name(model: nn.Module, names: tuple[str, ...]) -> nn.Module:
    """A module that takes tensors by position, passes them on by name, and gives the answer's first tensor."""
    from torch import Tensor, nn

    class FirstOutput(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Tensor) -> Tensor:
            answer: Tensor = self.model(**dict(zip(names, inputs, strict=True)), return_dict=False)[0]
            return answer

    return FirstOutput()


@contextlib.contextmanager
def _silent(transformers: Any) -> Iterator[None]:
    """Keep the loader's progress bar and its table of keys off the terminal."""
    log = transformers.utils.logging
    shows_progress, verbosity = log.is_progress_bar_enabled(), log.get_verbosity()
    log.disable_progress_bar()
    log.set_verbosity_error()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if shows_progress:
            log.enable_progress_bar()


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        fix = 'pip install "joulemark[nlp]"'
        raise MissingExtraError("Hugging Face models need transformers", where="hf", fix=fix) from error
    return transformers


PROVIDES = (HfFolder,)
