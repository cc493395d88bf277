"""The model over the explored population: it finds what mattered, and stays near the champion."""

import numpy as np
import pytest

from agents.search import operators, surveys
from agents.search.knobs import Knob, read_knobs
from agents.search.population import REACH, Model, Space, Variant
from agents.view import StationView
from robots.station.archive import sha256
from robots.wire.events import BatchAccepted, BatchFinished, EpisodeFinished
from robots.wire.records import Counts, Episode, Outcome, Purpose, RecipeArchive
from tests.agents.test_search import baseline

SPACE = Space(
    primitives={"good": ("good_knob",), "bad": (), "rival": (), "idle": ()},
    conflicts=(("good", "rival"),),
    knobs={
        "speed": Knob(name="speed", value=0.3, low=0.0, high=1.0),
        "angle": Knob(name="angle", value=0.5, low=0.0, high=1.0),
        "good_knob": Knob(name="good_knob", value=0.5, low=0.0, high=1.0),
    },
    tags=dict.fromkeys(("good", "bad", "rival", "speed", "angle", "good_knob"), ("late",)),
)
LATE = {"late": 1.0}
CHAMPION = Variant(primitives=(), places={"speed": 0.3, "angle": 0.5})


def truth(variant: Variant) -> float:
    """Best with `good`, without `bad`, at speed 0.5; `rival` is good, but less."""
    carried = set(variant.primitives)
    gain = 0.3 * ("good" in carried) + 0.15 * ("rival" in carried) - 0.3 * ("bad" in carried)
    return 0.2 + gain - 2.0 * (variant.places["speed"] - 0.5) ** 2


def explored(count: int, seed: int) -> list[Variant]:
    rng = np.random.default_rng(seed)
    found: list[Variant] = []
    for _ in range(count):
        proposed = Model(SPACE, found).vary(CHAMPION, rng, LATE)
        variant = Variant(
            primitives=proposed.primitives, places={**CHAMPION.places, **proposed.places}
        )
        noise = rng.normal(0.0, 0.3, size=4)
        values = tuple(float(truth(variant) + each) for each in noise)
        found.append(Variant(primitives=variant.primitives, places=variant.places, values=values))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_survey_finds_what_mattered(seed: int) -> None:
    proposed = Model(SPACE, explored(48, seed)).best(CHAMPION)

    assert "good" in proposed.primitives
    assert "bad" not in proposed.primitives
    assert "rival" not in proposed.primitives
    assert proposed.places["speed"] == pytest.approx(0.3 + REACH, abs=0.05)
    assert proposed.changes[0].what in ("insert good", "move speed")
    assert proposed.gain > 0.2


def test_a_proposal_stays_within_reach() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        proposed = Model(SPACE, []).vary(CHAMPION, rng, LATE)
        for name, place in proposed.places.items():
            centre = SPACE.knobs[name].to_unit(SPACE.knobs[name].value)
            assert 0.0 <= place <= 1.0
            assert abs(place - centre) <= REACH + 1e-9
        assert not {"good", "rival"} <= set(proposed.primitives)


def test_what_claims_to_cure_the_failures_that_are_seen_is_tried_more_often() -> None:
    rng = np.random.default_rng(3)
    model = Model(SPACE, [])

    def tried(failures: dict[str, float]) -> dict[str, int]:
        drawn = [model.vary(CHAMPION, rng, failures) for _ in range(300)]
        return {name: sum(name in each.primitives for each in drawn) for name in SPACE.primitives}

    seen, unseen = tried(LATE), tried({"early": 1.0})
    assert seen["good"] > 2 * unseen["good"] > 0
    assert seen["good"] > 2 * seen["idle"] > 0


def test_a_primitive_that_hurts_is_taken_out_again() -> None:
    champion = Variant(primitives=("bad",), places=CHAMPION.places)
    variants = explored(40, 5)

    proposed = Model(SPACE, variants).best(champion)

    assert "bad" not in proposed.primitives
    assert any(change.what == "remove bad" for change in proposed.changes)


def test_the_same_seed_draws_the_same_variants() -> None:
    variants = explored(10, 2)
    one = Model(SPACE, variants).vary(CHAMPION, np.random.default_rng(9), LATE)
    other = Model(SPACE, variants).vary(CHAMPION, np.random.default_rng(9), LATE)

    assert one == other


# --- from files and to files --------------------------------------------------------------------


def test_variants_become_recipes_that_say_what_was_drawn() -> None:
    files = baseline()
    space = surveys.space_of(files)
    model = surveys.model_of(files, [])
    champion = surveys.variant_of(files)
    rng = np.random.default_rng(4)

    for _ in range(4):
        proposed = model.vary(champion, rng, {"timeout": 1.0})
        changed = surveys.files_of(proposed, files, files, space)

        compile(changed["policy.py"], "policy.py", "exec")
        assert set(operators.carried(changed)) == set(proposed.primitives)
        knobs = read_knobs(changed)
        for name, place in proposed.places.items():
            # Integers and rounding move a place a little.
            step = 1.0 / (knobs[name].high - knobs[name].low) if knobs[name].integer else 0.01
            assert knobs[name].to_unit(knobs[name].value) == pytest.approx(place, abs=step)


