import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from harness.engines.torch_eager import WEIGHTS_FILE, TorchEager
from harness.spec import Placement
from harness.variants.protocol import BuildContext, Step, TorchModel
from harness.variants.prune_unstructured import PruneUnstructured
from harness.variants.sparse_2_4 import Sparse24
from results.errors import UnsupportedError
from scenarios.workloads.protocol import Network, Split

CPU = Placement(threads=1)
FACTORY = f"{__name__}:make_mlp"
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(192, 64)).astype(np.float32)
LABELS = (INPUTS[:, :8].sum(axis=1) > 0).astype(np.int64)


@dataclass(frozen=True)
class Task:
    """Cross-entropy over two classes."""

    def loss(self, answers: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Its mean."""
        return nn.functional.cross_entropy(answers, labels)


def make_mlp() -> nn.Module:
    """Two linear layers with sides that 2:4 kernels take, and one without."""
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 2))


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A factory names its module, and pytest's own name for this file is not one."""
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


@pytest.fixture
def context(tmp_path: Path) -> BuildContext:
    return BuildContext(
        seed=0,
        calibration={"x": INPUTS[:16]},
        scratch=tmp_path,
        train=Split(inputs={"x": INPUTS}, labels=LABELS),
        task=Task(),
    )


def model() -> TorchModel:
    torch.manual_seed(0)
    return TorchModel(network=Network(module=make_mlp().eval().requires_grad_(False), factory=FACTORY))


def weights(of: TorchModel) -> list[torch.Tensor]:
    module = of.network.module
    return [layer.weight.detach() for layer in module.modules() if isinstance(layer, nn.Linear)]


def zeros(of: list[torch.Tensor]) -> float:
    return float(sum((w == 0).sum() for w in of) / sum(w.numel() for w in of))


def answers(of: TorchModel) -> np.ndarray:
    with torch.inference_mode():
        found: np.ndarray = of.network.module(torch.from_numpy(INPUTS)).numpy()
    return found


def accuracy(logits: np.ndarray) -> float:
    return float((logits.argmax(axis=1) == LABELS).mean())


@pytest.mark.parametrize("schedule", ["one-shot", "gradual"])
def test_fine_tuning_holds_what_was_pruned_at_zero(context: BuildContext, schedule: str) -> None:
    """After training the share of zeros is the one asked for, and the others have learnt."""
    step = PruneUnstructured(ratio=0.8, schedule=schedule, finetune=12, learning_rate=1e-2)
    pruned = step.apply(model(), context)
    assert zeros(weights(pruned)) == pytest.approx(0.8, abs=1e-4)
    assert accuracy(answers(pruned)) > max(0.9, accuracy(answers(PruneUnstructured(ratio=0.8).apply(model(), context))))
    assert not any(parameter.requires_grad for parameter in pruned.network.module.parameters())


def test_the_same_seed_trains_the_same_weights(context: BuildContext) -> None:
    """Two builds of one recipe are one artifact, bit for bit; another seed is another."""
    step = PruneUnstructured(schedule="gradual", finetune=1)
    first, again = (answers(step.apply(model(), context)) for _ in range(2))
    other = answers(step.apply(model(), replace(context, seed=1)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_only_what_lies_within_is_pruned(context: BuildContext) -> None:
    """Half of one layer's weights go, and no other layer's."""
    pruned = weights(PruneUnstructured(ratio=0.5, within="2").apply(model(), context))
    assert [zeros([weight]) for weight in pruned] == [0.0, 0.5, 0.0]


def test_a_place_with_nothing_to_prune_is_named(context: BuildContext) -> None:
    """`within` that meets no layer says so, and a prefix of a name is no path."""
    with pytest.raises(UnsupportedError, match="to prune below `lay`"):
        PruneUnstructured(within="lay").apply(model(), context)


def test_shared_weights_are_pruned_once_and_stay_shared(context: BuildContext) -> None:
    """An embedding that is also a head's matrix loses its smallest weights in both places."""
    tied = nn.Sequential(nn.Embedding(16, 8), nn.Linear(8, 16, bias=False))
    tied[1].weight = tied[0].weight
    pruned = PruneUnstructured(ratio=0.25).apply(replace(model(), network=Network(module=tied, factory="-")), context)
    embedding, head = pruned.network.module.children()
    assert head.weight is embedding.weight
    assert zeros([head.weight.detach()]) == 0.25  # type: ignore[union-attr]


@pytest.mark.parametrize("step", [PruneUnstructured(finetune=1), Sparse24(finetune=1)])
def test_fine_tuning_without_labels_is_unsupported(context: BuildContext, step: Step) -> None:
    """Where the workload has nothing to train by, the recipe says so rather than leave it out."""
    with pytest.raises(UnsupportedError, match="no training split"):
        step.apply(model(), replace(context, train=None))
    with pytest.raises(UnsupportedError, match="no loss to train by"):
        step.apply(model(), replace(context, task=None))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PruneUnstructured(schedule="slow"), "schedule is 'slow'"),
        (lambda: PruneUnstructured(load="coo"), "one of dense, csr"),
        (lambda: PruneUnstructured(schedule="gradual"), "give `finetune` epochs"),
        (lambda: PruneUnstructured(finetune=-1), "there are -1 epochs"),
        (lambda: Sparse24(learning_rate=0.0), "learning_rate is 0"),
        (lambda: Sparse24(dtype="int8"), "float16, bfloat16"),
    ],
)
def test_odd_settings_are_refused(make: Callable[[], Step], said: str) -> None:
    """A campaign that asks for what cannot be is told at load."""
    with pytest.raises(ValueError, match=said):
        make()


