"""Operators: what a search agent can do to a recipe, each a named arm with its hypothesis. Pure.

Names: `insert:PRIMITIVE`, `remove:PRIMITIVE`, `switch:KNOB=CHOICE`, `move:KNOB=up` (of
one that learns, without training it again), `combine:ARM+ARM`, `tune:cmaes`,
`survey:mixtures` (many variants for the model), `model:mean` (what the model holds best),
`carry:IDEA` (what an own numeric search found for a champion since succeeded), `adopt:IDEA`.
What changes files alone is done by `apply`.
"""

import ast
import json
import textwrap
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from agents.ideas import claim_fingerprint
from agents.search import settings
from agents.search.credit import Arm
from agents.search.knobs import RECIPE_FILE, KnobRefused, Value, read_knobs, set_knobs
from agents.search.state import Carry, Promise
from agents.tools.calls import IdeaKind
from agents.view import Champion, RunView
from robots.wire.records import Frozen

if TYPE_CHECKING:
    from agents.search.primitives import Primitive

POLICY_FILE = "policy.py"

INSERT_GAIN = 0.06
SWITCH_GAIN = 0.02
REMOVE_GAIN = -0.02
TUNE_GAIN = 0.06
ADOPT_GAIN = 0.20
ADOPT_SHARE = 0.7
MODEL_GAIN = 0.25
SURVEY_GAIN = 0.3
STRUCTURAL_MINUTES = 8.0
TUNE_MINUTES = 30.0
CARRIED = 0.7
ADOPT_EPISODES = 20
MOST_COMBINED = 4


class Proposal(Frozen):
    """An idea in words, before any code."""

    kind: IdeaKind
    hypothesis: str
    prediction: str


def split(arm: str) -> tuple[str, str]:
    """Operator and target of an arm's name."""
    operator, _, target = arm.partition(":")
    return operator, target


def structural_arms(files: Mapping[str, bytes], original: Mapping[str, bytes]) -> list[Arm]:
    """Arms that change code or switches of a recipe.

    Args:
        files: The champion.
        original: The run's baseline, whose methods return when a primitive is removed.
    """
    library = fitting(files)
    present = carried(files) if library else []
    arms: list[Arm] = []
    for primitive in library:
        if primitive.name not in present:
            name = f"insert:{primitive.name}"
            arms.append(_arm(name, INSERT_GAIN, primitive.tags))
        elif original:
            arms.append(_arm(f"remove:{primitive.name}", REMOVE_GAIN))
    for knob in read_knobs(files).values():
        for choice in knob.choices:
            if choice != knob.value:
                target = f"{knob.name}={json.dumps(choice)}"
                arms.append(_arm(f"switch:{target}", SWITCH_GAIN))
    return arms + settings.moving_arms(files)


def _arm(name: str, gain: float, tags: tuple[str, ...] = ()) -> Arm:
    return Arm(name=name, prior_gain=gain, minutes=STRUCTURAL_MINUTES, tags=tags)


def adoption_arms(run: RunView, champion: Champion, taken: Collection[str]) -> list[Arm]:
    """Ideas that were better than the champion they changed, and were outrun by another.

    Two good ideas at once are both measured against whichever is adopted first; the other is not
    in it, and may add to it.
    """
    arms: list[Arm] = []
    for idea_id, standing in run.ideas.items():
        name = f"adopt:{idea_id}"
        measured = standing.decision == "discarded" and standing.episodes >= ADOPT_EPISODES
        changed = run.reigned.get(standing.idea.parent)
        # On the base that it changed already it would be the same trial again.
        again = standing.idea.parent == champion.idea_id
        if not measured or not standing.idea.commit or name in taken or again or changed is None:
            continue
        gain = standing.success / standing.episodes - changed.rate
        if gain > 0 and not run.same_trial(mark(name, champion.commit), ""):
            arms.append(_arm(name, min(ADOPT_SHARE * gain, ADOPT_GAIN)))
    return arms