def test_parts_of_a_proposal_change_nothing_else() -> None:
    files = baseline()
    space = surveys.space_of(files)
    champion = surveys.variant_of(files)
    model = surveys.model_of(files, [])
    proposed = model.vary(champion, np.random.default_rng(2), {"timeout": 1.0})

    parts = surveys.alternatives(proposed, champion)

    found = [change for part in parts for change in part.changes]
    assert found == list(proposed.changes[: len(found)])
    for part in parts[:-1]:
        enough = part.gain >= surveys.SHOWN_GAIN
        assert enough or len(part.changes) == surveys.MOST_CHANGES
        # No larger than it must be.
        assert sum(each.gain for each in part.changes[:-1]) < surveys.SHOWN_GAIN
    first = parts[0]
    changed = surveys.files_of(first, files, files, space, only=first.changes)
    words = {change.what for change in first.changes}
    moved = {f"move {name}" for name in operators.changed_knobs(files, changed)}
    inserted = {f"insert {name}" for name in operators.carried(changed)}
    assert moved | inserted <= words
    assert surveys.signs(first, model) != surveys.signs(parts[1], model)


def test_the_stations_journal_is_the_population() -> None:
    view = StationView("a1")
    files = baseline()
    recipe = RecipeArchive(files=files, sha256=sha256(files))
    for batch_id in ("a1-1/x0", "a2-1/x0", "r1/a1-1/screen/1"):
        view.apply(
            BatchAccepted(
                batch_id=batch_id,
                purpose=Purpose.EXPLORE,
                commit="c",
                idea_id="a1-1",
                recipe=recipe,
                episodes=2,
                seeds=(1, 2),
                stop_at_failure=False,
                record=False,
                requested_by="a1",
            )
        )
        for index in range(2):
            episode = Episode(index=index, outcome=Outcome.SUCCESS, reason="verified", seed=index)
            view.apply(EpisodeFinished(batch_id=batch_id, episode=episode))
        view.apply(
            BatchFinished(
                batch_id=batch_id,
                purpose=Purpose.EXPLORE,
                commit="c",
                idea_id="a1-1",
                counts=Counts(success=2),
                void=False,
                void_reason="",
                seconds=1.0,
                ledger_sha256="",
            )
        )

    (variant,) = surveys.variants_of(view.explored())

    assert variant.values == (1.0, 1.0)
    assert variant.primitives == ()
    assert set(variant.places) == {name for name, knob in read_knobs(files).items() if knob.numeric}
    assert view.explored(0) == []


def test_a_survey_is_shared_as_a_file() -> None:
    variants = tuple(explored(4, 3))
    (content,) = surveys.write_survey("a1-1", variants).values()

    assert surveys.read_survey(content) == surveys.Survey(idea_id="a1-1", variants=variants)


@pytest.mark.parametrize("content", [b"", b"\xff", b'{"variants": []}', b"[]"])
def test_a_peers_file_that_is_no_survey_says_nothing(content: bytes) -> None:
    assert surveys.read_survey(content) is None


@pytest.mark.parametrize(
    "variant",
    [
        b'{"primitives": [], "places": {"speed": 7.0}, "values": [1.0]}',
        b'{"primitives": [], "places": {}, "values": [1e9]}',
        b'{"primitives": [], "places": {}, "values": [' + b"1.0," * 100 + b"1.0]}",
    ],
)
def test_a_peers_variant_that_says_impossible_things_is_left_out(variant: bytes) -> None:
    sound = b'{"primitives": [], "places": {"speed": 0.7}, "values": [1.0]}'
    survey = surveys.read_survey(b'{"idea_id": "a2-1", "variants": [%b, %b]}' % (variant, sound))

    assert survey is not None
    assert [each.places for each in survey.variants] == [{"speed": 0.7}]


def test_weights_that_many_batches_carry_are_held_once() -> None:
    view = StationView("a1")
    for number in range(2):
        # As they come off the wire: equal, and not the same.
        files = {"weights.npz": bytes(bytearray(b"large")), "recipe.toml": str(number).encode()}
        view.apply(
            BatchAccepted(
                batch_id=f"a1-1/x{number}",
                purpose=Purpose.EXPLORE,
                commit="c",
                idea_id="a1-1",
                recipe=RecipeArchive(files=files, sha256=sha256(files)),
                episodes=1,
                seeds=(1,),
                stop_at_failure=False,
                record=False,
                requested_by="a1",
            )
        )
    batches = [view.batch(f"a1-1/x{number}") for number in range(2)]
    first, second = (each.recipe.files for each in batches if each and each.recipe)
    assert first["weights.npz"] is second["weights.npz"]
    assert first["recipe.toml"] != second["recipe.toml"]
