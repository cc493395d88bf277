"""Checks of a task in play: resets, verifier, stillness, evidence, recipes."""

import contextlib
from typing import Any, cast

import numpy as np

from robots.bench.bench import Bench
from robots.bench.findings import Nonconforming
from robots.safety.limits import validated
from robots.safety.table import Condition
from robots.station.children import ChildFailed
from robots.station.tasks import Task
from robots.wire.records import RecipeArchive

RESETS = 2


def power_on(task: Task, station_seed: int, *, sandboxed: bool) -> str:
    """The scene can be placed, with a set-point for each number of the action."""
    with Bench(task, station_seed, sandboxed=sandboxed) as bench:
        setpoint = bench.driver.setpoint()
    return f"set-point {setpoint}"


def reset(bench: Bench) -> str:
    """`reset.py` runs in its sandbox and reaches its post-condition."""
    tries: list[int] = []
    for _ in range(RESETS):
        failed = bench.reset()
        if failed:
            raise Nonconforming(
                f"reset.py: {failed}; it must end within reset_limit_s where `reset_reached` holds"
            )
        tries.append(bench.env.resetter.tries)
    return f"reached {RESETS} times, in {' and '.join(map(str, tries))} tries"


def fault(bench: Bench) -> str:
    """A fresh start breaks no task limit."""
    hook: Any = getattr(bench.driver.simulation, "fault", None)
    if hook is None:
        return "no task limit declared"
    broken = hook(bench.driver.model, bench.driver.data)
    if not isinstance(broken, str):
        raise Nonconforming(f'simulation.py: fault must return a word, "" for none, got {broken!r}')
    if broken:
        raise Nonconforming(f"simulation.py: fault says {broken!r} right after a reset")
    return "none after a reset"


def verify(bench: Bench) -> str:
    """`verify.py` runs in its sandbox on rendered frames and answers in the declared form."""
    images = bench.driver.camera()
    for name, image in images.items():
        if image.min() == image.max():
            raise Nonconforming(f"camera {name}: every pixel is {image.min()}; light the scene")
    try:
        with contextlib.closing(bench.children.verify()) as child:
            verdict = child.call("verify", images, bench.driver.observe()).value
    except ChildFailed as error:
        raise Nonconforming(f"verify.py: {error.reason}: {error.line}") from None
    given = cast("dict[str, object]", verdict) if isinstance(verdict, dict) else {}
    score = given.get("iou", given.get("score"))
    sound = isinstance(score, float | int) and not isinstance(score, bool) and 0.0 <= score <= 1.0
    if not isinstance(given.get("success"), bool) or not sound:
        raise Nonconforming(
            f'verify.py: must return {{"success": bool, "iou" or "score": 0 to 1}}, got {verdict!r}'
        )
    return f"{len(images)} images, success {given['success']}, score {score:.3g}"


def stillness(bench: Bench, episodes: int) -> str:
    """A robot that is only held never succeeds: success takes contact."""
    for number in range(1, episodes + 1):
        failed = bench.reset()
        if failed:
            raise Nonconforming(f"reset.py: {failed}")
        if bench.hold():
            raise Nonconforming(
                f"a robot that was only held succeeded in episode {number}; keep reset targets "
                "away from success, and make `retracted` and verify.py strict"
            )
    return f"{episodes} episodes of holding still, none a success"


def retracted(bench: Bench) -> str:
    """The verifier's gate answers yes or no."""
    for observation in list(bench.env.history):
        answer = cast("object", bench.driver.simulation.retracted(observation))
        if not isinstance(answer, bool | np.bool_):
            raise Nonconforming(f"simulation.py: retracted must return a bool, got {answer!r}")
    return "yes or no"


def evidence(bench: Bench) -> str:
    """An episode's end is told in finite numbers and plain words."""
    history = list(bench.env.history)
    figures: dict[str, Any] = bench.driver.simulation.evidence(history)
    for name, value in figures.items():
        if not np.isfinite(float(value)):
            raise Nonconforming(f"simulation.py: evidence {name!r} is {value}; give finite numbers")
    tags: list[Any] = bench.driver.failure_tags(history)
    if not tags or not all(isinstance(tag, str) and tag.isidentifier() for tag in tags):
        raise Nonconforming(
            f"simulation.py: failure_tags of a failed episode must be words such as near_miss, "
            f"at least one, got {tags!r}"
        )
    return f"{', '.join(figures)}; {', '.join(tags)}"


def recipe(bench: Bench, packed: RecipeArchive | str) -> str:
    """A recipe loads in its sandbox and answers with an action."""
    if isinstance(packed, str):
        raise Nonconforming(packed)
    seen = bench.driver.observe()
    try:
        with contextlib.closing(bench.children.policy(packed)) as policy:
            policy.reset(seen)
            action = policy.act(seen).action
    except ChildFailed as error:
        raise Nonconforming(f"policy.py: {error.reason}: {error.line}") from None
    values = validated(action, bench.task.spec.limits)
    if isinstance(values, Condition):
        raise Nonconforming(f"policy.py: act returned {action!r}: {values.value}")
    return f"{len(packed.files)} files, answers"
