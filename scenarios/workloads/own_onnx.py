"""A user's own model as an ``.onnx`` file.

    workloads:
      - {name: mine, onnx: models/mine.onnx, inputs: {x: {shape: [batch, 3, 32, 32], dtype: float32}}}

Its inputs are drawn from a seeded stream, and its quality is fidelity to its own fp32. Reading a graph runs no code of
its author's. The module must not know what is made of the graph.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from results.errors import ConfigError
from scenarios.workloads.fidelity import FIDELITY, fidelity
from scenarios.workloads.protocol import Prepared, Quality
from scenarios.workloads.seeded_inputs import BATCH, InputSpec, draw, refuse_no_examples, tokens_of

REFERENCE_BATCH: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxFile:
    """A graph in one self-contained file; without ``inputs`` they are read off the graph."""

    kind: ClassVar[str] = "onnx"
    trusted: ClassVar[bool] = True
    form: ClassVar[str] = "onnx"

    name: str
    path: Path
    inputs: Mapping[str, InputSpec] = field(default_factory=dict)
    examples: int = 64
    """How many examples are drawn to judge by, and how many to calibrate with."""

    def __post_init__(self) -> None:
        refuse_no_examples(self.examples)

    @property
    def quality(self) -> Quality:
        """Fidelity: there are no labels."""
        return FIDELITY

    @property
    def tokens_per_inference(self) -> int | None:
        """The length of ``input_ids``, if there is such an input. Not known where the inputs are read off the graph."""
        return tokens_of(self.inputs)

    def inputs_digest(self) -> str:
        """The sha256 of the file.

        Raises:
            ConfigError: if it cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            what = f"the model file cannot be read: {error.strerror or error}"
            raise ConfigError(what, where=str(self.path), fix="check `onnx:`, relative to the campaign file") from error

    def prepare(self, seed: int) -> Prepared:
        """Check the graph, draw its inputs and record its own answers.

        Raises:
            ConfigError: if the file is missing or no sound graph, or takes other inputs than given.
        """
        self.inputs_digest()
        declared = _declared_inputs(self.path)
        specs = self.inputs or _inferred(declared, self.path)
        if set(specs) != set(declared):
            what = f"the graph takes {_listed(declared)}, and `inputs` gives {_listed(specs)}"
            raise ConfigError(what, where=str(self.path), fix="name the graph's inputs in `inputs`")
        test, calibration = np.random.default_rng(seed).spawn(2)
        inputs = draw(specs, self.examples, test)
        return Prepared(
            inputs=inputs,
            labels=self._answers(inputs, _fixed_batch(declared)),
            calibration=draw(specs, self.examples, calibration),
            onnx=self.path,
        )

    def score(self, outputs: tuple[NDArray[Any], ...], labels: NDArray[Any]) -> NDArray[np.float64]:
        """Agreement with the graph's own fp32 answers, by example."""
        return fidelity(outputs, labels)

    def _answers(self, inputs: Mapping[str, NDArray[Any]], fixed_batch: int | None) -> NDArray[Any]:
        """The graph's first output on all inputs, in batches."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        options.log_severity_level = 3
        size = fixed_batch or REFERENCE_BATCH
        if fixed_batch and self.examples % fixed_batch:
            what = f"the graph's batch is fixed at {fixed_batch}, which does not divide {self.examples} examples"
            fix = f"set `examples` to a multiple of {fixed_batch}"
            raise ConfigError(what, where=str(self.path), fix=fix)
        chunks = [slice(start, start + size) for start in range(0, self.examples, size)]
        try:
            session = ort.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
            answers = [session.run(None, {n: a[chunk] for n, a in inputs.items()})[0] for chunk in chunks]
            answer = np.concatenate(answers)
        except Exception as error:  # ONNX Runtime's errors have no other common base
            raise ConfigError(
                f"the graph does not run on these inputs: {_first_line(error)}",
                where=str(self.path),
                fix="check the shapes, dtypes and ranges in `inputs`",
            ) from error
        if len(answer) != self.examples:
            what = f"the first output has {len(answer)} rows for {self.examples} examples"
            raise ConfigError(what, where=str(self.path), fix="export it so that outputs begin with the batch")
        return np.asarray(answer)


def _declared_inputs(path: Path) -> dict[str, tuple[tuple[int | None, ...] | None, int]]:
    """Name → shape (None for a size that is not fixed, or for the whole if there is none) and ONNX element type."""
    import onnx

    try:
        graph = onnx.load(str(path), load_external_data=False).graph
        external = [t.name for t in graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
        if not external:
            onnx.checker.check_model(str(path))
    except Exception as error:  # protobuf, the checker and the file system each raise their own
        what = f"is no sound ONNX graph: {_first_line(error)}"
        raise ConfigError(
            what, where=str(path), fix="export it again; `onnx.checker.check_model` tells more"
        ) from error
    if external:
        what = f"keeps weights in another file (`{external[0]}` is one)"
        fix = "save it in one file: onnx.save(onnx.load(path), path, save_as_external_data=False)"
        raise ConfigError(what, where=str(path), fix=fix)
    weights = {tensor.name for tensor in graph.initializer}
    return {value.name: _shape_and_type(value.type.tensor_type) for value in graph.input if value.name not in weights}


def _shape_and_type(tensor: Any) -> tuple[tuple[int | None, ...] | None, int]:
    if not tensor.HasField("shape"):
        return None, tensor.elem_type
    sizes = tensor.shape.dim
    return tuple(size.dim_value if size.HasField("dim_value") else None for size in sizes), tensor.elem_type


def _inferred(declared: Mapping[str, tuple[tuple[int | None, ...] | None, int]], path: Path) -> dict[str, InputSpec]:
    """Specifications for inputs whose every size but the first is fixed.

    Raises:
        ConfigError: naming the first input that has to be given.
    """
    import onnx

    specs: dict[str, InputSpec] = {}
    for name, (shape, element) in declared.items():
        try:
            if not shape or None in shape[1:]:
                raise ValueError("its sizes are not fixed")
            dtype = onnx.helper.tensor_dtype_to_np_dtype(element).name
            specs[name] = InputSpec(shape=(BATCH, *(size for size in shape[1:] if size is not None)), dtype=dtype)
        except (ValueError, KeyError) as error:
            fix = f"give it: `inputs: {{{name}: {{shape: [batch, …], dtype: float32}}}}`"
            what = f"the graph does not tell what input `{name}` looks like: {_first_line(error)}"
            raise ConfigError(what, where=str(path), fix=fix) from error
    return specs


def _fixed_batch(declared: Mapping[str, tuple[tuple[int | None, ...] | None, int]]) -> int | None:
    return next((shape[0] for shape, _ in declared.values() if shape and shape[0]), None)


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


PROVIDES = (OnnxFile,)
