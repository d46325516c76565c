"""What two names mean, models, variants or commits, and the lanes in which the two sides then run.

Models are files and so the surest, then come the campaign's variants, then git's revisions; both sides are of one
kind. This module must not know how lanes are run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from collectors.host import git_revision
from harness.build import MANIFEST_FILE, cache_directory, read_manifest
from harness.config import load_campaign
from harness.git import Repository, find_repository
from harness.lane.messages import Opening, SideOrder
from harness.lane.owner import is_joulemark
from harness.plan import DEFAULT_ENGINES
from harness.runner import find_campaign
from results.errors import JoulemarkError, UsageError
from results.gate.sides import Role

_ARTIFACT: Final = re.compile("[0-9a-f]{20}")
_GRAPH: Final = ".onnx"
_HASH_SHOWN: Final = 10
_DIRTY: Final = "-dirty"


class Kind(StrEnum):
    """What a name can mean, in the words of an error."""

    MODEL = "a model's file or an artifact"
    VARIANT = "a variant of the campaign"
    COMMIT = "a git revision"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is to be compared, as it was asked; what the names mean is found out when it is first needed."""

    base: str
    head: str | None = None
    """None for the working tree as it is."""
    campaign: Path | str | Mapping[str, Any] | None = None
    """A file, a shipped campaign's name, or a mapping of a file's keys."""
    overrides: tuple[str, ...] = ()
    trust: bool = False

    @cached_property
    def source(self) -> Path | Mapping[str, Any] | None:
        """The campaign; a file by its whole path.

        Raises:
            ConfigError: if there is neither a file nor a shipped campaign of its name.
        """
        if isinstance(self.campaign, str | Path):
            return find_campaign(self.campaign).resolve()
        return self.campaign

    @cached_property
    def variants(self) -> tuple[str, ...] | JoulemarkError:
        """Names of the campaign's variants, or why they are not known."""
        if self.source is None:
            return UsageError("no campaign is given", where="--campaign", fix="give one")
        try:
            campaign = load_campaign(self.source, overrides=self.overrides, trust=self.trust)
        except JoulemarkError as error:
            return error
        return tuple(variant.name for variant in campaign.variants)

    @cached_property
    def repository(self) -> Repository | JoulemarkError:
        """The repository that the campaign's file lies in, else the current folder, or why there is none."""
        folder = self.source.parent if isinstance(self.source, Path) else Path.cwd()
        try:
            return find_repository(folder)
        except JoulemarkError as error:
            return error

    def kinds(self, name: str) -> frozenset[Kind]:
        """All that a name can mean."""
        commit = self.repository.commit(name) if isinstance(self.repository, Repository) else None
        found = {
            Kind.MODEL: model_of(name) is not None,
            Kind.VARIANT: isinstance(self.variants, tuple) and name in self.variants,
            Kind.COMMIT: commit is not None,
        }
        return frozenset(kind for kind, is_one in found.items() if is_one)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOrder:
    """A lane that is to be started."""

    folder: Path
    opening: Opening
    modules: tuple[Path, ...] = ()
    """Folders in which modules are found first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matchup:
    """Two sides, and where they run."""

    base: str
    """In a reader's words."""
    head: str
    lanes: tuple[LaneOrder, ...]
    """One for both sides, or the base's and the head's."""
    base_variant: str | None = None
    """The base's variant where it is another than the head's."""
    notes: tuple[str, ...] = field(default=())


@contextmanager
def matched(question: Question) -> Iterator[Matchup]:
    """Find out what the two names mean; the folders of two commits are there as long as the block lasts.

    Raises:
        UsageError: if a name means nothing, the two are of different kinds, or it cannot be told of which.
    """
    kind = _kind(question)
    if kind is Kind.COMMIT:
        with _commits(question) as matchup:
            yield matchup
        return
    if question.head is None:
        what = f"`{question.base}` is {kind.value}, and nothing says what is to be compared with it"
        raise UsageError(what, where="--base", fix="add --head; it can be left out only beside a git revision")
    if question.base == question.head:
        raise UsageError(f"`{question.base}` would be compared with itself", where="--head", fix="give another")
    yield _models(question, question.head) if kind is Kind.MODEL else _variants(question, question.head)


