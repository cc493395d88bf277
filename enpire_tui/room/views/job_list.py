"""Training jobs: a row a job, and of the chosen one its figures, checkpoints and log. Pure."""

from enpire_tui.room.text import ELLIPSIS, Line, Span, cut, fit, wrap
from enpire_tui.room.training import JobDetail, Jobs, JobSeen
from enpire_tui.room.views import plot
from enpire_tui.room.views.pieces import Column, bar, clock, header_of, shown, spread, word
from recipes.jobs.records import JobState, Use

GIB = 1 << 30
GAP = " "
NAME = 10


COLUMNS = (
    Column("state", 12, 0),
    Column("job", 0, 0),
    Column("box", 8, 66),
    Column("recipe", 12, 110),
    Column("progress", 12, 0),
    Column("done", 4, 0, right=True),
    Column("rate", 9, 66, right=True),
    Column("left", 7, 0, right=True),
    Column("loss", 9, 96, right=True),
    Column("CPU", 5, 96, right=True),
    Column("GPU", 5, 110, right=True),
)
WORDS = {state: state.name for state in JobState}


def header(width: int) -> Line:
    """Names of the columns."""
    return header_of(COLUMNS, width)


def rows(jobs: Jobs, width: int) -> list[tuple[str, Line]]:
    """Rows by the job's key: those that work first, then the newest."""
    return [(each.key, row(each, width)) for each in jobs.ordered]


def row(job: JobSeen, width: int) -> Line:
    """A job's row."""
    status, works = job.status, job.status.state is JobState.RUNNING
    share, use = job.share, status.use if works else None
    quiet = "dim" if status.state.ended else ""
    loss = job.number("loss")
    values: dict[str, Span] = {
        "job": (status.job_id, quiet or "bold"),
        "box": (job.box, quiet),
        "recipe": (status.recipe or "-", "dim"),
        "done": ("-" if share is None else f"{share:.0%}", quiet),
        "rate": (rate(job) if works else "", "dim"),
        "left": (left(job) if works else took(job), "" if works else "dim"),
        "loss": ("-" if loss is None else f"{loss:.4g}", quiet),
        "CPU": ("-" if use is None else f"{use.cpus:.1f}", "dim"),
        "GPU": (gpu(use), "dim"),
    }
    spans: list[Span] = []
    for index, (column, wide) in enumerate(shown(COLUMNS, width)):
        gap = GAP if index else ""
        if column.name == "state":
            spans.append(word(WORDS[status.state], wide))
        elif column.name == "progress":
            tone = "good" if works else "bad" if status.state is JobState.FAILED else "faint"
            spans += [(gap, ""), *bar(share or 0.0, wide, tone)]
        else:
            text, tone = values[column.name]
            text = middle(text, wide) if column.name == "job" else text
            spans.append((gap + fit(text, wide, right=column.right), tone))
    return tuple(spans)


def rate(job: JobSeen) -> str:
    """Steps a second, or seconds a step where they are slow."""
    hz = job.number("rate_hz")
    if not hz:
        return "-"
    return f"{hz:.3g}/s" if hz >= 1.0 else f"{1.0 / hz:.3g} s"


def left(job: JobSeen) -> str:
    """Time left, as the training code reckons it."""
    seconds = job.number("seconds_left")
    return "-" if seconds is None else span(seconds)


def took(job: JobSeen) -> str:
    """How long a job ran that runs no longer."""
    return span(job.status.seconds) if job.status.state.ended and job.status.seconds else ""


def span(seconds: float) -> str:
    """A duration in at most seven cells."""
    if seconds < 3600.0:
        return clock(seconds)
    hours, minutes = divmod(round(seconds / 60.0), 60)
    return f"{hours}h{minutes:02d}" if hours < 100 else f"{hours / 24:.0f}d"


def gpu(use: Use | None) -> str:
    """Mean use of the box's GPUs."""
    if use is None or not use.gpus:
        return "-"
    return f"{sum(busy for busy, _ in use.gpus) / len(use.gpus):.0%}"