def combination_arms(promises: Sequence[Promise], taken: Collection[str]) -> list[Arm]:
    """Changes that each looked good alone, put together: the best two, three and four."""
    ranked = sorted(promises, key=lambda promise: -promise.gain)
    arms: list[Arm] = []
    for count in range(2, min(len(ranked), MOST_COMBINED) + 1):
        parts = ranked[:count]
        name = "combine:" + "+".join(sorted(promise.arm for promise in parts))
        if name not in taken:
            arms.append(_arm(name, 0.6 * sum(promise.gain for promise in parts)))
    return arms


def carry_arms(carries: Mapping[str, Carry], taken: Collection[str]) -> list[Arm]:
    """Numeric findings that came too late, tried on the present champion."""
    named = [(f"carry:{idea_id}", carry) for idea_id, carry in carries.items()]
    return [_arm(name, CARRIED * carry.gain) for name, carry in named if name not in taken]


def mark(arm: str, base: str) -> str:
    """What is claimed when an arm is tried on a base: the same trial has the same mark."""
    return claim_fingerprint(base, arm)


def apply(arm: str, files: Mapping[str, bytes], original: Mapping[str, bytes]) -> dict[str, bytes]:
    """The recipe after a structural arm.

    Raises:
        KnobRefused: The arm does not fit this recipe (any more).
    """
    operator, target = split(arm)
    match operator:
        case "insert":
            return _insert(target, files, original)
        case "remove":
            return _remove(target, files, original)
        case "switch":
            name, _, choice = target.partition("=")
            value: Value = json.loads(choice)
            return set_knobs(files, {name: value})
        case "move":
            return set_knobs(files, settings.moved(files, target))
        case "combine":
            changed = dict(files)
            for part in target.split("+"):
                changed = apply(part, changed, original)
            return changed
        case _:
            raise KnobRefused(f"{arm} is no structural arm")


def propose(arm: str, tags: Mapping[str, float], knobs: Sequence[str] = ()) -> Proposal:
    """What an arm is believed to do, and what should be seen if that is so."""
    operator, target = split(arm)
    common = max(tags, key=lambda tag: tags[tag], default="") if tags else ""
    seen = f"; failures are now mostly {common!r}" if common else ""
    match operator:
        case "insert":
            cures = _primitive_tags(target)
            prediction = "more successes than the champion"
            if cures:
                prediction = f"fewer failures tagged {', '.join(cures)}; {prediction}"
            return Proposal(
                kind="heuristic",
                hypothesis=f"{_primitive_words(target)}{seen}",
                prediction=prediction,
            )
        case "remove":
            return Proposal(
                kind="ablation",
                hypothesis=f"The champion does not need {target}: without it it is as good or better",
                prediction="no fewer successes than the champion",
            )
        case "switch" | "move":
            return Proposal(
                kind="heuristic",
                hypothesis=f"The setting {target} suits the task better{seen}",
                prediction="more successes than the champion",
            )
        case "combine":
            return Proposal(
                kind="heuristic",
                hypothesis=f"Each looked good alone, together they add up: {target}",
                prediction="more successes than the champion, and than each part,",
            )
        case "carry":
            return Proposal(
                kind="heuristic",
                hypothesis=f"The values that {target} found help the present champion as well",
                prediction="more successes than the champion",
            )
        case "survey":
            return Proposal(
                kind="data",
                hypothesis="Many changes at once, in many mixtures, tell which of them matter",
                prediction="a model of these episodes names a change that beats the champion",
            )
        case "adopt":
            return Proposal(
                kind="heuristic",
                hypothesis=f"What {target} changed adds to the present champion",
                prediction="more successes than the champion alone",
            )
        case _:
            return Proposal(
                kind="algorithm",
                hypothesis=f"CMA-ES over {', '.join(knobs)} finds better values than the champion's{seen}",
                prediction="the search's centre beats the champion on seeds that it was not tuned on",
            )


def carried(files: Mapping[str, bytes]) -> list[str]:
    """Names of the primitives whose methods stand in a recipe as they were written.

    Compared as syntax trees of the standard library: many times cheaper than libcst, which is
    needed only to edit.
    """
    if settings.learns(files):
        return []
    from agents.search import primitives

    present = _methods(files.get(POLICY_FILE, b"").decode())
    found: list[str] = []
    for primitive in primitives.load():
        wanted = _methods(f"class Policy:\n{textwrap.indent(primitive.code, '    ')}")
        if all(present.get(name) == method for name, method in wanted.items()):
            found.append(primitive.name)
    return found