def model_of(name: str) -> Path | None:
    """The graph's file or the artifact's folder that a name means: a path, or an artifact's id in the cache."""
    path = Path(name)
    if path.suffix == _GRAPH and path.is_file():
        return path.resolve()
    folders = [path, cache_directory() / name] if _ARTIFACT.fullmatch(name) else [path]
    return next((folder.resolve() for folder in folders if (folder / MANIFEST_FILE).is_file()), None)


def _kind(question: Question) -> Kind:
    base = question.kinds(question.base)
    head = question.kinds(question.head) if question.head is not None else base
    for name, found in ((question.base, base), (question.head or "", head)):
        if not found:
            raise _unknown(question, name)
    both = base & head
    if question.head is None and Kind.COMMIT in both:
        return Kind.COMMIT
    if not both:
        kinds = [" or ".join(kind.value for kind in Kind if kind in found) for found in (base, head)]
        what = f"`{question.base}` is {kinds[0]}, and `{question.head}` is {kinds[1]}"
        raise UsageError(what, where="--base and --head", fix="give two models, two variants or two revisions")
    if Kind.MODEL not in both and len(both) > 1:
        what = f"`{question.base}` and `{question.head}` are variants of the campaign, and git revisions as well"
        raise UsageError(
            what, where="--base and --head", fix="write the branches as refs/heads/NAME, or rename the variants"
        )
    return next(kind for kind in Kind if kind in both)


def _unknown(question: Question, name: str) -> JoulemarkError:
    """Why a name means nothing, for every kind that was tried."""
    variants, repository = question.variants, question.repository
    there = f"there are {', '.join(variants)}" if isinstance(variants, tuple) else str(variants)
    tried = [
        f"no model: there is no such {_GRAPH} file, artifact's folder or artifact in {cache_directory()}",
        f"no variant: {there}",
    ]
    fix = "check the name"
    if isinstance(repository, Repository):
        unknown = repository.unknown(name)
        tried.append(f"no revision: it names no commit in {repository.root}")
        fix = unknown.fix or fix
    else:
        tried.append(f"no revision: {repository}")
    what = "\n".join([f"`{name}` means nothing here", *(f"  {reason}" for reason in tried)])
    return UsageError(what, where="--base and --head", fix=fix)


def _models(question: Question, head: str) -> Matchup:
    base_model, head_model = (model_of(name) for name in (question.base, head))
    assert base_model is not None, "both names are known to be models"
    assert head_model is not None
    for model in (base_model, head_model):
        _refuse_untrusted(model, trust=question.trust)
    names = [_label(model) for model in (base_model, head_model)]
    sides = (
        SideOrder(role=Role.BASE, model=base_model, name=names[0]),
        SideOrder(role=Role.HEAD, model=head_model, name=names[1]),
    )
    source = question.source if question.source is not None else _campaign_of(base_model)
    return Matchup(
        base=question.base,
        head=head,
        lanes=(_one_lane(question, source, sides),),
        base_variant=names[0] if names[0] != names[1] else None,
    )


def _refuse_untrusted(model: Path, *, trust: bool) -> None:
    """An artifact of somebody else's names the function that makes its network, or is machine code."""
    if model.is_dir() and model.parent != cache_directory().resolve() and not trust:
        engine = read_manifest(model).engine
        if engine != DEFAULT_ENGINES["onnx"]:
            what = f"is an artifact for {engine} from outside the cache: to load it may run code of its author's"
            raise UsageError(what, where=str(model), fix="pass --trust if you trust it (Python: trust=True)")


def _label(model: Path) -> str:
    """What a model is called in the store."""
    return model.name[:8] if _ARTIFACT.fullmatch(model.name) else model.stem if model.is_file() else model.name


def _campaign_of(base: Path) -> Mapping[str, Any]:
    """A campaign about the base's own workload; of a graph, one that asks how far others agree with it."""
    if base.is_dir():
        workload: Any = read_manifest(base).workload
        return {
            "name": workload,
            "workloads": [workload],
            "variants": ["fp32"],
            "scenarios": [{"load": "single-stream"}],
        }
    return {
        "name": base.stem,
        "workloads": [{"name": base.stem, "onnx": str(base)}],
        "variants": ["fp32"],
        "scenarios": [{"load": "single-stream"}],
    }


