"""Soft actor-critic with an ensemble of critics, for learning from demonstrations and from itself.

Source: SAC (arXiv 1812.05905); critics with layer normalisation, a minimum over a random pair of
targets and batches half of demonstrations as in RLPD (arXiv 2302.02948); the actor may be held to
the demonstrated actions (BC term) or add to a base policy's (residual).
"""

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recipes.learning.checkpoint import Part
from recipes.learning.networks import LOG_STD, Actor, Ensemble, follow

Batch = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one learner.

    Attributes:
        critics: Members of the ensemble.
        pair: How many targets, drawn at random, the minimum is over; 0 for all, and then the actor
            goes by the least critic as well.
        bc_weight: Weight of the BC term, against the critics' mean value scaled to about 1.
        layer_norm: Of the critics.
        actor_layer_norm: Of the actor.
        widest: Largest standard deviation of its actions before squashing; the temperature alone
            keeps entropy from falling below what is wanted, never from rising.
        backup_entropy: Whether targets hold the entropy bonus; RLPD leaves it out.
    """

    hidden: tuple[int, ...] = (256, 256)
    critics: int = 2
    pair: int = 2
    gamma: float = 0.99
    tau: float = 0.005
    lr: float = 3e-4
    alpha: float = 1.0
    target_entropy: float | None = None
    bc_weight: float = 0.0
    layer_norm: bool = True
    actor_layer_norm: bool = False
    widest: float = math.exp(LOG_STD[1])
    backup_entropy: bool = True


class Sac:
    """Actor, critics and temperature, and how they are updated.

    Args:
        observations: Numbers of an observation.
        actions: Numbers of an action, each in [-1, 1].
        settings: Of the learner.
        device: Where it learns.

    Attributes:
        parts: All that a checkpoint needs, the optimisers' moments included, by name.
    """

    def __init__(
        self, observations: int, actions: int, settings: Settings, device: str = "cpu"
    ) -> None:
        self.settings = s = settings
        self.device = torch.device(device)
        actor = Actor(
            observations, actions, s.hidden, layer_norm=s.actor_layer_norm, widest=s.widest
        )
        self.actor = actor.to(self.device)
        sizes = (observations + actions, *s.hidden, 1)
        self.critics = Ensemble(s.critics, sizes, layer_norm=s.layer_norm).to(self.device)
        self.targets = deepcopy(self.critics).requires_grad_(False)
        self.log_alpha = torch.tensor(s.alpha, device=self.device).log().requires_grad_()
        self.entropy = -float(actions) if s.target_entropy is None else s.target_entropy

        def adam(parameters: object) -> torch.optim.Adam:
            # Fused: all parameters in one call, on a CPU as well.
            return torch.optim.Adam(parameters, lr=s.lr, fused=True)  # pyright: ignore[reportArgumentType]

        # The temperature steps with the actor: their losses share no gradient, and a step of Adam
        # costs as much for one number as for a network.
        self.actor_optimiser = adam([*self.actor.parameters(), self.log_alpha])
        self.critic_optimiser = adam(self.critics.parameters())
        self.parts: dict[str, Part] = {
            "log_alpha": self.log_alpha,
            "actor": self.actor,
            "critics": self.critics,
            "targets": self.targets,
            "actor_optimiser": self.actor_optimiser,
            "critic_optimiser": self.critic_optimiser,
        }

    def update_critics(self, batch: Batch) -> Tensor:
        """One step of the critics; returns their loss.

        Args:
            batch: observation, action, reward, next_observation, and `goes_on` (0 where the episode
                ended by itself, 1 elsewhere), (batch, ...) each.
        """
        s = self.settings
        with torch.no_grad():
            action, log_prob = self.actor.sample(batch["next_observation"])
            chosen = None
            if s.pair and s.pair < s.critics:
                chosen = torch.randperm(s.critics)[: s.pair].tolist()
            following = torch.cat((batch["next_observation"], action), -1)
            value = self.targets(following, chosen).squeeze(-1).amin(0)
            if s.backup_entropy:
                value = value - self.log_alpha.exp() * log_prob
            wanted = torch.addcmul(batch["reward"], batch["goes_on"], value, value=s.gamma)
        found = self.critics(torch.cat((batch["observation"], batch["action"]), -1)).squeeze(-1)
        loss = (
            nn.functional.mse_loss(found, wanted.expand_as(found), reduction="sum") / wanted.numel()
        )
        self.critic_optimiser.zero_grad()
        loss.backward()
        self.critic_optimiser.step()
        follow(self.targets, self.critics, s.tau)
        return loss.detach()

    def update_actor(self, batch: Batch, demonstrations: Batch | None = None) -> dict[str, Tensor]:
        """One step of actor and temperature; returns their losses.

        Args:
            batch: observation (batch, ...).
            demonstrations: observation and action that the BC term holds the actor to.
        """
        s = self.settings
        observation = batch["observation"]
        action, log_prob = self.actor.sample(observation)
        for parameter in self.critics.parameters():
            parameter.requires_grad_(False)
        judged = torch.cat((observation, action), -1)
        # SAC takes the least; with a random pair in the targets the mean of all (REDQ, 2101.05982).
        if s.critics <= 2:
            value = self.critics(judged).squeeze(-1).amin(0)
        elif s.pair:
            value = self.critics(judged).squeeze(-1).mean(0)
        else:
            value = self.critics.least(judged).squeeze(-1)
        told: dict[str, Tensor] = {}
        loss = (self.log_alpha.exp().detach() * log_prob - value).mean()
        if s.bc_weight and demonstrations is not None:
            # Values are brought to about 1, so that one weight serves all tasks (TD3+BC, 2106.06860).
            loss = loss / value.detach().abs().mean().clamp(min=1e-3)
            error = self.actor.best(demonstrations["observation"]) - demonstrations["action"]
            told["bc_loss"] = error.square().mean()
            loss = loss + s.bc_weight * told["bc_loss"]
        surplus = (log_prob.detach() + self.entropy).mean()
        self.actor_optimiser.zero_grad()
        (loss - self.log_alpha * surplus).backward()
        self.actor_optimiser.step()
        for parameter in self.critics.parameters():
            parameter.requires_grad_(True)
        told |= {"actor_loss": loss, "alpha": self.log_alpha.exp(), "value": value.mean()}
        return {name: each.detach() for name, each in told.items()}
