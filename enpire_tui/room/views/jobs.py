"""Training and evaluation of a workspace. Pure."""

import tomllib

from enpire_tui.room.moment import Moment
from enpire_tui.room.text import Line, fit, wrap
from enpire_tui.room.training import Jobs
from enpire_tui.room.views import job_list
from enpire_tui.room.views.pieces import bar, field, title, word
from recipes.jobs.records import JobState
from robots.wire.records import RecipeArchive

RECIPE = "recipe.toml"
MOST_JOBS = 2


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
    told: list[Line] = [field("recipe", kind)]
    told += _training(moment.jobs, width) or _none(width, trained=trained)
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


def _training(jobs: Jobs, width: int) -> list[Line]:
    """Jobs that have not ended, or the last one that has; two lines each."""
    told: list[Line] = []
    for job in jobs.open[:MOST_JOBS] or jobs.ordered[:1]:
        share, loss = job.share or 0.0, job.number("loss")
        works = job.status.state is JobState.RUNNING
        after = job_list.left(job) if works else job_list.took(job)
        figures = "" if loss is None else f"  loss {loss:.4g}"
        told.append(
            (
                word(job.status.state.name, 12),
                (job_list.middle(job.status.job_id, max(4, width - 12)), "bold" if works else ""),
            )
        )
        told.append(
            (
                *bar(share, 10, "good" if works else "faint"),
                (f"{share:5.0%} ", ""),
                (f"{after}{' left' if works else ''}  on {job.box}{figures}".strip(), "dim"),
            )
        )
    more = len(jobs.open) - MOST_JOBS
    return [*told, ((f"and {more} more (4)", "dim"),)] if more > 0 else told


def _none(width: int, *, trained: bool) -> list[Line]:
    why = "none was started" if trained else "none; this recipe has no train.py"
    return [
        ((fit("" if index else "job", 10), "dim"), (part, ""))
        for index, part in enumerate(wrap(why, max(8, width - 10)))
    ]


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