def nothing(jobs: Jobs) -> list[Line]:
    """What stands where no job is."""
    if not jobs.asked and not jobs.faults:
        return [(("asking the boxes", "dim"),)]
    return [
        (
            ("no training jobs; ", "dim"),
            ("enpire-tui train RECIPE --task TASK", ""),
            (" starts one", "dim"),
        )
    ]


def heading(jobs: Jobs, width: int) -> str:
    """How many there are, and which boxes tell nothing now and why."""
    faults = [
        text if text.startswith(box) else f"{box}: {text}" for box, text in jobs.faults.items()
    ]
    return cut("; ".join([f"{len(jobs.open)} open of {len(jobs.seen)} jobs", *faults]), width)


def facts(job: JobSeen, detail: JobDetail | None, width: int) -> list[Line]:
    """The job in words, three lines: how it stands and what it kept, how far it is, its use."""
    status = job.status
    state = word(WORDS[status.state], 12)
    why = status.detail or (f"on {job.box}" + (f", {status.recipe}" if status.recipe else ""))
    step, steps = job.number("step"), job.number("steps")
    far = f"step {step:,.0f} of {steps:,.0f}, {span(status.seconds)} so far" if steps else ""
    if status.state.ended:
        far = far.replace(" so far", " in all")
    return [
        spread((state, (why, state[1] if _bad(job) else "")), _checkpoints(job), width),
        ((fit("progress", NAME), "dim"), (far or "none told yet", "")),
        _use(detail, job, width),
    ]


def middle(text: str, width: int) -> str:
    """A name cut in its middle: its beginning says what, its end which."""
    if len(text) <= width:
        return text
    end = max(0, (width - 1) // 2)
    return f"{text[: width - 1 - end]}{ELLIPSIS}{text[len(text) - end :]}"


def _bad(job: JobSeen) -> bool:
    return job.status.state in (JobState.FAILED, JobState.LOST, JobState.UNKNOWN)


def _checkpoints(job: JobSeen) -> Line:
    """Best and last first; then how many there are."""
    names = [each.removesuffix(".safetensors") for each in job.status.checkpoints]
    spans: list[Span] = []
    if not names:
        return (("no checkpoint yet", "dim"),)
    best = "best" in names
    spans += [("★ best", "good"), ("  ", "")] if best else []
    newest = next((each for each in reversed(names) if each != "best"), "")
    spans += [(f"{newest}", "")] if newest else []
    more = len(names) - best - bool(newest)
    spans += [(f"  and {more} more", "dim")] if more else []
    if job.status.policy:
        spans.append(("  policy", "good"))
    return tuple(spans)


def _use(detail: JobDetail | None, job: JobSeen, width: int) -> Line:
    """CPU and GPU now, each with what it was like before."""
    use = job.status.use
    head: Span = (fit("use", NAME), "dim")
    if use is None:
        return (head, ("not sampled yet", "dim"))
    uses = list(detail.uses) if detail is not None else []
    wide = max(6, min(30, (width - 40) // (2 if use.gpus else 1)))
    most = max([each.cpus for each in uses] + [1.0])
    spans: list[Span] = [head, (f"CPU {use.cpus:.1f} ", "")]
    spans.append((plot.spark([each.cpus / most for each in uses], min(wide, len(uses))), "work"))
    if use.gpus:
        memory = sum(held for _, held in use.gpus) / GIB
        busy = [sum(each for each, _ in u.gpus) / len(u.gpus) for u in uses if u.gpus]
        spans.append((f"  GPU {gpu(use)} {memory:.1f} GiB ", ""))
        spans.append((plot.spark(busy, min(wide, len(busy))), "good"))
    return tuple(spans)


def tail(detail: JobDetail | None, width: int, height: int) -> list[Line]:
    """The last lines that the job printed."""
    said = detail.tail if detail is not None else []
    told = [part for each in said[-height:] for part in wrap(each, max(8, width))]
    return [((part, ""),) for part in told[-height:]] or [(("nothing printed yet", "dim"),)]
