"""pending.xml: counting operations, the drivers among them, torn files, hostile bytes."""

from __future__ import annotations

import random
import time
from contextlib import suppress

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import pending_xml
from tests.builders import servicing as builder

MUTANTS = 300  # a campaign may raise it
DRIVERS = "\\??\\C:\\Windows\\System32\\drivers"
STORE = "\\SystemRoot\\WinSxS\\amd64_acme_1"
OPERATIONS = (
    builder.hardlink(f"{STORE}\\acme.sys", f"{DRIVERS}\\ACME.sys"),
    builder.hardlink(f"{STORE}\\a.dll", "\\??\\C:\\Windows\\System32\\a.dll"),
    builder.delete(f"{DRIVERS}\\old.sys"),
    builder.delete(f"{STORE}\\gone.sys"),
    builder.set_value("\\Registry\\Machine\\Software\\Acme", "Version"),
)


def test_queue() -> None:
    queue = pending_xml.parse(builder.queue(OPERATIONS))
    assert queue.identifier == builder.IDENTIFIER
    assert queue.operations == len(OPERATIONS)
    assert queue.drivers == ("acme.sys", "old.sys")


def test_an_empty_queue() -> None:
    assert pending_xml.parse(builder.queue(())).operations == 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_encodings(encoding: str) -> None:
    text = builder.queue(OPERATIONS).decode("utf-8-sig")
    assert pending_xml.parse(text.encode(encoding)).drivers == ("acme.sys", "old.sys")


def test_a_torn_file_counts_as_far_as_it_goes() -> None:
    data = builder.queue(OPERATIONS * 50)
    half = pending_xml.parse(data[: data.index(b"</POQ>") // 2])
    assert 50 < half.operations < 250
    assert half.drivers == ("acme.sys", "old.sys")


def test_public_version_3_file() -> None:
    """The file of a public write-up of Windows Downdate, in its own spelling."""
    data = b"""<?xml version='1.0' encoding='utf-8'?>
<PendingTransaction Version="3.1" WcpVersion="10.0.22621.2567" Identifier="916ae7">
        <POQ postAction="reboot">
                <HardlinkFile source="\\??\\C:\\t.exe" destination="\\??\\C:\\Windows\\t.sys" />
        </POQ>
        <POQ>
        </POQ>
</PendingTransaction>
"""
    queue = pending_xml.parse(data)
    assert (queue.identifier, queue.operations, queue.drivers) == ("916ae7", 1, ("t.sys",))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(bytes(4096), id="zeros"),
        pytest.param(b"<?xml version='1.0'?><assembly/>", id="another document"),
        pytest.param(b" " * 5000 + builder.queue(OPERATIONS), id="root too far away"),
    ],
)
def test_no_queue(data: bytes) -> None:
    with pytest.raises(FormatError):
        pending_xml.parse(data)


@pytest.mark.parametrize(
    "filler", [b"<", b"<a ", b"<POQ>", b"</POQ>", b'path="', b'<a path="x.sys">', b"a" * 1000]
)
def test_four_megabytes_of_anything_are_quick(filler: bytes) -> None:
    head = builder.queue(()).partition(b"</POQ>")[0]
    data = (head + filler * ((4 << 20) // len(filler)))[: 4 << 20]
    before = time.process_time()
    queue = pending_xml.parse(data)
    assert time.process_time() - before < 4
    assert len(queue.drivers) <= 200


def test_mutants() -> None:
    data = builder.queue(OPERATIONS * 4)
    rng = random.Random("pending.xml")
    before, read = time.process_time(), 0
    for _ in range(MUTANTS):
        mutant = bytearray(data)
        for _ in range(rng.randrange(1, 30)):
            mutant[rng.randrange(len(mutant))] = rng.choice((34, 60, 62, 0, rng.randrange(256)))
        with suppress(FormatError):
            queue = pending_xml.parse(bytes(mutant))
            assert queue.operations <= 30
            read += 1
    assert read > MUTANTS // 3
    assert time.process_time() - before < 0.01 * MUTANTS + 1