def _variants(question: Question, head: str) -> Matchup:
    sides = (SideOrder(role=Role.BASE, variant=question.base), SideOrder(role=Role.HEAD, variant=head))
    assert question.source is not None, "a variant is one of a campaign"
    lane = _one_lane(question, question.source, sides)
    return Matchup(base=question.base, head=head, lanes=(lane,), base_variant=question.base)


def against_itself(
    source: Path | Mapping[str, Any], *, overrides: tuple[str, ...] = (), trust: bool = False
) -> Matchup:
    """Both sides are the whole of one campaign, in one lane: what a host does to equal arms."""
    question = Question(base="itself", campaign=source, overrides=overrides, trust=trust)
    sides = (SideOrder(role=Role.BASE), SideOrder(role=Role.HEAD))
    return Matchup(base="itself", head="every arm", lanes=(_one_lane(question, source, sides),))


def _one_lane(question: Question, source: Path | Mapping[str, Any], sides: tuple[SideOrder, ...]) -> LaneOrder:
    here = Path.cwd()
    home = source.parent if isinstance(source, Path) else here
    opening = _opening(question, source, (home, here), sides)
    return LaneOrder(folder=here, opening=opening)


def _opening(
    question: Question, source: Path | Mapping[str, Any], path: tuple[Path, ...], sides: tuple[SideOrder, ...]
) -> Opening:
    own = tuple(dict.fromkeys(map(str, path))) if question.trust else ()
    return Opening(campaign=source, overrides=question.overrides, trust=question.trust, path=own, sides=sides)


@contextmanager
def _commits(question: Question) -> Iterator[Matchup]:
    repository, source = question.repository, question.source
    assert isinstance(repository, Repository), "a revision is one of a repository"
    if not isinstance(source, Path):
        fix = "give a file of the repository, as --campaign bench/campaign.yaml, or name it in the rules"
        raise UsageError("revisions are compared by a campaign's file, which each has", where="--campaign", fix=fix)
    shas = [repository.commit(name) if name is not None else None for name in (question.base, question.head)]
    with ExitStack() as stack:
        roots = [stack.enter_context(repository.worktree(sha)) if sha else repository.root for sha in shas]
        lanes = tuple(
            _tree(question, repository, root, SideOrder(role=role))
            for root, role in zip(roots, (Role.BASE, Role.HEAD), strict=True)
        )
        yield Matchup(
            base=_told(question.base, shas[0]),
            head=_told(question.head, shas[1]) if question.head is not None else _working_tree(repository.root),
            lanes=lanes,
            notes=_notes(repository, shas),
        )


def _tree(question: Question, repository: Repository, root: Path, side: SideOrder) -> LaneOrder:
    """A lane in a tree of the repository: the campaign's file at its place in it, and the tree's own modules."""
    assert isinstance(question.source, Path)
    here = Path.cwd().resolve()
    file = root / question.source.relative_to(repository.root)
    beside = root / here.relative_to(repository.root) if here.is_relative_to(repository.root) else root
    is_own = is_joulemark(root) and repository.root == Path(__file__).resolve().parents[2]
    modules = tuple(folder for folder in (root, root / "src") if folder.is_dir()) if question.trust or is_own else ()
    opening = _opening(question, file, (file.parent, beside), (side,))
    return LaneOrder(folder=root, opening=opening, modules=modules)


def _told(name: str | None, sha: str | None) -> str:
    short = (sha or "")[:_HASH_SHOWN]
    return short if name is None or (sha or "").startswith(name) else f"{name} ({short})"


def _working_tree(root: Path) -> str:
    revision = git_revision(root) or ""
    changes = "with changes" if revision.endswith(_DIRTY) else "without changes"
    return f"the working tree ({revision.removesuffix(_DIRTY)[:_HASH_SHOWN]} {changes})"


def _notes(repository: Repository, shas: list[str | None]) -> tuple[str, ...]:
    notes = []
    if shas[0] == shas[1]:
        notes.append(f"both sides are commit {_told(None, shas[0])}: whatever is found is the host's own")
    if (repository.root / ".gitmodules").is_file():
        notes.append("submodules are empty in the folder of a commit: what needs them fails there")
    return tuple(notes)
