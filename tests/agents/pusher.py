"""The script of a stand-in model that knows planar pushing, and works as a model does: it looks, claims,
changes, explores, compares and hands in, each turn from what the conversation holds so far.

It keeps nothing between two requests: a repeated one is answered alike, and a killed agent that asks
again is told to do what it was told before. It speaks with either interface's conversations.
"""

import json
import re
from typing import Any, NamedTuple

from agents.search.knobs import set_knobs
from agents.search.operators import apply
from recipes.shipped import pack
from tests.agents.providers import Turn

# What a reader of the baseline would try, by primitives and knobs. Each is an idea of its own; all of
# them together solve the task.
STEPS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "lengths": (("lengths_by_error",), {"length_gain": 1.384, "length_count": 6, "travel_speed": 0.3665}),
    "pace": ((), {"travel_speed": 0.3665, "push_speed": 0.1001, "settle_s": 0.1625, "dwell_s": 0.1607,
                  "stand_off": 0.003, "patience_s": 0.8546}),
    "model": (("substep_prediction",), {"slip_length": 0.0573, "substeps": 3, "tool_friction": 0.5066}),
    "sight": (("average_frames", "outline_cost"), {"frames": 2, "stop_cost": 0.0015}),
    "doubt": (("stricter_when_rejected",), {"tighten": 0.65}),
}  # fmt: skip
# What is left to try where all of them are not enough for fifty in a row.
FINER: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "contacts": (("dense_contacts",), {"contact_spacing": 0.027}),
    "ahead": (("two_pushes_ahead",), {"branches": 10, "first_weight": 0.3212}),
    "finish": ((), {"stop_cost": 0.0013}),
}  # fmt: skip
MARKS = {
    "lengths": r"\[knobs\.length_gain\]",
    "pace": r"value = 0\.1001\b",
    "model": r"\[knobs\.substeps\]",
    "sight": r"\[knobs\.outline_radius\]",
    "contacts": r"\[knobs\.contact_spacing\]",
    "doubt": r"\[knobs\.tighten\]",
    "ahead": r"\[knobs\.branches\]",
    "finish": r"value = 0\.0013\b",
}
LOST = re.compile(r"confirm \d+ of \S+ failure")
BASELINE = "baseline"
EPISODES = 10
POLICY, RECIPE = "recipe/policy.py", "recipe/recipe.toml"
READ_ON = re.compile(r"\[\d+ lines are left: read on with from_line (\d+)\]$")
WAIT_MINUTES = 1
CLAIMED = re.compile(r"Champion (\S+) lacks ([a-z, ]+)\.")
DECIDED = r"(?:adopted|discarded) {}:"


class Done(NamedTuple):
    """A call of the conversation with its answer."""

    name: str
    arguments: dict[str, Any]
    answer: str


class Conversation:
    """What a request's conversation holds, whichever interface it came by."""

    def __init__(self, body: dict[str, Any]) -> None:
        messages = body.get("messages") or body["input"]
        self.opening: str = messages[0]["content"][0]["text"]
        parts = [part for each in messages for part in _parts(each)]
        answers = {
            part.get("tool_use_id") or part["call_id"]: part.get("content")
            or part.get("output", "")
            for part in parts
            if part["type"] in ("tool_result", "function_call_output")
        }
        self.done: list[Done] = []
        for part in parts:
            if part["type"] == "tool_use" and part["id"] in answers:
                self.done.append(Done(part["name"], part["input"], answers[part["id"]]))
            if part["type"] == "function_call" and part["call_id"] in answers:
                given = json.loads(part["arguments"])
                self.done.append(Done(part["name"], given, answers[part["call_id"]]))
        [agent] = re.findall(r"You are (a\d+);", self.opening)
        self.agent: str = agent

    def of(self, name: str) -> list[Done]:
        """Answered calls of a tool, in order."""
        return [each for each in self.done if each.name == name]

    @property
    def words(self) -> str:
        """All that it was told about the run."""
        told = [each.answer for each in self.done if each.name in ("digest", "wait", "leaderboard")]
        return "\n".join([self.opening, *told])

    def claims(self) -> dict[tuple[str, str], None]:
        """Champion and steps of every claim that was heard of, its own among them."""
        own = "".join(each.arguments["hypothesis"] for each in self.of("open_idea"))
        return dict.fromkeys(CLAIMED.findall(self.words + own))


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return content if message.get("type", "message") == "message" and content else [message]


