"""Logs of measured boots: whether Secure Boot was on."""

from __future__ import annotations

import base64
import random
import struct
import uuid

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import measured_boot
from tests.builders import measured_boot as build
from tests.builders.measured_boot import FIRMWARE, REST

MUTATIONS = 2_000  # a campaign sets more

# The beginning of the log that a Windows on a Google Cloud shielded VM kept, its first two events:
# google/go-attestation, attest/testdata/windows_gcp_shielded_vm.json (Apache-2.0).
REAL = base64.b64decode(
    "AAAAAAgAAAAUifkjxNynKReLPjIzRYVQ2N3fKQIAAAAAAAcAAAABAACA1P3R8U1AQUlN64/JkMRTQ9InfQg1AAAAYd/k"
    "i8qT0hGqDQDgmAMrjAoAAAAAAAAAAQAAAAAAAABTAGUAYwB1AHIAZQBCAG8AbwB0AAE="
)


@pytest.mark.parametrize("form", [build.old, build.agile])
@pytest.mark.parametrize(
    ("state", "expected"), [(b"\1", True), (b"\0", False), (b"", False), (b"\2", False)]
)
def test_state(form: object, state: bytes, expected: bool) -> None:
    assert callable(form)
    log = form((*FIRMWARE, build.secure_boot(state), *REST))
    assert measured_boot.secure_boot(log) is expected
    assert measured_boot.secure_boot(log + bytes(4096)) is expected


def test_real() -> None:
    assert measured_boot.secure_boot(REAL) is True
    first, second = measured_boot.events(REAL)
    assert (first.register, first.type) == (0, 8)
    assert (second.register, second.offset, len(second.data)) == (7, 34, 53)


@pytest.mark.parametrize(
    "other",
    [
        (6, build.VARIABLE_CONFIG, build.variable("SecureBoot", b"\1")),
        (7, 5, build.variable("SecureBoot", b"\1")),
        (7, build.VARIABLE_CONFIG, build.variable("SecureBoo", b"\1")),
        (7, build.VARIABLE_CONFIG, build.variable("SecureBoot", b"\1", uuid.UUID(int=1))),
    ],
    ids=["register", "type", "name", "guid"],
)
def test_other_measurements(other: build.Measured) -> None:
    assert measured_boot.secure_boot(build.old((*FIRMWARE, other, *REST))) is None


def test_three_banks() -> None:
    log = build.agile((*FIRMWARE, build.secure_boot(b"\1"), *REST), (4, 0xB, 0xC))
    assert measured_boot.secure_boot(log) is True
    assert len(list(measured_boot.events(log))) == 1 + len(FIRMWARE) + 1 + len(REST)


def _cut(size: int) -> bytes:
    return build.agile((*FIRMWARE, build.secure_boot(b"\1")))[:size]


BROKEN = {
    "empty": b"",
    "a few bytes": b"\0\0\0\1",
    "no log": b"MZ\x90\0" * 100,
    "cut in the second event": _cut(100),
    "cut in the variable": build.old((*FIRMWARE, build.secure_boot(b"\1")))[:-1],
    "event of 4 GiB": struct.pack("<II20sI", 0, 8, bytes(20), 0xFFFF_FFFF),
    "no kinds of digests": build.agile((), ()),
    "name of 2^63 characters": build.old(
        [(7, build.VARIABLE_CONFIG, struct.pack("<16sQQ", build.GLOBAL.bytes_le, 1 << 63, 1))]
    ),
    "unknown digest": build.agile((), (4,)) + struct.pack("<IIIH", 0, 8, 1, 0xB) + bytes(40),
    "many digests": build.agile((), (4,)) + struct.pack("<III", 0, 8, 17) + bytes(40),
    "too long": bytes(measured_boot.MAX_LOG + 1),
}


@pytest.mark.parametrize("log", BROKEN.values(), ids=BROKEN)
def test_broken(log: bytes) -> None:
    with pytest.raises(FormatError):
        measured_boot.secure_boot(log)


def test_many_events_end() -> None:
    one = build.old([(0, 8, b"")])
    with pytest.raises(FormatError, match="events"):
        measured_boot.secure_boot(one * (measured_boot.MAX_EVENTS + 2))


def test_mutations() -> None:
    """Nothing but a FormatError comes out, and nothing behind the measurement changes it."""
    rng = random.Random(20261124)
    head = (*FIRMWARE, build.secure_boot(b"\1"))
    logs = [(len(form(head)), form((*head, *REST))) for form in (build.old, build.agile)]
    outcomes = set()
    for _ in range(MUTATIONS):
        end, log = rng.choice(logs)
        broken = bytearray(log)
        at = rng.randrange(len(log))
        broken[at] ^= rng.randint(1, 255)
        try:
            found = measured_boot.secure_boot(bytes(broken[: rng.randint(end, len(log))]))
        except FormatError:
            outcomes.add("refused")
            assert at < end
            continue
        outcomes.add(str(found))
        assert found is True or at < end
    assert outcomes == {"refused", "True", "False", "None"}
