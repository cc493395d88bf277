"""Between recipes and the population's model: variants read from files, and written to them."""

from collections.abc import Mapping, Sequence

import msgspec

from agents.search import operators
from agents.search.evidence import value_of
from agents.search.knobs import Knob, KnobRefused, Value, read_knobs, set_knobs
from agents.search.operators import POLICY_FILE
from agents.search.population import REACH, Change, Model, Proposed, Space, Variant
from agents.view import BatchView
from robots.wire.records import Frozen, Outcome

# What one shared variant may claim to have run.
MOST_VALUES = 64
SURVEY_NAME = "survey.json"
SURVEY_PATH = f"notes/{SURVEY_NAME}"
ALTERNATIVES = 8
# Gain in value an episode, as the model expects it, from which a part stands alone.
SHOWN_GAIN = 0.25
MOST_CHANGES = 4


def space_of(files: Mapping[str, bytes]) -> Space:
    """What may be varied about a champion: its knobs, and every primitive with its own."""
    library = operators.fitting(files)
    knobs = {name: knob for name, knob in read_knobs(files).items() if knob.numeric}
    for primitive in library:
        for name, own in primitive.knobs.items():
            if own.low is not None and own.high is not None and name not in knobs:
                knobs[name] = Knob(
                    name=name,
                    value=own.value,
                    low=own.low,
                    high=own.high,
                    log=own.scale == "log",
                    integer=own.integer,
                    tags=primitive.tags,
                )
    return Space(
        primitives={item.name: tuple(item.knobs) for item in library},
        conflicts=tuple(
            (one.name, other.name)
            for one in library
            for other in library
            if one.name < other.name and {*one.replaces} & {*other.replaces}
        ),
        knobs=knobs,
        tags={item.name: item.tags for item in library}
        | {name: knob.tags for name, knob in knobs.items()},
    )


def variant_of(files: Mapping[str, bytes], values: Sequence[float] = ()) -> Variant:
    """A recipe as the model sees it."""
    knobs = read_knobs(files)
    return Variant(
        primitives=tuple(operators.carried(files)) if POLICY_FILE in files else (),
        places={name: knob.to_unit(knob.value) for name, knob in knobs.items() if knob.numeric},
        values=tuple(values),
    )


def variants_of(batches: Sequence[BatchView]) -> list[Variant]:
    """The explored population; recipes that cannot be read leave no variant."""
    found: list[Variant] = []
    for batch in batches:
        counted = [each for each in batch.episodes if each.outcome is not Outcome.VOID]
        if batch.recipe is None or not counted:
            continue
        try:
            found.append(variant_of(batch.recipe.files, [value_of(each) for each in counted]))
        except (KnobRefused, SyntaxError, UnicodeDecodeError):
            continue
    return found


def model_of(
    files: Mapping[str, bytes], variants: Sequence[Variant], reach: float = REACH
) -> Model:
    """What the population says, seen from a champion."""
    return Model(space_of(files), variants, reach)


class Survey(Frozen):
    """What one idea explored, as the file in which agents share it."""

    idea_id: str
    variants: tuple[Variant, ...]


def write_survey(idea_id: str, variants: Sequence[Variant]) -> dict[str, bytes]:
    """What an idea explored, as notes beside its recipe."""
    content = msgspec.json.encode(Survey(idea_id=idea_id, variants=tuple(variants)))
    return {SURVEY_NAME: msgspec.json.format(content, indent=1)}


def read_survey(content: bytes) -> Survey | None:
    """A peer's survey, without variants that say impossible things; None if it is no survey."""
    try:
        found = msgspec.json.decode(content, type=Survey)
    except msgspec.DecodeError:
        return None
    sound = tuple(variant for variant in found.variants if _is_sound(variant))
    return msgspec.structs.replace(found, variants=sound)


def _is_sound(variant: Variant) -> bool:
    places = all(0.0 <= place <= 1.0 for place in variant.places.values())
    values = all(-1.0 <= value <= 1.0 for value in variant.values)
    return places and values and len(variant.values) <= MOST_VALUES


def alternatives(proposed: Proposed, champion: Variant) -> list[Proposed]:
    """A proposal in parts, the most promising first; agents of like mind then share the work.

    A part is no larger than it must be: an idea of many changes teaches little when it fails, and a
    gain that is too small cannot be shown on a hundred episodes.
    """
    parts: list[tuple[Change, ...]] = []
    part: tuple[Change, ...] = ()
    for change in proposed.changes:
        part = (*part, change)
        if len(part) == MOST_CHANGES or sum(each.gain for each in part) >= SHOWN_GAIN:
            parts.append(part)
            part = ()
    if part:
        parts.append(part)
    return [_part(proposed, champion, part) for part in parts[:ALTERNATIVES]]


def signs(proposed: Proposed, champion: Model) -> str:
    """A proposal in coarse words: what comes, what goes, which knob moves up or down."""
    return " ".join(
        sorted(
            f"{change.what} {champion.direction(proposed, change)}" for change in proposed.changes
        )
    )


def _part(proposed: Proposed, champion: Variant, kept: tuple[Change, ...]) -> Proposed:
    words = {change.what for change in kept}
    primitives = {
        *(name for name in champion.primitives if f"remove {name}" not in words),
        *(name for name in proposed.primitives if f"insert {name}" in words),
    }
    return Proposed(
        primitives=tuple(sorted(primitives)),
        places=proposed.places,
        changes=kept,
        gain=sum(change.gain for change in kept),
    )


def files_of(
    proposed: Proposed,
    champion: Mapping[str, bytes],
    original: Mapping[str, bytes],
    space: Space,
    *,
    only: Sequence[Change] | None = None,
) -> dict[str, bytes]:
    """A proposal as a recipe.

    Args:
        proposed: Primitives and knob positions.
        champion: Files that are changed.
        original: The run's baseline, whose methods return when a primitive is removed.
        space: What the positions refer to.
        only: Parts that are carried out; a primitive that comes in brings its knobs' moves.
    """
    files = dict(champion)
    present = operators.carried(files)
    for name in present:
        if name not in proposed.primitives:
            files = operators.apply(f"remove:{name}", files, original)
    for name in proposed.primitives:
        if name not in present:
            files = operators.apply(f"insert:{name}", files, original)
    wanted = None if only is None else {change.what for change in only}
    knobs = read_knobs(files)
    values: dict[str, Value] = {}
    for name, place in proposed.places.items():
        owner = space.owner(name)
        fresh = bool(owner) and owner not in present
        if name in knobs and (wanted is None or fresh or f"move {name}" in wanted):
            values[name] = space.knobs[name].from_unit(place)
    return set_knobs(files, values)
