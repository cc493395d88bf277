"""Textual makes thousands of small tasks: with asyncio's debugging each would keep its traceback."""

import asyncio

import pytest


@pytest.fixture(autouse=True)
async def quick_loop() -> None:
    asyncio.get_running_loop().set_debug(False)
