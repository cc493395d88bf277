"""Short frames between station and worker: what they carry, and what they refuse."""

import numpy as np
import pytest

from robots.worker import quick

SEEN = {"pose": np.array([1.0, 2.0, 3.0]), "grid": np.arange(4.0).reshape(2, 2), "t": np.ones(1)}


def body(frame: bytes) -> memoryview:
    return memoryview(frame)[4:]


def test_an_observation_survives_the_way():
    layout = quick.Layout.of(SEEN)

    number, seen = layout.read(body(layout.frame(7, SEEN)))

    assert number == 7
    assert list(seen) == list(SEEN)
    for key, array in SEEN.items():
        np.testing.assert_array_equal(seen[key], array)
    seen["pose"][0] = 9.0
    assert SEEN["pose"][0] == 1.0


def test_an_action_survives_the_way():
    action = np.array([0.25, -1.0])

    frame = quick.frame_of(3, action)

    assert quick.is_quick(body(frame))
    np.testing.assert_array_equal(quick.read_numbers(body(frame), 3), action)


@pytest.mark.parametrize(
    "other",
    [
        {**SEEN, "more": np.ones(1)},
        {**SEEN, "pose": np.ones(4)},
        {**SEEN, "pose": np.ones(3, dtype=np.float32)},
        {"grid": SEEN["grid"], "pose": SEEN["pose"], "t": SEEN["t"]},
    ],
)
def test_an_observation_of_another_layout_takes_the_ordinary_way(other):
    assert quick.Layout.of(SEEN).frame(1, other) is None


@pytest.mark.parametrize(
    "seen",
    [{"image": np.zeros((2, 2), dtype=np.uint8)}, {"big": np.zeros(5000)}, {}, {"x": 1.0}, None],
)
def test_what_is_not_a_few_numbers_has_no_layout(seen):
    assert quick.Layout.of(seen) is None


@pytest.mark.parametrize(
    "value", [None, 1.0, [1.0], np.ones((2, 2)), np.ones(2, dtype=np.int64), np.ones(5000)]
)
def test_what_is_no_vector_takes_the_ordinary_way(value):
    assert quick.frame_of(1, value) is None


@pytest.mark.parametrize("forged", [b"\xc1", b"\xc1\x00\x00\x00\x00abc", b"\xc1" + bytes(9000)])
def test_a_frame_that_holds_no_numbers_is_refused(forged):
    with pytest.raises(ValueError, match="holds no numbers"):
        quick.read_numbers(memoryview(forged), 0)


def test_a_reply_to_another_call_is_refused():
    with pytest.raises(ValueError, match="reply 3 to request 4"):
        quick.read_numbers(body(quick.frame_of(3, np.ones(2))), 4)
