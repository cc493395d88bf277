"""Networks of recipes that learn: a plain one, a squashed Gaussian actor, an ensemble of critics.

All members of an ensemble are evaluated by one batched matrix product a layer: ten critics of 256
units cost a CPU about a third of ten modules, and a GPU one kernel instead of ten.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

LOG_STD = (-5.0, 2.0)
"""Range of an actor's log standard deviation. Source: SAC (arXiv 1801.01290), its public code."""


def mlp(sizes: Sequence[int], *, layer_norm: bool = False) -> nn.Sequential:
    """Linear layers with ReLU between them.

    Args:
        sizes: Numbers in, hidden units, numbers out.
        layer_norm: Normalise before each ReLU.
    """
    layers: list[nn.Module] = []
    for index, (before, after) in enumerate(itertools.pairwise(sizes)):
        layers.append(nn.Linear(before, after))
        if index < len(sizes) - 2:
            layers += [nn.LayerNorm(after)] if layer_norm else []
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


class Eye(nn.Module):
    """Where in a picture things are: convolutions, then the place where each channel is strongest.

    Small enough for a policy on numpy, which has the same in `sight.py` of
    `regimes/behavior_cloning`. Source: spatial softmax, arXiv 1504.00702, section 5.2.

    Attributes:
        places: Numbers that come out: x of each channel, then y of each, -1 to 1.
    """

    def __init__(self, channels: Sequence[int] = (8, 16, 16)) -> None:
        super().__init__()
        self.convolutions = nn.Sequential()
        for index, (before, after) in enumerate(itertools.pairwise((3, *channels))):
            kernel, step = (5, 2) if index == 0 else (3, 1)
            self.convolutions.append(nn.Conv2d(before, after, kernel, step))
            if index < len(channels) - 1:
                self.convolutions.append(nn.ReLU())
        self.places = 2 * channels[-1]

    def forward(self, pictures: Tensor) -> Tensor:
        """Places (batch, places) in pictures (batch, height, width, 3), uint8."""
        values = self.convolutions(pictures.permute(0, 3, 1, 2).float() / 127.5 - 1.0)
        height, width = values.shape[2:]
        share = values.flatten(2).softmax(-1).unflatten(2, (height, width))
        across = torch.linspace(-1.0, 1.0, width, device=values.device)
        down = torch.linspace(-1.0, 1.0, height, device=values.device)
        return torch.cat((share.sum(2) @ across, share.sum(3) @ down), 1)


class Seeing(nn.Module):
    """A plain network that is given states, and places in pictures where there are any.

    Args:
        sizes: Numbers of a state, hidden units, numbers out.
        cameras: Pictures of a step.
    """

    def __init__(self, sizes: Sequence[int], cameras: int = 0) -> None:
        super().__init__()
        self.eyes = nn.ModuleList(Eye() for _ in range(cameras))
        places = sum(eye.places for eye in self.eyes)  # pyright: ignore[reportCallIssue, reportArgumentType]
        self.net = mlp((sizes[0] + places, *sizes[1:]), layer_norm=True)

    def forward(self, states: Tensor, pictures: Sequence[Tensor] = ()) -> Tensor:
        """Outputs (batch, out) of states (batch, in), and of each camera's pictures."""
        seen = [eye(each) for eye, each in zip(self.eyes, pictures, strict=True)]
        return self.net(torch.cat((states, *seen), 1))


