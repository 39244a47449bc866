"""Clients that `make clients` generated, and services that answer them; without CLIENTS nothing here runs."""

import os
from pathlib import Path

import pytest

from tests.hostile.conftest import stage_of as stage_of


@pytest.fixture(scope="session")
def clients() -> Path:
    """The folder with a generated client per language and service."""
    folder = os.environ.get("CLIENTS")
    if not folder:
        pytest.skip("CLIENTS is not set: run `make clients`")
    return Path(folder)
