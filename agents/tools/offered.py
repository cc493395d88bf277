"""What a language model is offered: each tool with its arguments."""

from typing import Annotated, Literal

import msgspec

from agents.literature import DATA, quoted
from agents.tools import calls as t
from agents.tools import editing
from agents.tools.answers import explored_text, from_line, or_no_limit
from agents.tools.seeing import Frames, frames
from agents.tools.skills import Skill, skills
from agents.tools.surface import Assigned, Surface, Tool, Unchecked
from agents.tools.training import status_text
from agents.tools.tree import on_thread
from agents.view import BASELINE
from robots.wire.records import Frozen

MOST_EPISODES = 50
WAIT_S = 600.0
PASSAGES = 4


# --- ideas --------------------------------------------------------------------------------------


class Claim(Frozen):
    """What is believed, and what is expected of the change, in figures where possible."""

    kind: t.IdeaKind
    hypothesis: Annotated[str, msgspec.Meta(min_length=10, max_length=500)]
    prediction: Annotated[str, msgspec.Meta(min_length=5, max_length=300)]


class Episodes(Frozen):
    """How many episodes of the working tree's recipe, on your own station, with new seeds."""

    episodes: Annotated[int, msgspec.Meta(ge=1, le=MOST_EPISODES)]


class Reason(Frozen):
    """Why, in a sentence."""

    reason: Annotated[str, msgspec.Meta(max_length=500)]


class Nomination(Frozen):
    """An idea of your own that was decided, and why it should be confirmed now."""

    idea_id: str
    reason: Annotated[str, msgspec.Meta(min_length=10, max_length=300)]


class Other(Frozen):
    """An idea of a peer, by its id."""

    idea_id: str


async def _open_idea(at: Surface, given: Claim, call_id: str) -> str:
    def begin() -> Assigned:
        known = at.desk.log.ideas.get(at.work.idea_id)
        if known is not None and not known.decision and not known.submitted:
            raise t.ToolRefused(f"open: {at.work.idea_id} is open; submit or drop it first")
        champion = at.desk.run.champion
        assert champion is not None
        idea_id = at.desk.log.next_idea_id(at.desk.name)
        return Assigned(idea_id=idea_id, number=0, base=champion.commit)

    told = at.assigned(call_id, begin)
    parent = next(
        (c.idea_id for c in at.desk.run.reigned.values() if c.commit == told.base), BASELINE
    )
    opened = t.OpenIdea(
        kind=given.kind,
        hypothesis=given.hypothesis,
        prediction=given.prediction,
        parent=parent,
        idea_id=told.idea_id,
    )
    await at.tools.ideas.open(opened)
    at.keep(idea_id=told.idea_id, base=told.base, explored=0)
    await at.tools.tree.start_from(t.StartFrom())
    return f"{told.idea_id} is yours, on champion {told.base[:10]}; the working tree is at it"


def _of_open_idea(at: Surface, call_id: str) -> Assigned:
    """What a call on the open idea is about, also when it is made again and has closed it."""
    return at.assigned(
        call_id, lambda: Assigned(idea_id=at.open_idea(), number=0, base=at.work.base)
    )


async def _explore(at: Surface, given: Episodes, call_id: str) -> str:
    idea_id = at.open_idea()
    told = at.assigned(
        call_id, lambda: Assigned(idea_id=idea_id, number=at.work.explored, base=at.work.base)
    )
    first = 1_000 * (1 + told.number)
    seeds = tuple(range(first, first + given.episodes))
    at.keep(explored=max(at.work.explored, told.number + 1))
    call = t.Explore(idea_id=told.idea_id, number=told.number, seeds=seeds, base=told.base)
    found = await at.desk.unless_interrupted(at.tools.bench.explore(call))
    return explored_text(found)


class Job(Frozen):
    """Arguments of the recipe's train.py, and how long it may run."""

    minutes: Annotated[float, msgspec.Meta(gt=0, le=24 * 60)]
    arguments: tuple[str, ...] = ()


class OfJob(Frozen):
    """A job by its id, and how long to wait for its end at most."""

    job_id: str
    minutes: Annotated[float, msgspec.Meta(gt=0, le=WAIT_S / 60)]


async def _train(at: Surface, given: Job, call_id: str) -> str:
    at.open_idea()
    job_id = at.tools.training.job_of(call_id)
    return status_text(await at.tools.training.submit(job_id, given.arguments, given.minutes))


async def _wait_job(at: Surface, given: OfJob, _: str) -> str:
    training = at.tools.training
    status = await at.desk.unless_interrupted(training.wait(given.job_id, given.minutes * 60.0))
    told = [status_text(status), await training.console(given.job_id)]
    return "\n".join([*told, *(await training.take(status) if status.state.ended else [])])


