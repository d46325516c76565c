"""Graph optimisation ahead of time: operators fused once, when the graph is built, in place of at every load.

ONNX Runtime's transformer optimizer finds fusions that the runtime does not look for; its own optimizer serves other
graphs. Arithmetic stays fp32, so the arm may be the baseline: the best fp32 there is. The module must not know how
the graph will be run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

from harness.variants.onnx_quantization import has_convolutions, quietly
from harness.variants.protocol import BuildContext, OnnxModel, Stage
from results.errors import UnsupportedError

FUSIONS: Final = ("auto", "transformer", "runtime")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxOptimize:
    """Fuse a graph's operators with ``onnxruntime.transformers.optimizer``, or with ONNX Runtime itself."""

    name: ClassVar[str] = "onnx-optimize"
    stage: ClassVar[Stage] = Stage.ONNX
    engines: ClassVar[frozenset[str] | None] = frozenset({"onnxruntime"})
    keeps_fp32: ClassVar[bool] = True
    precision: ClassVar[str | None] = None

    fusion: str = "auto"
    """``transformer``, ``runtime``, or ``auto``: the former for a graph without convolutions in which it finds
    anything, else the latter."""

    def __post_init__(self) -> None:
        if self.fusion not in FUSIONS:
            raise ValueError(f"fusion is {self.fusion!r}; it must be one of {', '.join(FUSIONS)}")

    def apply(self, model: OnnxModel, context: BuildContext) -> OnnxModel:
        """Write the fused graph into a new file in the scratch folder.

        Raises:
            UnsupportedError: if there is nothing to fuse.
        """
        optimized = context.scratch / f"{self.name}.onnx"
        chosen = self.fusion
        if chosen == "auto":
            chosen = "runtime" if has_convolutions(model.path) else "transformer"
        with quietly():
            found = _transformer(model.path, optimized) if chosen == "transformer" else _runtime(model.path, optimized)
            if not found and self.fusion == "auto" and chosen == "transformer":
                found = _runtime(model.path, optimized)
        if not found:
            fix = "leave the step out for this workload"
            raise UnsupportedError(f"the graph has nothing to fuse by `{chosen}`", where=self.name, fix=fix)
        return replace(model, path=optimized)


def _transformer(graph: Path, optimized: Path) -> bool:
    """Fuse a transformer's operators; whether any were found."""
    from onnxruntime.transformers import optimizer

    fused = optimizer.optimize_model(str(graph), model_type="bert", opt_level=0, verbose=False)
    before = _operators(graph)
    fused.save_model_to_file(str(optimized), use_external_data_format=False)
    return bool(_operators(optimized) - before)


def _runtime(graph: Path, optimized: Path) -> bool:
    """Fuse what holds on every processor, and leave to the runtime what depends on it; whether anything was found."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(optimized)
    options.log_severity_level = 3
    ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    return _operators(optimized) != _operators(graph)


def _operators(graph: Path) -> Counter[str]:
    import onnx

    return Counter(node.op_type for node in onnx.load(str(graph), load_external_data=False).graph.node)


PROVIDES = (OnnxOptimize,)
