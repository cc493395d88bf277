"""Online RL with demonstrations: the learner's half.

Reads one LeRobot dataset (`/job/data/0`), takes episodes from an actor as they end, offers it newer
weights, and writes `out/policy/weights.safetensors`, which `policy.py` beside this file plays.
Sources: RLPD (arXiv 2302.02948) for batches half of demonstrations and the critics; TD3+BC
(2106.06860) for the BC term; Q-chunking (2507.07969) for actions in chunks; residual RL on a frozen
base (1812.03201).
"""

import os
import signal
import time
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from features import see  # pyright: ignore[reportMissingImports] - it comes with `base`.
from policy import inputs_of
from safetensors.torch import save
from torch import Tensor, nn

from recipes.learning import checkpoint
from recipes.learning.courses import (
    Array,
    Course,
    Transitions,
    by_name,
    chunks,
    of_dataset,
)
from recipes.learning.job import Job
from recipes.learning.networks import Actor, follow
from recipes.learning.replay import Replay, mixed
from recipes.learning.sac import Sac, Settings
from recipes.learning.stream import LearnerEnd

PUBLISH_EVERY, SAVE_S = 500, 30.0
SPREADS = 3.0
"""An action's range, in standard deviations of the demonstrations."""
AVERAGE = 0.002
"""Share of the newest actor in the average of actors that is played, an actor's step."""


