"""An ensemble of networks computes, and learns, what its members would one by one."""

import pytest

torch = pytest.importorskip("torch")

from recipes.learning.networks import Actor, Ensemble  # noqa: E402


def alone(ensemble: Ensemble, member: int, inputs):
    """One member, layer by layer, out of place."""
    hidden, last = inputs, len(ensemble.weights) - 1
    for layer in range(last + 1):
        hidden = hidden @ ensemble.weights[layer][member] + ensemble.biases[layer][member]
        if layer < last:
            if len(ensemble.scales):
                hidden = torch.nn.functional.layer_norm(hidden, hidden.shape[-1:])
                hidden = hidden * ensemble.scales[layer][member] + ensemble.shifts[layer][member]
            hidden = torch.relu(hidden)
    return hidden


@pytest.mark.parametrize("layer_norm", [False, True])
def test_members_together_are_members_alone_in_values_and_gradients(layer_norm) -> None:
    torch.manual_seed(0)
    ensemble = Ensemble(3, (5, 16, 16, 1), layer_norm=layer_norm).double()
    inputs = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    wanted = [inputs, *ensemble.parameters()]

    together = ensemble(inputs)
    apart = torch.stack([alone(ensemble, member, inputs) for member in range(3)])
    torch.testing.assert_close(together, apart)
    found = torch.autograd.grad(together.square().sum(), wanted)
    expected = torch.autograd.grad(apart.square().sum(), wanted)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_chosen_members_are_those_of_the_whole() -> None:
    torch.manual_seed(0)
    ensemble = Ensemble(4, (5, 16, 1))
    inputs = torch.randn(7, 5)
    torch.testing.assert_close(ensemble(inputs, [2, 0]), ensemble(inputs)[[2, 0]])


@pytest.mark.parametrize("layer_norm", [False, True])
def test_the_least_member_has_the_minimums_value_and_gradient(layer_norm) -> None:
    torch.manual_seed(0)
    ensemble = Ensemble(10, (5, 16, 1), layer_norm=layer_norm).double().requires_grad_(False)
    inputs = torch.randn(64, 5, dtype=torch.float64, requires_grad=True)

    whole, least = ensemble(inputs).amin(0), ensemble.least(inputs)
    assert len(ensemble(inputs).argmin(0).unique()) > 1
    torch.testing.assert_close(least, whole)
    (expected,) = torch.autograd.grad(whole.square().sum(), inputs)
    (found,) = torch.autograd.grad(least.square().sum(), inputs)
    torch.testing.assert_close(found, expected)


def test_an_actor_draws_no_wider_than_it_may() -> None:
    torch.manual_seed(0)
    narrow, free = (Actor(3, 2, (8,), **kept) for kept in ({"widest": 0.05}, {}))
    for actor in (narrow, free):
        with torch.no_grad():
            actor.net[-1].bias[2:] = 1.0
    seen = torch.zeros(500, 3)
    torch.testing.assert_close(
        narrow.sample(seen)[0].atanh().std(0), torch.full((2,), 0.05), rtol=0.15, atol=0.0
    )
    assert (free.sample(seen)[0].std(0) > 0.5).all()