async def _submit(at: Surface, _: editing.Nothing, call_id: str) -> str:
    told = _of_open_idea(at, call_id)
    known = at.desk.log.ideas[told.idea_id]
    if known.submitted and known.decision:
        # Handed in by a life of this agent that did not live to hear the answer.
        return f"{told.idea_id} was handed in, and was {known.decision}"
    committed = await at.tools.ideas.commit(t.Commit(idea_id=told.idea_id, base=told.base))
    handed = await at.tools.ideas.submit(t.Submit(idea_id=told.idea_id))
    where = "waits for its sealed episodes" if handed.reached else "will be handed in"
    return f"{told.idea_id} is commit {committed.commit[:10]} and {where}; wait for the decision"


async def _nominate(at: Surface, given: Nomination, call_id: str) -> str:
    nomination_id = f"{at.desk.name}/nomination/{call_id}"
    found = await at.tools.ideas.nominate(nomination_id, given.idea_id, given.reason)
    return (
        f"{found.idea_id} is nominated; predicted chance of a clean confirm: {found.chance:.2f}. "
        f"Nominations left to you: {found.left}. News tells how the confirm ends."
    )


async def _drop(at: Surface, given: Reason, call_id: str) -> str:
    idea_id = _of_open_idea(at, call_id).idea_id
    at.tools.ideas.drop(t.Drop(idea_id=idea_id, detail=given.reason))
    return f"{idea_id} was given up"


async def _adopt(at: Surface, given: Other, _: str) -> str:
    at.open_idea()
    found = await at.tools.tree.adopt(t.Adopt(idea_id=given.idea_id, base=at.work.base))
    for path, content in found.files.items():
        text = content.decode(errors="replace")
        await at.tools.tree.write_file(t.WriteFile(path=f"recipe/{path}", text=text))
    return f"the change of {given.idea_id} fits and is in the working tree"


# --- the fleet ----------------------------------------------------------------------------------


class OneEpisode(Frozen):
    """An episode of a batch that you explored."""

    batch_id: str
    index: Annotated[int, msgspec.Meta(ge=0)]


class OfRecipe(Frozen):
    """A file of a recipe, such as policy.py: the champion's ("") or an idea's, from a line on."""

    path: str
    idea_id: str = ""
    from_line: editing.Line = 1


class Sought(Frozen):
    """Words to look for, in the papers that people put there or at arXiv."""

    words: Annotated[str, msgspec.Meta(min_length=2, max_length=300)]
    source: Literal["lab", "arxiv"] = "lab"


class OfArxiv(Frozen):
    """A paper by its id at arXiv, such as 2606.19980, from a line on."""

    paper_id: Annotated[str, msgspec.Meta(max_length=40)]
    from_line: editing.Line = 1