def test_csr_multiplies_without_the_zeros(context: BuildContext, tmp_path: Path) -> None:
    """The answers are the dense ones, and the profiler names a sparse product for each layer that gains."""
    step = PruneUnstructured(ratio=0.9, load="csr")
    pruned = step.apply(model(), context)
    session = _loaded(pruned, tmp_path)
    feed = session.feed({"x": INPUTS})
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        found = session.outputs(session.run(feed))[0]
    calls = {event.key: event.count for event in profiled.key_averages()}
    gaining = sum(zeros([weight]) > 0.5 for weight in weights(pruned))
    assert (step.precision, PruneUnstructured().precision) == ("sparse", None)
    assert gaining >= 2
    assert calls["aten::_sparse_mm"] == gaining
    assert sum(kernel.calls for kernel in session.kernels(feed) if kernel.precision == "sparse") == gaining
    np.testing.assert_allclose(found, answers(pruned), atol=1e-5)


def test_csr_takes_more_dimensions_than_two(tmp_path: Path, context: BuildContext) -> None:
    """A sequence goes through a sparse layer as through a dense one: by its last dimension."""
    pruned = PruneUnstructured(ratio=0.9, load="csr").apply(model(), context)
    session = _loaded(pruned, tmp_path)
    sequences = INPUTS.reshape(48, 4, 64)
    found = session.outputs(session.run(session.feed({"x": sequences})))[0]
    np.testing.assert_allclose(found, answers(pruned).reshape(48, 4, 2), atol=1e-5)


def test_csr_that_would_be_larger_is_unsupported(tmp_path: Path, context: BuildContext) -> None:
    """At 40% zeros compressed rows take more than the dense matrix, and the load says so."""
    pruned = PruneUnstructured(ratio=0.4, load="csr").apply(model(), context)
    with pytest.raises(UnsupportedError, match="compressed rows"):
        _loaded(pruned, tmp_path)


def test_two_of_every_four_inputs_are_left(context: BuildContext) -> None:
    """The two largest of each four neighbours stay, in the layers whose sides the kernels take, fine-tuned or not."""
    before = weights(model())
    for epochs in (0, 2):
        pruned = Sparse24(finetune=epochs).apply(model(), context)
        first, _, last = weights(pruned)
        assert (first.dtype, last.dtype) == (torch.float16, torch.float32)
        assert ((first.reshape(-1, 4) != 0).sum(dim=1) == 2).all()
        kept = (first != 0).reshape(-1, 4)
        fours = before[0].abs().reshape(-1, 4)
        assert (fours.masked_fill(~kept, 9).amin(dim=1) >= fours.masked_fill(kept, 0).amax(dim=1)).all()


def test_two_of_four_asks_for_ampere_and_sixteen_bits(context: BuildContext) -> None:
    """What the kernels need is noted on the model, and capability that an earlier step asked for is kept."""
    pruned = Sparse24(dtype="bfloat16").apply(replace(model(), capability=(8, 9)), context)
    assert (pruned.layout, pruned.autocast, pruned.capability) == ("2:4", "bfloat16", (8, 9))
    assert Sparse24().apply(model(), context).capability == (8, 0)


def test_two_of_four_has_no_kernel_on_a_cpu(tmp_path: Path, context: BuildContext) -> None:
    """The artifact is stored, well below a third of its fp32 bytes, and its load on a CPU says why it cannot run."""
    TorchEager().export(model(), {"x": INPUTS[:2]}, _folder(tmp_path / "dense"))
    pruned = Sparse24().apply(model(), context)
    with pytest.raises(UnsupportedError, match="no kernel for it on a CPU"):
        _loaded(pruned, tmp_path / "sparse")
    dense, sparse = ((tmp_path / name / WEIGHTS_FILE).stat().st_size for name in ("dense", "sparse"))
    assert sparse / dense < 0.33


def test_two_of_four_without_a_fitting_layer_is_unsupported(context: BuildContext) -> None:
    """A network of odd sides is told which sides would do."""
    odd = Network(module=nn.Linear(60, 30), factory="-")
    with pytest.raises(UnsupportedError, match="multiples of 32 and inputs in multiples of 64"):
        Sparse24().apply(TorchModel(network=odd), context)


def test_steps_are_values() -> None:
    """They cross the wire."""
    for step in (PruneUnstructured(within="layers", load="csr"), Sparse24(dtype="bfloat16")):
        assert pickle.loads(pickle.dumps(step)) == step


def _folder(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def _loaded(of: TorchModel, folder: Path) -> Any:
    TorchEager().export(of, {"x": INPUTS[:2]}, _folder(folder))
    return TorchEager().load(folder, CPU)
