import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.engines.aotinductor import AotInductor
from harness.engines.onnx_export import to_onnx
from harness.engines.onnxruntime_engine import OnnxRuntime
from harness.engines.torch_eager import NETWORK_FILE, TorchEager, load_network
from harness.spec import Placement
from harness.variants.protocol import BuildContext, TorchModel
from harness.variants.prune_structured import PruneStructured
from harness.variants.resized import resize, sizes_of
from harness.variants.transformer_cuts import layers_left, rounded
from results.errors import UnsupportedError
from scenarios.workloads import bert_classifier, digits_cnn, digits_resnet
from scenarios.workloads.protocol import Arrays, Network, Split

CPU = Placement(threads=1)
RNG = np.random.default_rng(0)
IMAGES = {"image": RNG.random((40, 1, 8, 8), dtype=np.float32)}
TOKENS = RNG.integers(0, 12, size=(64, 5))
TEXT = {"input_ids": TOKENS, "attention_mask": np.ones_like(TOKENS)}
SHAPE = {"layers": 4, "width": 16, "heads": 4, "feedforward": 32, "sequence": 5, "vocabulary": 12, "classes": 3}


@dataclass(frozen=True)
class Task:
    """Cross-entropy."""

    def loss(self, answers: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Its mean."""
        return nn.functional.cross_entropy(answers, labels)


def convolutional() -> TorchModel:
    torch.manual_seed(0)
    factory = "scenarios.workloads.digits_cnn:make_network"
    return TorchModel(network=Network(module=digits_cnn.make_network().eval().requires_grad_(False), factory=factory))


def residual() -> TorchModel:
    torch.manual_seed(0)
    module = digits_resnet.make_network(width=32, blocks=1)
    with torch.no_grad():
        module(torch.from_numpy(IMAGES["image"]))  # batch statistics that are not the initial ones
    factory = "scenarios.workloads.digits_resnet:make_network"
    arguments = {"width": 32, "blocks": 1}
    return TorchModel(network=Network(module=module.eval().requires_grad_(False), factory=factory, arguments=arguments))


def transformer() -> TorchModel:
    torch.manual_seed(0)
    return TorchModel(
        network=Network(
            module=bert_classifier.make_network(**SHAPE).eval().requires_grad_(False),
            factory="scenarios.workloads.bert_classifier:make_network",
            arguments=SHAPE,
            anatomy=bert_classifier.ANATOMY,
        )
    )


@pytest.fixture
def context(tmp_path: Path) -> BuildContext:
    return BuildContext(seed=0, calibration=IMAGES, scratch=tmp_path)


def answers(of: TorchModel, inputs: Arrays) -> np.ndarray:
    with torch.inference_mode():
        found: np.ndarray = of.network.module(*(torch.from_numpy(array) for array in inputs.values())).numpy()
    return found


def layer(of: TorchModel, number: int = 0) -> Any:
    return of.network.module.layers[number]  # type: ignore[index, union-attr]


def parameters(of: TorchModel) -> int:
    return sum(p.numel() for p in of.network.module.parameters())


@pytest.mark.parametrize("make", [convolutional, residual])
def test_channels_go_and_the_classifier_stays(make: Callable[[], TorchModel], context: BuildContext) -> None:
    """Half of the channels are left everywhere, in multiples of 8, and there are as many answers as before."""
    pruned = PruneStructured(ratio=0.5).apply(make(), context)
    before = [m.out_channels for m in make().network.module.modules() if isinstance(m, nn.Conv2d)]
    after = [m.out_channels for m in pruned.network.module.modules() if isinstance(m, nn.Conv2d)]
    assert after == [channels // 2 for channels in before]
    assert answers(pruned, IMAGES).shape == (40, 10)
    assert parameters(pruned) < 0.35 * parameters(make())
    assert not any(parameter.requires_grad for parameter in pruned.network.module.parameters())


@pytest.mark.parametrize("make", [convolutional, residual])
def test_channels_that_are_left_are_the_heaviest(make: Callable[[], TorchModel], context: BuildContext) -> None:
    """Of the first convolution, which is coupled to none other in the plain network, the smallest filters go."""
    weight = make().network.module[0].weight  # type: ignore[index]
    left = PruneStructured(ratio=0.5).apply(make(), context).network.module[0].weight  # type: ignore[index]
    rows = {row.numpy().tobytes() for row in weight}
    assert all(row.numpy().tobytes() in rows for row in left)


def test_following_channels_leaves_batch_statistics_alone(context: BuildContext) -> None:
    """A network that comes in training mode is pruned in evaluation mode: two examples are no statistics."""
    pruned = PruneStructured(ratio=0.5).apply(residual(), context)
    training = residual()
    training.network.module.train()
    again = PruneStructured(ratio=0.5).apply(training, context)
    assert np.array_equal(answers(again, IMAGES), answers(pruned, IMAGES))


def test_neurons_go_by_the_weights_on_both_sides(context: BuildContext) -> None:
    """A quarter of 32 neurons goes: those whose product of norms is smallest, with their outgoing columns."""
    whole = layer(transformer())
    norms = torch.linalg.vector_norm(whole.widen.weight, dim=1) * torch.linalg.vector_norm(whole.narrow.weight, dim=0)
    kept = sorted(norms.argsort(descending=True)[:24].tolist())
    cut = layer(PruneStructured(ratio=0.25).apply(transformer(), context))
    assert torch.equal(cut.widen.weight, whole.widen.weight[kept])
    assert torch.equal(cut.widen.bias, whole.widen.bias[kept])
    assert torch.equal(cut.narrow.weight, whole.narrow.weight[:, kept])
    assert (cut.widen.out_features, cut.narrow.in_features) == (24, 24)


def test_a_neuron_that_adds_nothing_is_not_missed(context: BuildContext) -> None:
    """Where the neurons and heads that go weigh nothing, the answers stay as they were."""
    model = transformer()
    for block in model.network.module.layers:  # type: ignore[union-attr]
        block.narrow.weight[:, 8:16] = 0
        block.mix.weight[:, 4:8] = 0
    expected = answers(model, TEXT)
    pruned = PruneStructured(ratio=0.25, heads=0.25).apply(model, context)
    assert (layer(pruned).heads, layer(pruned).query.out_features) == (3, 12)
    np.testing.assert_allclose(answers(pruned, TEXT), expected, atol=1e-6)


def test_layers_go_from_the_last_but_one_down(context: BuildContext) -> None:
    """Two of four: the third and the first; those that stay are untouched, in their order."""
    pruned = PruneStructured(ratio=0.0, layers=2).apply(transformer(), context)
    assert len(pruned.network.module.layers) == 2  # type: ignore[arg-type]
    for here, there in ((0, 1), (1, 3)):
        assert torch.equal(layer(pruned, here).query.weight, layer(transformer(), there).query.weight)


def test_which_layers_are_left() -> None:
    """Every second from the last but one, then the highest of the rest; the last always stays."""
    assert layers_left(6, 0) == [0, 1, 2, 3, 4, 5]
    assert layers_left(6, 2) == [0, 1, 3, 5]
    assert layers_left(6, 4) == [1, 5]
    assert layers_left(6, 5) == [5]


def test_what_is_left_is_rounded() -> None:
    """To the nearest multiple, but never to none, nor to more than there were."""
    assert [rounded(32, ratio, 8) for ratio in (0.0, 0.3, 0.45, 0.99)] == [32, 24, 16, 8]
    assert rounded(30, 0.05, 16) == 30


@pytest.mark.parametrize("engine", [TorchEager, OnnxRuntime])
def test_engines_run_what_is_left(engine: Any, context: BuildContext, tmp_path: Path) -> None:
    """Heads, neurons and layers fewer, at any batch, the files answer as the module does."""
    pruned = PruneStructured(ratio=0.5, heads=0.5, layers=1).apply(transformer(), context)
    session = _loaded(engine(), pruned, TEXT, tmp_path)
    found = session.outputs(session.run(session.feed(TEXT)))[0]
    np.testing.assert_allclose(found, answers(pruned, TEXT), atol=1e-5)


def test_a_compiler_takes_what_is_left(context: BuildContext, tmp_path: Path) -> None:
    """The same ahead of time, for channels."""
    pruned = PruneStructured(ratio=0.5).apply(convolutional(), context)
    session = _loaded(AotInductor(), pruned, IMAGES, tmp_path)
    found = session.outputs(session.run(session.feed(IMAGES)))[0]
    np.testing.assert_allclose(found, answers(pruned, IMAGES), atol=1e-5)


def test_a_fresh_process_needs_no_pruning_library(context: BuildContext, tmp_path: Path) -> None:
    """The stored network is made again from its factory and its sizes, and nothing else is imported for it."""
    pruned = PruneStructured(ratio=0.5).apply(residual(), context)
    TorchEager().export(pruned, IMAGES, tmp_path)
    code = (
        "import sys; from pathlib import Path; from harness.engines.torch_eager import load_network; "
        f"network = load_network(Path({str(tmp_path)!r})); "
        "print(sum(p.numel() for p in network.module.parameters()), 'torch_pruning' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [str(parameters(pruned)), "False"]


def test_a_pruned_network_can_be_pruned_again(context: BuildContext, tmp_path: Path) -> None:
    """Its anatomy still holds, and the second cut is stored on top of the first."""
    once = PruneStructured(ratio=0.5, heads=0.25, layers=1).apply(transformer(), context)
    TorchEager().export(once, TEXT, tmp_path)
    twice = PruneStructured(ratio=0.5, heads=0.34, layers=1).apply(
        replace(once, network=load_network(tmp_path)), context
    )
    assert (len(twice.network.module.layers), layer(twice).heads, layer(twice).widen.out_features) == (2, 2, 8)  # type: ignore[arg-type]
    folder = tmp_path / "twice"
    folder.mkdir()
    TorchEager().export(twice, TEXT, folder)
    again = replace(twice, network=load_network(folder))
    assert np.array_equal(answers(again, TEXT), answers(twice, TEXT))
    assert json.loads((folder / NETWORK_FILE).read_text())["anatomy"]["heads"] == "heads"


def test_fine_tuning_mends_what_pruning_broke(context: BuildContext) -> None:
    """By the labels of the training split, in the pruned sizes, the same for the same seed."""
    labels = answers(transformer(), TEXT).argmax(axis=1)
    taught = replace(context, train=Split(inputs=TEXT, labels=labels), task=Task())
    step = PruneStructured(ratio=0.75, heads=0.5, layers=2, learning_rate=5e-3)
    mended = [replace(step, finetune=10).apply(transformer(), taught) for _ in range(2)]
    right = [float((answers(each, TEXT).argmax(axis=1) == labels).mean()) for each in mended]
    assert right[0] > (answers(step.apply(transformer(), taught), TEXT).argmax(axis=1) == labels).mean()
    assert np.array_equal(answers(mended[0], TEXT), answers(mended[1], TEXT))


def test_shared_weights_stay_shared_when_resized() -> None:
    """A tied matrix that is given another size is still one matrix."""
    module = nn.Sequential(nn.Embedding(8, 4), nn.Linear(4, 8, bias=False))
    module[1].weight = module[0].weight
    sizes = replace(
        sizes_of(module), shapes={"0.weight": [6, 4], "1.weight": [6, 4]}, numbers={"1": {"out_features": 6}}
    )
    resize(module, sizes)
    assert module[0].weight is module[1].weight
    assert (tuple(module[1].weight.shape), module[1].out_features) == ((6, 4), 6)


@pytest.mark.parametrize(
    ("make", "step", "said"),
    [
        (convolutional, PruneStructured(heads=0.5), "does not say where its network's heads and layers lie"),
        (transformer, PruneStructured(layers=4), "4 layers are to go, and the network has 4"),
        (transformer, PruneStructured(ratio=0.1, round_to=16), "every layer keeps all that it has"),
        (transformer, PruneStructured(finetune=1), "no training split"),
        (
            lambda: TorchModel(network=Network(module=nn.Conv2d(1, 8, 8), factory="-")),
            PruneStructured(),
            "no convolution or linear layer before the one that answers",
        ),
    ],
)
def test_what_cannot_be_pruned_so_is_unsupported(
    context: BuildContext, make: Callable[[], TorchModel], step: PruneStructured, said: str
) -> None:
    """Where there is nothing of the kind to prune, that is the result."""
    with pytest.raises(UnsupportedError, match=said):
        step.apply(make(), context)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PruneStructured(ratio=1.0), "ratio is 1"),
        (lambda: PruneStructured(heads=-0.1), "heads is -0.1"),
        (lambda: PruneStructured(layers=-1), "layers is -1"),
        (lambda: PruneStructured(round_to=0), "round_to is 0"),
        (lambda: PruneStructured(ratio=0.0), "nothing would be pruned"),
        (lambda: PruneStructured(finetune=-1), "there are -1 epochs"),
    ],
)
def test_odd_settings_are_refused(make: Callable[[], PruneStructured], said: str) -> None:
    """A campaign that asks for what cannot be is told at load."""
    with pytest.raises(ValueError, match=said):
        make()


def test_the_step_is_a_value() -> None:
    """It crosses the wire."""
    step = PruneStructured(heads=0.5, layers=1)
    assert pickle.loads(pickle.dumps(step)) == step


def _loaded(engine: Any, of: TorchModel, inputs: Arrays, folder: Path) -> Any:
    example = {name: array[:2] for name, array in inputs.items()}
    graph = folder / "exported.onnx"
    engine.export(to_onnx(of, example, graph) if isinstance(engine, OnnxRuntime) else of, example, folder)
    return engine.load(folder, CPU)
