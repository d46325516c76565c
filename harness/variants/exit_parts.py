"""A network cut at its exits: which of its parts embed and which answer, and the module that each piece becomes.

It takes networks that can be stopped after any layer: ``embed(*inputs)`` gives the carried tensors, of which the first
is the hidden state; each of ``layers`` takes them all and gives the next hidden state; ``answer(*carried)`` gives
logits. The module must not know how exits are trained, nor when an example leaves.
"""

from __future__ import annotations

import copy
import itertools
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from results.errors import UnsupportedError

if TYPE_CHECKING:
    from torch import Tensor, nn

MEMBERS: Final = ("embed", "layers", "answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What one part of a network holds: its children that embed, a run of its layers, its children that answer."""

    start: int
    stop: int
    embeds: tuple[str, ...] = ()
    """Children's names; empty for all parts but the first."""
    answers: tuple[str, ...]
    is_first: bool
    is_last: bool


def refuse_whole(module: nn.Module, where: str) -> None:
    """Check that a network can be stopped after a layer.

    Raises:
        UnsupportedError: if it lacks one of the members, or has fewer than two layers.
    """
    lacking = [name for name in MEMBERS if not hasattr(module, name)]
    if lacking:
        what = f"the network cannot be stopped after a layer: it has no {', '.join(lacking)}"
        fix = "use a workload whose network has `embed`, `layers` and `answer`"
        raise UnsupportedError(what, where=where, fix=fix)
    if len(module.layers) < 2:  # type: ignore[arg-type]  # a ModuleList, by the convention above
        raise UnsupportedError("the network has one layer, and no exit before its end", where=where)


def pieces(module: Any, exits: Sequence[int], example: Iterable[Tensor]) -> tuple[Piece, ...]:
    """What each part holds, for exits after these layers, counted from 1.

    A child belongs to ``embed`` or ``answer`` if its parameters take part in what that gives, by the gradient's word;
    children without parameters belong to both.
    """
    import torch

    inputs = tuple(example)
    with torch.no_grad():
        carried = module.embed(*inputs)
    embeds = _taking_part(module, lambda whole: whole.embed(*inputs)[0])
    answers = _taking_part(module, lambda whole: whole.answer(*carried))
    edges = (0, *exits, len(module.layers))
    return tuple(
        Piece(
            start=start,
            stop=stop,
            embeds=embeds if start == 0 else (),
            answers=answers,
            is_first=start == 0,
            is_last=stop == edges[-1],
        )
        for start, stop in itertools.pairwise(edges)
    )


def make_part(factory: str, arguments: Mapping[str, Any], piece: Mapping[str, Any]) -> nn.Module:
    """The architecture of one part: another factory's network, cut."""
    return cut(pkgutil.resolve_name(factory)(**arguments), Piece(**piece))


def part_arguments(factory: str, arguments: Mapping[str, Any], piece: Piece) -> dict[str, Any]:
    """What :func:`make_part` is called with, as plain values."""
    plain = {**asdict(piece), "embeds": list(piece.embeds), "answers": list(piece.answers)}
    return {"factory": factory, "arguments": dict(arguments), "piece": plain}


def cut(module: nn.Module, piece: Piece, exit_: nn.Module | None = None) -> nn.Module:
    """One part of a network, which is left as it was.

    Args:
        module: the whole network.
        piece: what the part holds.
        exit_: what answers at the end of any part but the last; None for a copy of the network's own.
    """
    body = ["layers", *piece.embeds, *(piece.answers if piece.is_last else ())]
    part: nn.Module = _part()(
        _holding(module, body, (piece.start, piece.stop)),
        None if piece.is_last else exit_ or exit_of(module, piece),
        piece,
    )
    return part.train(module.training)


def exit_of(module: nn.Module, piece: Piece) -> nn.Module:
    """A copy of what answers, and nothing else of the network; its ``answer`` takes the carried tensors."""
    return _holding(module, piece.answers, (0, 0))


def _taking_part(module: nn.Module, call: Callable[[Any], Tensor]) -> tuple[str, ...]:
    """The children, but for ``layers``, that have no parameters or one that has a gradient after the call."""
    import torch

    whole = copy.deepcopy(module).float()
    with torch.enable_grad():
        whole.requires_grad_(requires_grad=True)
        call(whole).sum().backward()  # type: ignore[no-untyped-call]  # torch's own
    return tuple(
        name
        for name, child in whole.named_children()
        if name != "layers"
        and (not any(True for _ in child.parameters()) or any(p.grad is not None for p in child.parameters()))
    )


def _holding(module: nn.Module, names: Iterable[str], layers: tuple[int, int]) -> nn.Module:
    """A copy of a module with some of its children, and a run of its layers if these are among them."""
    kept = set(names)
    held: Any = copy.copy(module)
    held._modules = {}
    held._parameters, held._buffers = copy.deepcopy(module._parameters), copy.deepcopy(module._buffers)
    for name, child in module.named_children():
        if name in kept:
            shown = child[layers[0] : layers[1]] if name == "layers" else child  # type: ignore[index]
            held._modules[name] = copy.deepcopy(shown)
    return held  # type: ignore[no-any-return]


@cache
def _part() -> Any:
    """The class of a part, made when torch is first needed."""
    from torch import nn

    class Part(nn.Module):
        """Inputs, or carried tensors → logits, and but for the last part what it hands on.

        The first part hands on all that is carried, a later one the hidden state alone: the rest is as it was.
        """

        def __init__(self, body: Any, exit_: Any, piece: Piece) -> None:
            super().__init__()
            self.body, self.exit = body, exit_
            self.is_first = piece.is_first

        def forward(self, *given: Tensor) -> Any:
            """Embed if first, run the layers, answer."""
            carried = tuple(self.body.embed(*given)) if self.is_first else given
            for layer in self.body.layers:
                carried = (layer(*carried), *carried[1:])
            if self.exit is None:
                return self.body.answer(*carried)
            handed = carried if self.is_first else carried[:1]
            return (self.exit.answer(*carried), *handed)

    return Part