def fitting(files: Mapping[str, bytes]) -> "list[Primitive]":
    """Primitives for policies of this make: each replaces a method that stands there.

    They are code for policies written by hand; what a learned one calls by the same name is another
    thing.
    """
    if settings.learns(files):
        return []
    from agents.search import primitives

    try:
        methods = _methods(files.get(POLICY_FILE, b"").decode())
    except (KnobRefused, SyntaxError):
        return []
    return [each for each in primitives.load() if methods.keys() & set(each.replaces)]


def changed_knobs(base: Mapping[str, bytes], files: Mapping[str, bytes]) -> dict[str, Value]:
    """Knobs that both recipes have and whose values differ, as the second has them."""
    before, after = read_knobs(base), read_knobs(files)
    return {
        name: knob.value
        for name, knob in after.items()
        if name in before and before[name].value != knob.value
    }


def graft(
    before: Mapping[str, bytes],
    after: Mapping[str, bytes],
    files: Mapping[str, bytes],
    original: Mapping[str, bytes],
) -> dict[str, bytes]:
    """What one change did (primitives that came and went, knobs that moved), done to a recipe.

    For changes that Git cannot apply because two of them touch the same lines of a list.
    """
    changed = dict(files)
    came = [name for name in carried(after) if name not in carried(before)]
    went = [name for name in carried(before) if name not in carried(after)]
    for name in went:
        if name in carried(changed):
            changed = apply(f"remove:{name}", changed, original)
    for name in came:
        changed = apply(f"insert:{name}", changed, original)
    old, new = read_knobs(before), read_knobs(after)
    moved = {
        name: knob.value
        for name, knob in new.items()
        if name not in old or old[name].value != knob.value
    }
    return transplant(moved, changed)


def transplant(values: Mapping[str, Value], files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Knob values found on one champion put into another, as far as it has these knobs."""
    present = read_knobs(files)
    return set_knobs(files, {name: value for name, value in values.items() if name in present})


def _insert(
    name: str, files: Mapping[str, bytes], original: Mapping[str, bytes]
) -> dict[str, bytes]:
    from agents.search import primitives

    primitive = _primitive(name)
    source, recipe = files[POLICY_FILE].decode(), files[RECIPE_FILE].decode()
    present = carried(files)
    for other in primitives.load():
        # Two primitives that replace the same method cannot stand together: the new one supersedes.
        if other.name in present and primitives.conflicts(primitive, other):
            source = primitives.remove(source, other, original[POLICY_FILE].decode())
            recipe = primitives.remove_knobs(recipe, other)
    source = primitives.insert(source, primitive)
    recipe = primitives.insert_knobs(recipe, primitive)
    return {**files, POLICY_FILE: source.encode(), RECIPE_FILE: recipe.encode()}


def _remove(
    name: str, files: Mapping[str, bytes], original: Mapping[str, bytes]
) -> dict[str, bytes]:
    from agents.search import primitives

    primitive = _primitive(name)
    source = files[POLICY_FILE].decode()
    if name not in carried(files):
        raise KnobRefused(f"the recipe does not carry {name}")
    source = primitives.remove(source, primitive, original[POLICY_FILE].decode())
    recipe = primitives.remove_knobs(files[RECIPE_FILE].decode(), primitive)
    return {**files, POLICY_FILE: source.encode(), RECIPE_FILE: recipe.encode()}


@lru_cache(maxsize=256)
def _methods(source: str) -> Mapping[str, str]:
    """Methods of `class Policy`, each as its syntax tree in text; comments and layout fall out."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == "Policy":
            return {
                method.name: ast.dump(method)
                for method in node.body
                if isinstance(method, ast.FunctionDef)
            }
    raise KnobRefused(f"{POLICY_FILE} has no `class Policy`")


def _primitive(name: str) -> "Primitive":
    from agents.search import primitives

    for primitive in primitives.load():
        if primitive.name == name:
            return primitive
    raise KnobRefused(f"there is no primitive {name!r}")


def _primitive_tags(name: str) -> tuple[str, ...]:
    return _primitive(name).tags


def _primitive_words(name: str) -> str:
    return str(_primitive(name).hypothesis).rstrip(".")
