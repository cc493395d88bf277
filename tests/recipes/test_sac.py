"""A learner read back from its checkpoint goes on as if it had never stopped."""

import pytest

torch = pytest.importorskip("torch")

from recipes.learning import checkpoint  # noqa: E402
from recipes.learning.job import Job  # noqa: E402
from recipes.learning.sac import Sac, Settings  # noqa: E402


def batch(seed: int) -> dict:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    return {
        "observation": draw(16, 5), "action": draw(16, 2).tanh(), "reward": draw(16),
        "goes_on": torch.ones(16), "next_observation": draw(16, 5),
    }  # fmt: skip


def learn(learner: Sac, seeds: range) -> None:
    for seed in seeds:
        torch.manual_seed(seed)
        learner.update_critics(batch(seed))
        learner.update_actor(batch(seed))


def test_a_learner_goes_on_from_its_checkpoint_with_its_optimisers(tmp_path) -> None:
    settings = Settings(hidden=(16, 16), critics=3)
    through, before, after = (Sac(5, 2, settings) for _ in range(3))
    checkpoint.restore(checkpoint.state(**before.parts), **through.parts)
    learn(through, range(10))
    learn(before, range(5))
    job = Job(tmp_path)
    job.save("last", checkpoint.state(**before.parts), step=5)
    tensors, notes = job.resume()
    job._log.close()
    checkpoint.restore(tensors, **after.parts)
    learn(after, range(notes["step"], 10))

    found, wanted = checkpoint.state(**after.parts), checkpoint.state(**through.parts)
    assert found.keys() == wanted.keys()
    assert any("exp_avg_sq" in name for name in wanted)
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor)
