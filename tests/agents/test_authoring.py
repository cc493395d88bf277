"""Stage one: a scripted model improves a worsened verifier beside a person who says no, then yes.

Loop, journal, gateway, sandbox and bench are the real ones; the provider is a stand-in.
"""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("anthropic", reason="not installed: pip install 'enpire-tui[llm]'")

from agents.authoring.people import Decision, Proposal
from agents.authoring.session import Outcome, Wanted, assist
from agents.authoring.tools import Published
from agents.gateway.settings import ProviderSettings
from robots.bench import conformance, resets, sights
from robots.bench.record import Records
from robots.station.tasks import read_task
from robots.wire.events import AgentAnswered, AgentAsked, TokensMetered
from robots.wire.signing import SigningKey
from robots.wire.sqlite_journal import read_rows
from tests.agents.providers import Call, Provider, Turn
from tests.agents.test_models import spoken_turns
from tests.agents.test_seeing import IMAGES
from tests.robots.bench.reaching import reach
from tests.robots.station.sighted import CAMERA

KEY = "sk-of-the-host-alone"
SOUND, WORSE, BETTER = "distance < 0.01", "distance < 0.05", "distance < 0.012"
FEW = {"negatives": 6, "positives": 3, "seed": 11}


class Beside:
    """A person with answers ready; None stands for nobody."""

    by = "ann"

    def __init__(self, *answers: tuple[bool, str] | str | None) -> None:
        self._answers = list(answers)
        self.proposals: list[Proposal] = []
        self.questions: list[str] = []
        self.lines: list[str] = []

    def told(self, role: str, text: str) -> None:
        self.lines.append(f"{role}: {text}")

    async def answer(self, question: str, choices: tuple[str, ...]) -> str | None:
        self.questions.append(question)
        return self._answers.pop(0)

    async def decide(self, proposal: Proposal) -> Decision | None:
        self.proposals.append(proposal)
        found = self._answers.pop(0)
        if found is None:
            return None
        return Decision(yes=found[0], words=found[1], by=self.by, about=proposal.diff_sha256)

    def results(self) -> str:
        return "\n".join(line for line in self.lines if line.startswith("result: "))


