"""The way to a timestamp service, over HTTP on this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from signing import sign_timestamp
from signing.sign_timestamp import TimestampError
from tests.builders import timestamp_service as builder
from tests.builders.timestamp_service import Service
from tests.conftest import need
from tests.signing.makers import refused
from winpe import timestamp_service
from winpe.errors import DownloadError, MediaUsageError

pytestmark = need("openssl")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return builder.make(tmp_path_factory.mktemp("tsa"))


@pytest.fixture(scope="module")
def address(service: Service) -> Iterator[str]:
    with builder.listening(service) as found:
        yield found


def test_a_date_over_http(address: str, service: Service) -> None:
    known = sign_timestamp.organisation([service.authority])
    dated = sign_timestamp.stamp(address, timestamp_service.post, known, datetime.now(UTC))
    assert len(dated(b"signature")) > 1000


def test_no_date(address: str, service: Service) -> None:
    known = sign_timestamp.organisation([service.authority])
    with refused(DownloadError, "answered 500"):
        timestamp_service.post(f"{address}/broken", b"")
    dated = sign_timestamp.stamp(
        f"{address}/empty", timestamp_service.post, known, datetime.now(UTC)
    )
    with refused(TimestampError, "cannot be read"):
        dated(b"signature")


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with refused(DownloadError, f"http://127.0.0.1:{port}", "cannot be reached"):
        timestamp_service.post(f"http://127.0.0.1:{port}", b"")


@pytest.mark.parametrize(
    "url", ["", "ftp://example.com", "file:///etc/passwd", "tsa.example.com", "http://[broken"]
)
def test_what_is_no_address(url: str) -> None:
    with refused(MediaUsageError, "http or https"):
        timestamp_service.post(url, b"")