class Remark(Frozen):
    """A line for the transcript, which people and you read later."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]


class Minutes(Frozen):
    """How long at most; the wait ends early with news."""

    minutes: Annotated[float, msgspec.Meta(gt=0, le=WAIT_S / 60)]


class Asked(Frozen):
    """What only a person can tell or do, and answers to choose from, if there are some."""

    question: Annotated[str, msgspec.Meta(min_length=10, max_length=2_000)]
    choices: Annotated[tuple[str, ...], msgspec.Meta(max_length=6)] = ()


class Words(Frozen):
    """What was learned, for your next session, which starts with this text alone."""

    summary: Annotated[str, msgspec.Meta(min_length=20, max_length=4_000)]


async def _episode(at: Surface, given: OneEpisode, _: str) -> str:
    return await at.tools.bench.episode(given.batch_id, given.index)


async def _wait(at: Surface, given: Minutes, _: str) -> str:
    # What came before it waited is news to it as well.
    known = at.tools.fleet.digest().text
    if known:
        return known
    waiting = at.tools.fleet.wait(t.Wait(timeout_s=given.minutes * 60.0))
    news = await at.desk.unless_interrupted(waiting)
    # A person's words come behind it, as they do behind any answer.
    return news.text or "nothing new"


async def _leaderboard(at: Surface, _: editing.Nothing, __: str) -> str:
    return at.tools.fleet.leaderboard(t.Leaderboard()).text or "no idea has sealed episodes yet"


async def _digest(at: Surface, _: editing.Nothing, __: str) -> str:
    return at.tools.fleet.digest().text or "nothing new"


async def _read_recipe(at: Surface, given: OfRecipe, _: str) -> str:
    commit = at.tools.tree.commit_of(given.idea_id)
    found = await at.tools.tree.read_recipe(t.ReadRecipe(commit=commit))
    if given.path not in found.files:
        raise Unchecked(f"read_recipe: no {given.path!r}; there are {', '.join(found.files)}")
    text = found.files[given.path].decode(errors="replace")
    return from_line(text, given.from_line)


async def _peer_diff(at: Surface, given: Other, _: str) -> str:
    return await at.tools.fleet.whole_diff(given.idea_id)


async def _literature(at: Surface, given: Sought, _: str) -> str:
    if given.source == "arxiv":
        return await at.desk.unless_interrupted(at.tools.papers.search(given.words))
    found = await on_thread(at.tools.literature.search, given.words, PASSAGES)
    if found:
        return f"{DATA}\n\n{quoted(found)}"
    return f"nothing is found in {at.tools.literature.papers} papers"


async def _paper(at: Surface, given: OfArxiv, _: str) -> str:
    reading = at.tools.papers.read(given.paper_id, given.from_line)
    return await at.desk.unless_interrupted(reading)


async def _try_merge(at: Surface, given: Other, _: str) -> str:
    idea_id = at.open_idea()
    told = await at.tools.tree.try_merge(at.work.base, given.idea_id)
    return told or f"{given.idea_id} and the base of {idea_id} merge without a conflict"


async def _note(at: Surface, given: Remark, _: str) -> str:
    at.desk.say("agent", given.text, at.work.idea_id)
    return "noted"


async def _budget(at: Surface, _: editing.Nothing, __: str) -> str:
    left, training = at.tools.bench.budget(), await at.tools.training.minutes_left()
    return (
        f"ideas: {or_no_limit(left.ideas)}; robot minutes: {or_no_limit(left.robot_minutes)}; "
        f"training minutes: {or_no_limit(training)}"
    )


async def _ask(at: Surface, given: Asked, call_id: str) -> str:
    at.desk.ask(call_id, given.question, given.choices)
    return "asked; an answer comes as words of a person at a later turn. Go on with what you can."


async def _finish(at: Surface, given: Words, _: str) -> str:
    at.keep(summary=given.summary, closed=at.work.closed + 1, pictures=0)
    return "the session is closed"


TOOLS: tuple[Tool, ...] = (
    Tool("list_files", "Files of your working tree.", editing.Nothing, editing.list_files),
    Tool("read_file", "A file of your working tree, or an answer that was cut (results/...).", editing.Place, editing.read_file),
    Tool("write_file", "Write a file below recipe/ or notes/.", editing.Written, editing.write_file, once=True),
    Tool("edit_file", "Replace one passage of a file.", editing.Edited, editing.edit_file, once=True),
    Tool("shell", "Run a command in the working tree's sandbox (python3, grep...).", editing.Command, editing.shell, once=True),
    Tool("open_idea", "Claim an idea before any work on it; puts the working tree to the champion.",
         Claim, _open_idea, once=True),
    Tool("explore", "Run episodes of the working tree's recipe on your station; you see everything.",
         Episodes, _explore, once=True),
    Tool("episode", "The course of one explored episode.", OneEpisode, _episode),
    Tool("frames", "Pictures of an explored episode: its last moments up to its end, or `spread` over "
         "it, or nearest to policy `steps`.", Frames, frames),
    Tool("train", "Run the recipe's train.py as a job, in a sandbox; says its id.", Job, _train,
         once=True),
    Tool("wait_job", "Wait for a job's end; what it trained is then in the working tree.", OfJob,
         _wait_job, once=True),
    Tool("submit", "Commit the idea and hand it in for sealed evaluation.", editing.Nothing, _submit,
         once=True),
    Tool("nominate", "Have an own idea, 99 of 100 or better, confirmed early; tries are few, and all agents'.",
         Nomination, _nominate, once=True),
    Tool("drop", "Give the open idea up.", Reason, _drop, once=True),
    Tool("adopt", "Apply a peer's change to your open idea; Git decides whether it fits.", Other,
         _adopt, once=True),
    Tool("wait", "Wait for a decision or other news. Costs nothing; never poll.", Minutes, _wait,
         once=True),
    Tool("leaderboard", "Champion and ideas with sealed evidence.", editing.Nothing, _leaderboard),
    Tool("digest", "What changed in the run since you last looked.", editing.Nothing, _digest, once=True),
    Tool("read_recipe", "A file of the champion's recipe, or of an idea's.", OfRecipe, _read_recipe),
    Tool("skills", "What a policy may import from robots.skills (see, move, grasp); or one skill's code.",
         Skill, skills),
    Tool("peer_diff", "An idea's change.", Other, _peer_diff),
    Tool("try_merge", "Whether a peer's idea would merge with the commit you change; touches nothing.",
         Other, _try_merge),
    Tool("literature", "Passages of the lab's papers with your words; or arXiv's papers with all of them.",
         Sought, _literature),
    Tool("paper", "A paper of arXiv: abstract and text.", OfArxiv, _paper),
    Tool("note", "Leave a line in the transcript.", Remark, _note, once=True),
    Tool("budget_left", "What you may still spend.", editing.Nothing, _budget),
    Tool("ask", "Ask the people of the lab, sparingly; they may be away. Does not wait.", Asked, _ask,
         once=True),
    Tool("finish", "Close this session, once its idea is decided or dropped.", Words, _finish,
         once=True),
)  # fmt: skip
