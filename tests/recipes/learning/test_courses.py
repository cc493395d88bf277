"""Episodes as transitions of chunks: rewards, ends, and who taught what."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: make setup")

from recipes.learning.courses import Course, Transitions, chunks, course
from robots.safety.table import Condition

CHUNK, DISCOUNT = 3, 0.9


def episode(sources: list[str], *, success: bool, reason: str = "") -> Course:
    steps = len(sources)
    states = np.arange(2 * steps, dtype=float).reshape(steps, 2)
    return course(0, states, 10.0 + states, sources, success=success, reason=reason)


def transitions() -> Transitions:
    return Transitions(
        lambda states: states,
        lambda states, actions: chunks(actions, CHUNK, None).reshape(len(states), -1),
        CHUNK,
        DISCOUNT,
    )


def test_a_success_is_rewarded_as_far_ahead_as_a_chunk_reaches() -> None:
    rows, _ = transitions().of(episode(["rl"] * 6, success=True))

    # The last chunk that ends within the episode sees its end just not.
    assert rows["goes_on"].tolist() == [1, 1, 1, 0, 0, 0]
    assert rows["reward"].tolist() == pytest.approx([0, 0, 0, 0.81, 0.9, 1.0])
    assert rows["next_observation"][0].tolist() == rows["observation"][3].tolist()
    assert rows["action"].shape == (6, 6)


def test_a_failure_ends_without_a_reward() -> None:
    rows, _ = transitions().of(episode(["rl"] * 5, success=False))
    assert rows["reward"].sum() == 0.0
    assert rows["goes_on"].tolist() == [1, 1, 0, 0, 0]


def test_values_go_on_beyond_a_time_limit_and_beyond_nothing_else() -> None:
    cut, _ = transitions().of(
        episode(["rl"] * 5, success=False, reason=Condition.EPISODE_LIMIT.value)
    )
    assert cut["goes_on"].tolist() == [1, 1, 1, 1, 1]
    assert cut["reward"].sum() == 0.0
    assert cut["next_observation"][-1].tolist() == cut["observation"][-1].tolist()
    stopped, _ = transitions().of(episode(["rl"] * 5, success=False, reason="force_limit"))
    assert stopped["goes_on"].tolist() == [1, 1, 0, 0, 0]


def test_a_chunk_is_taught_if_every_action_of_it_was() -> None:
    _, taught = transitions().of(episode(["rl", "rl", *["human"] * 4, "rl"], success=True))
    assert taught.tolist() == [False, False, True, True, False, False, False]
    _, taught = transitions().of(episode(["demonstration"] * 4, success=True))
    assert taught.all()


def test_chunks_are_measured_from_where_they_begin() -> None:
    states = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0]], dtype=np.float32)
    actions = np.array([[1.0, 7.0], [2.0, 7.0], [3.0, 7.0]], dtype=np.float32)
    found = chunks(actions, 2, states[:, :1])
    assert found.tolist() == [
        [[1.0, 7.0], [2.0, 7.0]],
        [[1.0, 7.0], [2.0, 7.0]],
        [[1.0, 7.0], [1.0, 7.0]],
    ]
