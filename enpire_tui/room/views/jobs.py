"""Training and evaluation of a workspace. Pure."""

import tomllib

from enpire_tui.room.moment import Moment
from enpire_tui.room.text import Line, fit, wrap
from enpire_tui.room.views.pieces import bar, field, title
from robots.wire.records import RecipeArchive

RECIPE = "recipe.toml"


def regime(recipe: RecipeArchive) -> str:
    """What a recipe says of how its policy is made; "" if it does not say."""
    try:
        told = tomllib.loads(recipe.files.get(RECIPE, b"").decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        return ""
    value = told.get("regime", "")
    return value if isinstance(value, str) else ""


def lines(moment: Moment, name: str, width: int) -> list[Line]:
    """The pane: the training job, then the evaluations of this station in progress."""
    spec = moment.state.spec
    kind = regime(spec.baseline) or "not said"
    trained = "train.py" in spec.baseline.files
    why = "none was started" if trained else "none; this recipe has no train.py"
    told: list[Line] = [field("recipe", kind)]
    told += [
        ((fit("" if index else "job", 10), "dim"), (part, ""))
        for index, part in enumerate(wrap(why, max(8, width - 10)))
    ]
    told.append(title("evaluations", width))
    told += _evaluations(moment, name, width) or [(("none", "dim"),)]
    waiting = [each for each in moment.state.run.candidates.values() if each.phase in _OPEN]
    if waiting:
        told.append(title("candidates", width))
        told += [
            (
                (fit(each.idea_id, 9), ""),
                (fit(each.phase.lower(), 11), "work"),
                (fit(f"{each.screen.success}/{each.screen.episodes}", 7), "dim"),
                (f"{each.promote.success}/{each.promote.episodes}", ""),
            )
            for each in waiting
        ]
    return told


_OPEN = ("PROPOSED", "SCREENING", "PROMOTING")


def _evaluations(moment: Moment, name: str, width: int) -> list[Line]:
    run, fold = moment.state.run, moment.station(name).fold
    told: list[Line] = []
    for known in fold.open.values():
        batch = run.batches.get(known.batch_id)
        what = batch.stage if batch is not None else known.purpose.value
        done, of = known.done, max(1, known.episodes)
        tone = "good" if known.running else "faint"
        told.append(
            (
                (fit(what, 9), "" if known.running else "dim"),
                (fit(known.idea_id, 8), "bold" if known.running else "dim"),
                *bar(done / of, max(4, width - 26), tone),
                (fit(f"{done}/{known.episodes}", 8, right=True), ""),
            )
        )
    return told
