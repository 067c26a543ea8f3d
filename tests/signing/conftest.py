"""One organisation key for all tests of the room: RSA 3072 takes its time to make."""

from __future__ import annotations

from pathlib import Path

import pytest

from signing import keys
from signing.keys import SigningKey


@pytest.fixture(scope="session")
def key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys") / "example"
    keys.new(folder, "Example Ltd")
    return folder


@pytest.fixture(scope="session")
def key(key_folder: Path) -> SigningKey:
    return keys.load(key_folder)