class Learner:
    """Networks, buffers and the steps on them."""

    def __init__(self, settings: dict[str, Any], data: Path, device: str) -> None:
        self.settings = s = settings
        self.device = device
        courses, self.names = of_dataset(data)
        self.scales = self._scales(courses)
        self.transitions = Transitions(self._inputs, self._outputs, s["chunk"], s["discount"])
        rows = [self.transitions.of(course)[0] for course in courses]
        taught = {name: torch.cat([each[name] for each in rows]) for name in rows[0]}
        seen, done = taught["observation"].shape[1], taught["action"].shape[1]
        hidden = (s["hidden"],) * s["layers"]
        sac = Settings(
            hidden=hidden,
            critics=s["critics"],
            pair=s["pair"],
            gamma=s["discount"] ** s["chunk"],
            tau=s["tau"],
            lr=s["lr"],
            alpha=s["alpha"],
            target_entropy=s["entropy"] * done,
            bc_weight=s["bc_weight"],
            actor_layer_norm=True,
            widest=s["spread"],
            backup_entropy=False,
        )
        self.residual = s["residual"]
        self.base = Actor(seen, done, hidden, layer_norm=True).to(device) if self.residual else None
        self.sac = Sac(seen + (done if self.residual else 0), done, sac, device)
        self.average = deepcopy(self.sac.actor).requires_grad_(False)
        self.demonstrations = Replay(s["capacity"], seen, done, device)
        self.own = Replay(s["capacity"], seen, done, device)
        self.imitated = Replay(s["capacity"], seen, done, device)
        self.demonstrations.add(taught)
        self.imitated.add(taught)

    def _inputs(self, states: Array) -> Array:
        return inputs_of(by_name(states, self.names), self.settings, self.scales)

    def _outputs(self, states: Array, actions: Array) -> Array:
        done = self._chunks(states, actions) - self.scales["done_middle"]
        scaled = np.clip(done / self.scales["done_spread"], -1.0, 1.0)
        return scaled.reshape(len(actions), -1)

    def _chunks(self, states: Array, actions: Array) -> Array:
        relative_to = self.settings["relative_to"]
        origin = by_name(states, self.names)[relative_to] if relative_to else None
        return chunks(actions, self.settings["chunk"], origin)

    def _scales(self, courses: list[Course]) -> dict[str, Array]:
        """Middle and spread of what is seen and done, from demonstrations."""
        arrays = [course.arrays() for course in courses]
        seen = np.concatenate(
            [see(by_name(states, self.names), self.settings) for states, _, _ in arrays]
        )
        done = np.concatenate([self._chunks(states, actions) for states, actions, _ in arrays])
        done = done.reshape(-1, done.shape[-1])
        spread, reach = seen.std(axis=0), SPREADS * done.std(axis=0)
        found = {
            "seen_middle": seen.mean(axis=0),
            "seen_spread": np.where(spread > 1e-6, spread, 1.0),
            "done_middle": done.mean(axis=0),
            # A number that never changes stays what it is.
            "done_spread": np.where(reach > 1e-6, reach, 1e-6),
        }
        return {name: values.astype(np.float32) for name, values in found.items()}

    def take(self, course: Course) -> None:
        """Puts an episode where its sources belong."""
        rows, taught = self.transitions.of(course)
        for replay, chosen in ((self.demonstrations, taught), (self.own, ~taught)):
            if chosen.any():
                replay.add({name: values[chosen] for name, values in rows.items()})
        if course.success and self.settings["imitate_successes"]:
            taught = torch.ones_like(taught)
        if taught.any():
            self.imitated.add({name: values[taught] for name, values in rows.items()})

    def clone(self, job: Job) -> None:
        """BC before RL, of the actor or of a residual's base."""
        s = self.settings
        actor, steps = self.base or self.sac.actor, s["bc_steps"]
        if steps:
            narrow(actor, s["spread"])
        if self.base is not None:
            narrow(self.sac.actor, s["spread"], still=True)
        optimiser = torch.optim.Adam(actor.parameters(), lr=1e-3, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(steps, 1))
        for step in range(1, steps + 1):
            rows = self.demonstrations.sample(256)
            seen = rows["observation"]
            noisy = seen + s["noise"] * torch.randn_like(seen)
            loss = nn.functional.smooth_l1_loss(actor.best(noisy), rows["action"], beta=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            if step % 500 == 0:
                job.write("cloning", step=step, loss=loss.item())
        if self.base is not None:
            self.base.requires_grad_(False)
        self.average.load_state_dict(self.sac.actor.state_dict())

    def update(self, *, actor: bool) -> dict[str, Tensor]:
        """One round: some steps of the critics and, if it is time, one of the actor."""
        s = self.settings
        share = s["demonstration_share"]
        told: dict[str, Tensor] = {}
        batch: dict[str, Tensor] = {}
        for _ in range(s["critic_updates"]):
            batch = mixed({self.demonstrations: share, self.own: 1.0 - share}, s["batch"])
            told["critic_loss"] = self.sac.update_critics(self._seen(batch))
        if actor:
            held = self.imitated.sample(s["batch"]) if s["bc_weight"] else None
            told |= self.sac.update_actor(self._seen(batch), held and self._seen(held))
            follow(self.average, self.sac.actor, AVERAGE)
        return told

    def _seen(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """A batch as the networks see it: for a residual, with the base's action and its own part."""
        if self.base is None:
            return batch
        with torch.no_grad():
            base = self.base.best(batch["observation"])
            following = self.base.best(batch["next_observation"])
        free = ((batch["action"] - base) / self.residual).clamp(-1.0, 1.0)
        return {
            **batch,
            "observation": torch.cat((batch["observation"], base), -1),
            "action": free,
            "next_observation": torch.cat((batch["next_observation"], following), -1),
        }

    def weights(self) -> bytes:
        """What `policy.py` plays, as a safetensors file."""
        found = {f"actor.{n}": value for n, value in self.average.state_dict().items()}
        if self.base is not None:
            found |= {f"base.{n}": value for n, value in self.base.state_dict().items()}
        found |= {name: torch.from_numpy(values) for name, values in self.scales.items()}
        return save({name: value.float().cpu().contiguous() for name, value in found.items()})

    @property
    def parts(self) -> dict[str, checkpoint.Part]:
        """All that training goes on from, but the episodes."""
        found = {f"sac.{name}": part for name, part in self.sac.parts.items()}
        base: dict[str, checkpoint.Part] = {} if self.base is None else {"base": self.base}
        return {**found, "average": self.average, **base}


def narrow(actor: Actor, spread: float, *, still: bool = False) -> None:
    """Starts an actor with this spread, and with its mean at nothing for one that shall do nothing."""
    last = actor.net[-1]
    assert isinstance(last, nn.Linear)
    half = last.out_features // 2
    with torch.no_grad():
        last.weight[half:] *= 0.0
        last.bias[half:] = float(np.log(spread))
        if still:
            last.weight[:half] *= 0.01
            last.bias[:half] = 0.0


def main() -> None:
    settings = tomllib.loads(Path(__file__).with_name("recipe.toml").read_text())["train"]
    job = Job.here()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(settings["seed"])
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    learner = Learner(settings, job.data[0], device)
    run = Run(job, learner)
    try:
        run.carry_out()
    finally:
        run.close()


class Run:
    """The course of training: what arrived, what was learned, when weights leave."""

    def __init__(self, job: Job, learner: Learner) -> None:
        self.job, self.learner = job, learner
        self.step, self.spent_s, self.steps_seen = 0, 0.0, 0
        self.outcomes: list[bool] = []
        # A job that is cancelled or out of time keeps what it has.
        self.told_to_end = False
        signal.signal(signal.SIGTERM, self._on_signal)
        self.told: dict[str, float] = {}
        self.kept = job.out / "episodes"
        self.kept.mkdir(exist_ok=True)
        found = job.resume()
        if found is None:
            learner.clone(job)
        else:
            checkpoint.restore(found[0], **learner.parts)
            self.step, self.spent_s = int(found[1]["step"]), float(found[1]["seconds"])
        for folder in (job.earlier / "episodes", self.kept):
            for path in sorted(folder.glob("*.course")):
                self._add(read(path))
        self.end = LearnerEnd(job.out)
        job.write("ready", step=self.step, episodes=len(self.outcomes))

    def carry_out(self) -> None:
        s, learner = self.learner.settings, self.learner
        saved_s = published_s = last_s = time.monotonic()
        self._publish()
        while (
            not self.told_to_end and self.step < s["updates"] and self.spent_s < s["minutes"] * 60.0
        ):
            warm = len(self.outcomes) >= s["warm_episodes"]
            ahead = self.step >= s["updates_per_step"] * self.steps_seen
            for course, content in self.end.take(200 if ahead else 0):
                name = f"{len(self.outcomes):06d}"
                (self.kept / f"{name}.part").write_bytes(content)
                (self.kept / f"{name}.part").rename(self.kept / f"{name}.course")
                self._add(course)
            if not ahead:
                learn = learner.update(actor=warm)
                self.step += s["critic_updates"]
                if self.step % PUBLISH_EVERY < s["critic_updates"]:
                    self.told = {name: value.item() for name, value in learn.items()}
                    self._progress()
            now_s = time.monotonic()
            self.spent_s += now_s - last_s
            last_s = now_s
            # Also with nothing new: an actor that has just come knows none yet.
            if now_s - published_s > 2.0:
                published_s = now_s
                self._publish()
            if now_s - saved_s > SAVE_S:
                saved_s = now_s
                self._save()
        self._save()
        self._progress()
        self._policy()

    def close(self) -> None:
        self.end.close()

    def _on_signal(self, number: int, frame: object) -> None:
        del number, frame
        self.told_to_end = True

    def _add(self, course: Course) -> None:
        self.learner.take(course)
        self.outcomes.append(course.success)
        self.steps_seen += course.steps

    def _publish(self) -> None:
        self.end.publish(self.learner.weights())

    def _save(self) -> None:
        state = checkpoint.state(**self.learner.parts)
        self.job.save("last", state, step=self.step, seconds=self.spent_s)
        self._policy()

    def _policy(self) -> None:
        folder = self.job.out / "policy"
        folder.mkdir(exist_ok=True)
        part = folder.with_name("weights.part")
        part.write_bytes(self.learner.weights())
        part.rename(folder / "weights.safetensors")

    def _progress(self) -> None:
        recent = self.outcomes[-100:]
        self.job.progress(
            int(self.spent_s),
            int(self.learner.settings["minutes"] * 60.0),
            updates=self.step,
            episodes=len(self.outcomes),
            success=sum(recent) / max(len(recent), 1),
            robot_steps=self.steps_seen,
            cpu_s=time.process_time(),
            **self.told,
        )


def read(path: Path) -> Course:
    """An episode that was kept."""
    import msgspec

    return msgspec.msgpack.decode(path.read_bytes(), type=Course)


if __name__ == "__main__":
    main()