class Pusher:
    """Improves Push-T, one step an idea; once a step was adopted, all that is lacking in one.

    Args:
        task: Task whose baseline a removed method would come back from.
    """

    def __init__(self, task: str = "push_t") -> None:
        self._original = pack(task, BASELINE).files

    def __call__(self, number: int, body: dict[str, Any]) -> Turn:
        held = Conversation(body)
        if not held.of("leaderboard"):
            look = ("read_recipe", {"path": "recipe.toml"})
            return Turn("I look at the champion.", (("digest", {}), ("leaderboard", {}), look))
        left = re.search(r"Your idea (\S+) is (open|handed in)", held.opening)
        opened = [each for each in held.of("open_idea") if "is yours" in each.answer]
        if left is not None:
            return self._leftover(left[1], left[2], held)
        if not opened:
            return self._claim(held)
        if not held.of("write_file"):
            return self._change(opened[0], held)
        if not held.of("explore"):
            return Turn("", (("explore", {"episodes": EPISODES}),))
        return self._judge(opened[0].answer.split()[0], held)

    def _claim(self, held: Conversation) -> Turn:
        """A step that the champion lacks and nobody has claimed, each agent from another end."""
        if held.of("wait"):
            return _finish("There was news.", held)
        champion, _ = _champion(held)
        first = int(held.agent.removeprefix("a")) - 1
        recipe = held.of("read_recipe")[0].answer
        lacking = [name for name in STEPS if not re.search(MARKS[name], recipe)]
        finer = [name for name in FINER if not re.search(MARKS[name], recipe)]
        # One step may be seen to help against the baseline; above it, what is left goes together.
        if champion == BASELINE:
            wanted = _from(first, lacking)
        elif lacking:
            wanted = [", ".join(lacking)]
        else:
            wanted = _from(first, finer) if LOST.search(held.words.replace(":", "")) else []
        claimed = held.claims()
        free = [each for each in wanted if (champion, each) not in claimed]
        if not free:
            return Turn("Nothing is left to try now.", (("wait", {"minutes": WAIT_MINUTES}),))
        claim = {
            "kind": "heuristic",
            "hypothesis": f"Champion {champion} lacks {free[0]}.",
            "prediction": "ten points more than the champion",
        }
        return Turn("", (("open_idea", claim),))

    def _leftover(self, idea_id: str, state: str, held: Conversation) -> Turn:
        """An idea of a session that broke off."""
        if held.of("drop") or held.of("wait"):
            return _finish(f"{idea_id} is off the table.", held)
        if state == "open":
            return Turn("", (("drop", {"reason": "left over from a session that broke off"}),))
        return Turn("", (("wait", {"minutes": 10}),))

    def _change(self, opened: Done, held: Conversation) -> Turn:
        pages = [each for each in held.of("read_file") if each.arguments["path"] == POLICY]
        if not pages:
            return Turn("", (("read_file", {"path": POLICY}), ("read_file", {"path": RECIPE})))
        more = READ_ON.search(pages[-1].answer)
        if more is not None:
            page = {"path": POLICY, "from_line": int(more[1])}
            return Turn("", (("read_file", page),))
        policy = "".join(READ_ON.sub("", each.answer) for each in pages)
        recipe = next(d for d in held.of("read_file") if d.arguments["path"] == RECIPE)
        files = {"policy.py": policy.encode(), "recipe.toml": recipe.answer.encode()}
        [(_, steps)] = CLAIMED.findall(opened.arguments["hypothesis"])
        for step in steps.split(", "):
            primitives, knobs = (STEPS | FINER)[step]
            for name in primitives:
                files = apply(f"insert:{name}", files, self._original)
            files = set_knobs(files, knobs)
        return Turn("", tuple(
            ("write_file", {"path": f"recipe/{path}", "text": files[path].decode()})
            for path in ("policy.py", "recipe.toml")
        ))  # fmt: skip

    def _judge(self, idea_id: str, held: Conversation) -> Turn:
        """Hand in what did no worse than the champion's record, wait for the decision, leave."""
        if held.of("drop"):
            return _finish(f"{idea_id} did worse than the champion.", held)
        handed = held.of("submit")
        if not handed:
            found = re.search(r"(\d+) of (\d+) succeeded", held.of("explore")[-1].answer)
            mine = int(found[1]) / int(found[2]) if found else 0.0
            _, best = _champion(held)
            told = f"{idea_id}: {mine:.2f} explored, the champion {best:.2f}."
            note = ("note", {"text": told})
            if mine >= best:
                return Turn(told, (note, ("submit", {})))
            return Turn(told, (note, ("drop", {"reason": told})))
        heard = re.search(DECIDED.format(idea_id), held.words)
        if heard is not None or "refused" in handed[0].answer:
            return _finish(f"{idea_id} was decided.", held)
        return Turn("", (("wait", {"minutes": 10}),))


def _from(first: int, names: list[str]) -> list[str]:
    """Names in turn, begun at another place by each agent."""
    return [names[(first + k) % len(names)] for k in range(len(names))]


def _champion(held: Conversation) -> tuple[str, float]:
    """The champion and its rate as the leaderboard told them."""
    told = held.of("leaderboard")[0].answer
    found = re.search(r"champion (\S+) (\d+)/(\d+)", told)
    if found is None:
        return BASELINE, 0.0
    return found[1], int(found[2]) / max(int(found[3]), 1)


def _finish(summary: str, held: Conversation) -> Turn:
    """What was learned goes to the next session, claims of others among it."""
    known = " ".join(f"Champion {champion} lacks {steps}." for champion, steps in held.claims())
    lost = LOST.search(held.words.replace(":", ""))
    told = f"{summary} Known: {lost[0] if lost else 'no confirm was lost'}. Claimed so far: {known}"
    return Turn("", (("finish", {"summary": told[:4000]}),))