class Ensemble(nn.Module):
    """Networks of one shape, evaluated together.

    Args:
        members: How many.
        sizes: Numbers in, hidden units, numbers out.
        layer_norm: Normalise before each ReLU (RLPD, arXiv 2302.02948, section 4.2).
    """

    def __init__(self, members: int, sizes: Sequence[int], *, layer_norm: bool = True) -> None:
        super().__init__()
        self.members = members
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        self.scales = nn.ParameterList()
        self.shifts = nn.ParameterList()
        for index, (before, after) in enumerate(itertools.pairwise(sizes)):
            # As `nn.Linear` draws them.
            bound = 1.0 / math.sqrt(before)
            draw = torch.empty(members, before, after).uniform_(-bound, bound)
            self.weights.append(nn.Parameter(draw))
            draw = torch.empty(members, 1, after).uniform_(-bound, bound)
            self.biases.append(nn.Parameter(draw))
            if layer_norm and index < len(sizes) - 2:
                self.scales.append(nn.Parameter(torch.ones(members, 1, after)))
                self.shifts.append(nn.Parameter(torch.zeros(members, 1, after)))

    def forward(self, inputs: Tensor, chosen: Sequence[int] | None = None) -> Tensor:
        """Outputs of all members, or of those chosen.

        Args:
            inputs: (batch, in), the same for each.
            chosen: Members to evaluate; the others cost nothing.

        Returns:
            (members, batch, out).
        """

        def of(values: nn.ParameterList, layer: int) -> Tensor:
            value = values[layer]
            return value if chosen is None else value[list(chosen)]

        last = len(self.weights) - 1
        # On a CPU memory costs as much as arithmetic: no copy for the layer that all members feed
        # from the same inputs, and ReLU in place, whose backward needs its result alone.
        hidden = inputs.expand(of(self.biases, 0).shape[0], *inputs.shape)
        for layer in range(last + 1):
            hidden = torch.baddbmm(of(self.biases, layer), hidden, of(self.weights, layer))
            if layer < last:
                if len(self.scales):
                    hidden = nn.functional.layer_norm(hidden, hidden.shape[-1:])
                    hidden = torch.addcmul(of(self.shifts, layer), hidden, of(self.scales, layer))
                hidden = nn.functional.relu(hidden, inplace=True)
        return hidden

    def least(self, inputs: Tensor) -> Tensor:
        """The smallest of the members' outputs for each input, differentiable by the inputs.

        A minimum's gradient passes through one member alone: all are evaluated without gradients,
        then each on the inputs for which it is the smallest, which spares the others' backward pass.

        Args:
            inputs: (batch, in).

        Returns:
            (batch, out); out is 1.
        """
        with torch.no_grad():
            member = self(inputs).squeeze(-1).argmin(0)
        found = inputs.new_zeros(len(inputs), 1)
        for number in member.unique().tolist():
            rows = (member == number).nonzero().squeeze(-1)
            value = self(inputs.index_select(0, rows), [number])[0]
            found = found.index_copy(0, rows, value)
        return found


class Actor(nn.Module):
    """A Gaussian squashed by tanh: actions in (-1, 1).

    Args:
        observations: Numbers of an observation.
        actions: Numbers of an action.
        hidden: Units of each hidden layer.
        layer_norm: Normalise before each ReLU.
        widest: Largest standard deviation, before squashing.
    """

    def __init__(
        self,
        observations: int,
        actions: int,
        hidden: Sequence[int],
        *,
        layer_norm: bool = False,
        widest: float = math.exp(LOG_STD[1]),
    ) -> None:
        super().__init__()
        self.net = mlp((observations, *hidden, 2 * actions), layer_norm=layer_norm)
        self._log_std = (LOG_STD[0], math.log(widest))

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation before squashing, (batch, actions) each."""
        mean, log_std = self.net(observation).chunk(2, dim=-1)
        return mean, log_std.clamp(*self._log_std)

    def sample(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Drawn actions (batch, actions) and their log-probabilities (batch,)."""
        mean, log_std = self(observation)
        noise = torch.randn_like(mean)
        raw = torch.addcmul(mean, log_std.exp(), noise)
        # log(1 - tanh(x)^2), without its cancellation. Source: TensorFlow Probability's Tanh.
        squash = 2.0 * (math.log(2.0) - raw - nn.functional.softplus(-2.0 * raw))
        normal = -0.5 * noise.square() - log_std - 0.5 * math.log(2.0 * math.pi)
        return raw.tanh(), (normal - squash).sum(-1)

    def best(self, observation: Tensor) -> Tensor:
        """The action in the middle of the distribution, (batch, actions)."""
        return self(observation)[0].tanh()


def follow(target: nn.Module, source: nn.Module, share: float) -> None:
    """Moves a target network by a share of the way to its source."""
    with torch.no_grad():
        for moved, goal in zip(target.parameters(), source.parameters(), strict=True):
            moved.lerp_(goal, share)
