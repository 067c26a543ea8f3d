from __future__ import annotations

from pathlib import Path

import pytest

from signing.keys import SigningKey
from tests.packs import samples
from tests.repair import target
from tests.signing.makers import Shape, certified


@pytest.fixture(scope="session")
def key() -> SigningKey:
    return certified(Shape("Example Ltd"))


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.mkdir()
    target.build(path)
    (path / "Windows/System32/config/SOFTWARE").write_bytes(samples.software())
    return path