class Bench:
    """A home, a task folder and a provider's stand-in."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.home, self.kind = folder / "home", kind
        self.task = reach(folder / "reach", ("verify.py", SOUND, WORSE))
        self.key = folder / "key"
        self.key.write_text(KEY)

    def add_camera(self) -> None:
        """One that sees the scene; the test task has none of its own."""
        with (self.task / "task.toml").open("a") as file:
            file.write(f"\n{CAMERA}")

    def verifier(self) -> str:
        return (self.task / "verify.py").read_text()

    async def works(
        self,
        turns: list[Turn],
        person: Beside,
        budget: int = 100_000,
        said: int = 0,
        *,
        sees: bool = True,
    ) -> tuple[Outcome, Provider]:
        def script(_: int, body: dict[str, Any]) -> Turn:
            if "messages" in body:
                spoken = sum(each["role"] == "assistant" for each in body["messages"])
            else:
                spoken = spoken_turns(body["input"])
            return turns[spoken]

        provider = Provider(script)
        # Ids of calls are numbered by turns, and a provider gives none twice.
        provider.turns = said
        await provider.start()
        wanted = Wanted(
            session_id="a1",
            task=str(self.task),
            folder=self.task,
            backend=self.kind,
            model="",
            budget_tokens=budget,
            provider=ProviderSettings(base_url=provider.url, key_file=str(self.key)),
            sees=sees,
        )
        try:
            return await assist(wanted, self.home, person), provider
        finally:
            await provider.stop()

    def rows(self, session: str, which: str) -> list[Any]:
        return [row.event for row in read_rows(self.home / "authoring" / session / f"{which}.db")]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, "anthropic")


def turn(*calls: Call) -> Turn:
    return Turn("", calls)


def edit(old: str, new: str) -> Call:
    return "edit_file", {"path": "verify.py", "old": old, "new": new}


FINISH = ("finish", {"summary": "The verifier refuses near misses again."})
PROPOSE = ("propose", {"reason": "Near misses were accepted."})


@pytest.mark.parametrize("kind", ["anthropic", "openai"])
async def test_a_worsened_verifier_is_improved_and_taken_over_on_a_yes_alone(tmp_path, kind):
    bench = Bench(tmp_path, kind)
    person = Beside("10 mm", (False, "12 mm is not the criterion"), (True, "thank you"))
    outcome, provider = await bench.works(
        [
            turn(("list_files", {}), ("read_file", {"path": "verify.py"})),
            turn(("ask", {"question": "How near is a success?"}), ("score", {"of": "task", **FEW})),
            turn(edit(WORSE, BETTER)),
            turn(PROPOSE, ("check", {}), ("score", FEW)),
            turn(PROPOSE),
            turn(edit(BETTER, SOUND), ("check", {}), ("score", FEW)),
            turn(PROPOSE),
            turn(FINISH),
        ],
        person,
    )

    assert outcome.finished
    assert SOUND in bench.verifier()
    told = person.results()
    assert "ann says: 10 mm" in told
    assert 'unmeasured: first check, and have it pass, score with of = "copy"' in told
    assert "ann says no: 12 mm is not the criterion" in told
    assert "ann says yes: thank you" in told
    first, second = person.proposals
    assert first.before.verifier.false_positives == 2
    assert second.before.verifier == first.before.verifier
    assert second.after.verifier.false_positives == 0
    assert second.after.verifier.recall == 1.0
    assert second.after.passed
    assert f'-    return {{"success": {WORSE}' in second.diff

    # On record: what was asked, who said what, and about which difference.
    asked = [each for each in bench.rows("a1", "agent") if isinstance(each, AgentAsked)]
    answered = [each for each in bench.rows("a1", "agent") if isinstance(each, AgentAnswered)]
    assert [each.by for each in answered] == ["ann"] * 3
    assert [each.text for each in answered] == [
        "10 mm", "no 12 mm is not the criterion", "yes thank you",
    ]  # fmt: skip
    assert second.diff_sha256 in asked[2].text
    assert asked[2].question_id == answered[2].question_id

    # Tokens are those that were sent, and the key is the gateway's alone.
    used = outcome.used
    metered = {"fresh": used.fresh_input, "cached": used.cached_input, "output": used.output}
    assert metered == {key: provider.sent[key] for key in metered}
    assert set(provider.keys) == {KEY}
    assert KEY not in json.dumps(provider.requests)
    # What a person says is heard once, as the tool's answer.
    assert json.dumps(provider.requests[-1]).count("12 mm is not the criterion") == 1


@pytest.mark.parametrize("kind", ["anthropic", "openai"])
async def test_a_model_that_sees_is_shown_what_the_verifier_got_wrong(tmp_path, kind):
    bench = Bench(tmp_path, kind)
    bench.add_camera()
    turns = [
        turn(("score", {"of": "task", **FEW})),
        turn(
            ("score", {"of": "task", **FEW, "pictures": 1}),
            ("score", {"of": "task", **FEW, "pictures": 0}),
        ),
        turn(("score", {**FEW, "camera": "behind"}), ("ask", {"question": "Is this so?"})),
        turn(FINISH),
    ]
    gone = Beside(None)
    _, provider = await bench.works(turns, gone)

    # Two near misses were accepted; a scene drawn again by its seed is the same picture.
    first, second = IMAGES[bench.kind](provider.requests[1])
    assert base64.b64decode(first).startswith(b"\x89PNG")
    assert first != second
    assert IMAGES[bench.kind](provider.requests[2]) == [first, second, first]
    told = gone.results()
    assert "picture 1: near_miss accepted" in told
    assert "picture 2: near_miss accepted" in told
    assert "refused: unknown_camera: behind; there are" in told
    # On record are hashes, and what is sent after a restart is the same.
    assert first not in json.dumps([str(each) for each in bench.rows("a1", "agent")])
    _, again = await bench.works(turns, Beside("yes"), said=3)
    assert IMAGES[bench.kind](again.requests[0]) == [first, second, first]


async def test_pictures_of_a_call_cut_short_by_a_restart_are_sent_with_its_answer(bench):
    bench.add_camera()
    turns = [
        turn(("score", {"of": "task", **FEW}), ("ask", {"question": "Is this so?"})),
        turn(FINISH),
    ]
    gone = Beside(None)
    first, _ = await bench.works(turns, gone)
    assert not first.finished, gone.lines

    # The answer is on record, the message that holds it is not yet.
    back = Beside("yes")
    outcome, provider = await bench.works(turns, back, said=1)
    assert outcome.finished, back.lines

    assert len(IMAGES[bench.kind](provider.requests[0])) == 2
    assert "picture 2: " in back.results()


async def test_a_model_that_sees_nothing_is_given_the_words_alone(bench):
    bench.add_camera()
    person = Beside()
    _, provider = await bench.works(
        [turn(("score", {"of": "task", **FEW})), turn(FINISH)], person, sees=False
    )
    assert IMAGES[bench.kind](provider.requests[1]) == []
    assert "wrong: near_miss accepted" in person.results()
    assert "picture" not in person.results()


async def test_labels_of_the_task_are_in_no_view_of_the_model(bench):
    labels = bench.home / "environments" / "reach" / "labels" / "held_out"
    labels.mkdir(parents=True)
    (labels / "one.label").write_text("a held-out scene")
    person = Beside()
    look = f"cat {labels}/one.label; find / -name '*.label' 2>/dev/null; echo looked"
    await bench.works(
        [
            turn(
                ("list_files", {}),
                ("shell", {"command": look}),
                ("read_file", {"path": str(labels / "one.label")}),
                ("read_file", {"path": "results/../../../environments/reach/labels/held_out/one.label"}),
            ),
            turn(FINISH),
        ],
        person,
    )  # fmt: skip

    [shell] = [line for line in person.lines if "looked" in line and line.startswith("result: ")]
    assert "/one.label\n" not in shell
    assert "a held-out scene" not in person.results()
    assert sum(line.startswith("result: refused") for line in person.lines) == 2


async def test_only_reset_and_verifier_of_the_copy_can_be_written(bench, tmp_path):
    person = Beside()
    before = {path: path.read_bytes() for path in bench.task.rglob("*") if path.is_file()}
    outside = tmp_path / "outside"
    await bench.works(
        [
            turn(
                ("write_file", {"path": "../verify.py", "text": "x"}),
                ("write_file", {"path": "simulation.py", "text": "x"}),
                ("shell", {"command": f"echo x > {bench.task}/verify.py; echo x > {outside}"}),
                ("shell", {"command": "cat recipes/reference/policy.py"}),
                # A link out is no file of the copy, and nothing is read through it.
                ("shell", {"command": f"rm verify.py; ln -s {bench.key} verify.py; cat verify.py"}),
                ("read_file", {"path": "verify.py"}),
                ("check", {}),
            ),
            turn(FINISH),
        ],
        person,
    )

    told = person.results()
    assert "refused: frozen_path: ../verify.py" in told
    assert "refused: frozen_path: simulation.py" in told
    assert "verify.py is no regular file of the copy" in told
    assert KEY not in told
    assert "class Policy" not in told
    assert not outside.exists()
    assert before == {path: path.read_bytes() for path in bench.task.rglob("*") if path.is_file()}


async def test_a_simulation_changed_in_the_copy_is_never_run(bench, tmp_path):
    ran = tmp_path / "ran"
    person = Beside()
    script = f"open({str(ran)!r}, 'w').close()"
    await bench.works(
        [
            turn(
                ("shell", {"command": f'echo "{script}" >> simulation.py; tail -1 simulation.py'}),
                ("score", FEW),
            ),
            turn(FINISH),
        ],
        person,
    )

    assert script in person.results()
    assert "copy: verifier: 2 false positives on 6 negatives" in person.results()
    assert not ran.exists()


async def test_a_session_that_nobody_answers_goes_on_under_its_id(bench):
    turns = [
        turn(("score", {"of": "task", **FEW}), edit(WORSE, SOUND), ("check", {}), ("score", FEW)),
        turn(PROPOSE),
        turn(FINISH),
    ]
    gone = Beside(None)
    first, _ = await bench.works(turns, gone)
    assert not first.finished
    assert WORSE in bench.verifier()

    back = Beside((True, ""))
    second, provider = await bench.works(turns, back, said=2)

    assert second.finished
    assert SOUND in bench.verifier()
    # Neither measured nor asked of the model again.
    assert not any(line.startswith("tool: score") for line in back.lines)
    assert len(provider.requests) == 1
    assert back.proposals == gone.proposals
    metered = [each for each in bench.rows("a1", "gateway") if isinstance(each, TokensMetered)]
    assert second.used.output == sum(each.output for each in metered) == 150
    asked = [each for each in bench.rows("a1", "agent") if isinstance(each, AgentAsked)]
    assert len(asked) == 1


async def test_a_yes_to_what_has_changed_meanwhile_changes_nothing(bench):
    class Changing(Beside):
        async def decide(self, proposal: Proposal) -> Decision | None:
            (bench.task / "verify.py").write_text(bench.verifier() + "# mine\n")
            return await super().decide(proposal)

    person = Changing((True, ""))
    await bench.works(
        [
            turn(("score", {"of": "task", **FEW}), edit(WORSE, SOUND), ("check", {})),
            turn(("score", FEW), PROPOSE),
            turn(FINISH),
        ],
        person,
    )

    assert "refused: changed: " in person.results()
    assert bench.verifier().endswith("# mine\n")
    assert WORSE in bench.verifier()


async def test_a_worse_reset_is_measured_and_needs_its_own_figures(bench):
    path = bench.task / "reset.py"
    # Done before it has begun.
    path.write_text(path.read_text().replace("< 0.004", "< 9.0"))
    later = {"path": "reset.py", "old": "< 9.0", "new": "< 0.004"}
    person = Beside((True, ""))
    await bench.works(
        [
            turn(("reset_test", {"of": "task", "tries": 1}), ("edit_file", later), ("check", {})),
            turn(PROPOSE, ("reset_test", {"tries": 2}), PROPOSE),
            turn(FINISH),
        ],
        person,
    )

    assert 'unmeasured: first reset_test with of = "copy"' in person.results()
    [proposal] = person.proposals
    assert proposal.before.reset.success == 0
    assert proposal.after.reset.success == 2
    assert "< 0.004" in path.read_text()


async def test_tokens_beyond_the_budget_are_not_spent(bench):
    outcome, provider = await bench.works([turn(("list_files", {}))] * 9, Beside(), budget=300)
    assert not outcome.finished
    assert "budget" in outcome.why
    assert len(provider.requests) == 2


async def test_a_published_task_is_refused_with_the_remedy(bench):
    task = read_task(bench.task)
    records, sha256 = Records(bench.home / "environments"), task.manifest_sha256()
    records.keep(
        task,
        sha256,
        checks=(conformance.Check(name="task", ok=True, detail=""),),
        reset=resets.figures([resets.ResetTrial("", 1, 1.0)], 1.0),
        verifier=sights.VerifierFigures(
            false_positives=0,
            negatives=1,
            near_misses=1,
            recall=1.0,
            positives=1,
            latency_ms=sights.Latency(p50=1.0, p99=1.0),
            n=2,
            seed=0,
        ),
    )
    records.publish(task, SigningKey.generate(), 0.0)
    with pytest.raises(Published, match="give the copy a `name` of its own"):
        await bench.works([turn(FINISH)], Beside())
