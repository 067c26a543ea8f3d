"""Every real hive that is dirty or has logs: what was applied, what was refused, and who agrees.

Three opinions to compare with: hives that Windows itself recovered (yarp's samples),
python-registry, and regipy, whose mistake is shown from the logs' own numbers and hashes.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import pytest
from Registry.RegistryLog import RegistryLog

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive
from recoverykit.formats.regf_log import recover
from tests.conftest import read_real
from tests.formats.hives import HIVES, content, hive_bytes, logs_of, samples

DAMAGED_LOG = "its header is damaged or was being written"
NO_LOG = r"no usable log \(there is none\)"


@dataclass(frozen=True, slots=True)
class Case:
    applied: tuple[str, ...] = ()
    error: str = ""  # why it cannot be made whole
    sequence: int = 0


CASES = {
    # clean: their logs are older, and Windows ignores the logs of a clean hive
    "bcd_asus/Boot_BCD": Case(sequence=415),
    "bcd_asus/Recovery_BCD": Case(sequence=13),
    # entries in two logs; the header is behind, the partial reconciliation was not (1621, 2107)
    "regipy_SYSTEM_B.xz": Case(
        ("LOG1: entries 2107 to 2110", "LOG2: entries 2111 to 2130"), "", 2130
    ),
    "yarp/NewDirtyHive1__NewDirtyHive": Case(
        ("LOG1: entries 2 to 2", "LOG2: entries 3 to 5"), "", 5
    ),
    # the older format; the second one's header is damaged and comes from the log
    "yarp/OldDirtyHive__OldDirtyHive": Case(("LOG1: 64 pages of 512 bytes",), "", 5),
    "yarp/BadBaseBlockHive__BadBaseBlockHive": Case(("LOG1: 64 pages of 512 bytes",), "", 5),
    # logs with wrong checksums
    "yarp/BadLogHive1__BadLogHive": Case(error=rf"LOG1: {DAMAGED_LOG}\)"),
    "yarp/BadLogHive3__BadLogHive": Case(error=rf"LOG1: {DAMAGED_LOG}; .*LOG2: {DAMAGED_LOG}\)"),
    # no logs
    "dfwinreg_win81_SYSTEM.xz": Case(error=NO_LOG),
    "regipy_SYSTEM_2.xz": Case(error=NO_LOG),
    "regipy_SYSTEM_WIN_10_1709.xz": Case(error=NO_LOG),
    "yarp/TruncatedDirtyHive": Case(error=NO_LOG),
}
ORPHANS = [  # logs without their hive
    "museum_win10_BCD-Template.LOG",
    "museum_win10_DRIVERS.LOG1",
    "museum_win10_DRIVERS.LOG2",
    "museum_win10_ELAM.LOG1",
]


def is_dirty(image: bytes) -> bool:
    words = struct.unpack_from("<128I", image)
    value = 0
    for word in words[:127]:
        value ^= word
    return bool(words[1] != words[2] or value != words[127])


def test_every_dirty_hive_and_every_log_is_in_the_table() -> None:
    hives = [name for name in samples() if hive_bytes(name)[:4] == b"regf"]
    assert {n for n in hives if is_dirty(hive_bytes(n)) or logs_of(n)} == CASES.keys()
    logs = {path.name for path in HIVES.rglob("*.LOG*")}
    used = {name for hive in CASES for name, _ in logs_of(hive)}
    assert {name.removesuffix(".xz") for name in logs} == used | set(ORPHANS)


@pytest.mark.parametrize("name", CASES)
def test_each(name: str) -> None:
    case, image, logs = CASES[name], hive_bytes(name), logs_of(name)
    if case.error:
        with pytest.raises(FormatError, match=case.error):
            recover(image, logs)
        return
    recovery = recover(image, logs)
    stem = name.rpartition("/")[2].removesuffix(".xz")
    assert recovery.applied == tuple(f"{stem}.{what}" for what in case.applied)
    assert recovery.refused == ()
    assert recovery.recovered == recovery.dirty == is_dirty(image) == bool(case.applied)
    assert recovery.sequence == case.sequence
    assert not is_dirty(bytes(recovery.data))
    assert (recovery.data is image) == (not case.applied)


@pytest.mark.parametrize("name", ORPHANS)
def test_a_log_is_neither_a_hive_nor_this_hives(name: str) -> None:
    orphan = hive_bytes(name)
    with pytest.raises(FormatError, match="transaction log, not a hive"):
        recover(orphan, [])
    with pytest.raises(FormatError, match="another hive"):
        recover(hive_bytes("regipy_SYSTEM_2.xz"), [(name, orphan)])


# --- Windows ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dirty", "healed"),
    [
        ("yarp/NewDirtyHive1__NewDirtyHive", "yarp/NewDirtyHive1__RecoveredHive_Windows10"),
        ("yarp/OldDirtyHive__OldDirtyHive", "yarp/OldDirtyHive__RecoveredHive_Windows7"),
        ("yarp/BadBaseBlockHive__BadBaseBlockHive", "yarp/OldDirtyHive__RecoveredHive_Windows7"),
    ],
)
def test_recovered_as_windows_did(dirty: str, healed: str) -> None:
    recovery = recover(hive_bytes(dirty), logs_of(dirty))
    assert content(Hive(recovery.data)) == content(Hive(hive_bytes(healed)))
    assert bytes(recovery.data)[4096:] != hive_bytes(dirty)[4096:]


def test_bins_are_windows_own_to_the_byte() -> None:
    name = "yarp/NewDirtyHive1__NewDirtyHive"
    ours = bytes(recover(hive_bytes(name), logs_of(name)).data)
    assert ours[4096:] == hive_bytes("yarp/NewDirtyHive1__RecoveredHive_Windows10")[4096:]


# --- python-registry ----------------------------------------------------------------------


def by_python_registry(primary: bytes, *logs: bytes) -> bytes:
    """As its own testing/TransactionLogFiles.py goes about it, but for numbers that wrap."""
    buffer, opened = io.BytesIO(primary), []
    for log in logs:
        buffer.seek(0)
        opened.append(RegistryLog(buffer, io.BytesIO(log)))
    first, second = opened if opened[0].is_starting_log(opened[1]) else opened[::-1]
    if not first.is_eligible_log():
        first = second
    last = first.recover_hive()
    if first is not second:
        second.reload_primary_regf()
        second.recover_hive_continue(last + 1 & 0xFFFF_FFFF)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["regipy_SYSTEM_B.xz", "yarp/NewDirtyHive1__NewDirtyHive"])
def test_equals_python_registry(name: str) -> None:
    """To the byte, header included. It refuses the older format, which the other samples have."""
    primary, logs = hive_bytes(name), logs_of(name)
    theirs = by_python_registry(primary, *(log for _, log in logs))
    assert bytes(recover(primary, logs).data) == theirs
    assert recover(primary, logs[::-1]).data == theirs


# --- regipy -------------------------------------------------------------------------------


def written(log: bytes) -> dict[int, tuple[int, bytes]]:
    """Page of the bins -> (number of the last entry that writes it, its bytes). Nothing of ours."""
    pages: dict[int, tuple[int, bytes]] = {}
    offset = 512
    while log[offset : offset + 4] == b"HvLE":
        size, _, number, _, count = struct.unpack_from("<5I", log, offset + 4)
        source = offset + 40 + 8 * count
        for index in range(count):
            where, length = struct.unpack_from("<II", log, offset + 40 + 8 * index)
            for start in range(0, length, 4096):
                pages[where + start] = (number, log[source + start : source + start + 4096])
            source += length
        offset += size
    return pages


def test_regipy_applies_the_newer_log_first(tmp_path: Path) -> None:
    """Its own sample, SYSTEM_B: pages of entries 2107 to 2110 end up over those of 2111 to 2130."""
    recovery = pytest.importorskip("regipy.recovery")
    name = "regipy_SYSTEM_B.xz"
    primary, ((_, log1), (_, log2)) = hive_bytes(name), logs_of(name)
    paths = [tmp_path / suffix for suffix in ("S", "S.LOG1", "S.LOG2", "out")]
    for path, data in zip(paths, (primary, log1, log2), strict=False):
        path.write_bytes(data)
    recovery.apply_transaction_logs(*map(str, paths))
    theirs, ours = paths[3].read_bytes(), bytes(recover(primary, logs_of(name)).data)
    older, newer = written(log1), written(log2)
    assert max(n for n, _ in older.values()) < min(n for n, _ in newer.values())
    wrong = [at for at in range(4096, len(ours), 4096) if differ(ours, theirs, at)]
    assert wrong == [0x2AA000, 0x467000]
    for at in wrong:  # both logs hold the page: Windows wrote LOG2's later
        assert theirs[at : at + 4096] == older[at - 4096][1]
        assert ours[at : at + 4096] == newer[at - 4096][1]
    for log, numbers in ((log1, range(2107, 2111)), (log2, range(2111, 2131))):
        whole = RegistryLog(io.BytesIO(primary), io.BytesIO(log))._regf.log_entries()
        assert [entry.sequence() for entry in whole] == list(numbers)  # it checks the hashes too
    assert is_dirty(theirs)  # it leaves a header with a wrong checksum besides
    assert not is_dirty(ours)


def differ(left: bytes, right: bytes, at: int) -> bool:
    return left[at : at + 4096] != right[at : at + 4096]


def test_another_machines_logs_are_refused() -> None:
    with pytest.raises(FormatError, match="other resource manager"):
        recover(hive_bytes("regipy_SYSTEM_WIN_10_1709.xz"), logs_of("regipy_SYSTEM_B.xz"))


@pytest.mark.parametrize("suffix", ["LOG1", "LOG2"])
def test_half_of_a_pair_does_not_do(suffix: str) -> None:
    """SYSTEM_B's header stands at 1621: with one log nothing proves that 1621 to 2106 are in it."""
    log = HIVES / f"regipy_SYSTEM_B.{suffix}.xz"
    with pytest.raises(FormatError, match=r"entries 1621 to 21(06|10) are missing"):
        recover(hive_bytes("regipy_SYSTEM_B.xz"), [(f"SYSTEM.{suffix}", read_real(log))])
