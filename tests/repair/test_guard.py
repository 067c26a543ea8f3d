"""Who must never be disabled, and which role the refusal names."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from recoverykit.model import DeviceUse, DriverFile, Evidence, FilterUse, Service, Source
from recoverykit.repair import guard
from tests.repair.target import DRIVER, service

HERE = Source("Windows/System32/config/SYSTEM")
STORAGE = "{4d36e97b-e325-11ce-bfc1-08002be10318}"
NETWORK = "{4d36e972-e325-11ce-bfc1-08002be10318}"


def device(name: str, class_guid: str) -> DeviceUse:
    return DeviceUse(HERE, name, "PCI\\VEN_1234", class_guid)


def file(company: str) -> DriverFile:
    modified = datetime(2026, 1, 1, tzinfo=UTC)
    return DriverFile(Source(DRIVER), "acme filter.sys", 7000, modified, 1, company=company)


@pytest.mark.parametrize(
    ("asked", "evidence", "role"),
    [
        pytest.param(service("ACPI", "acpi.sys"), [], "a bus", id="by service name"),
        pytest.param(service("x", "ntfs.sys"), [], "a file system", id="by file name"),
        pytest.param(service("fvevol", "fvevol.sys"), [], "volumes", id="BitLocker"),
        pytest.param(service(group="Early-Launch"), [], "ELAM", id="early launch"),
        pytest.param(service(group="SCSI Miniport"), [], "storage controllers", id="group"),
        pytest.param(service(group="boot bus extender"), [], "the buses", id="group, any case"),
        pytest.param(
            service(),
            [FilterUse(HERE, "ACME", "class", "{71a27cdd}")],
            "filter of the class {71a27cdd}",
            id="class filter",
        ),
        pytest.param(
            service(),
            [FilterUse(HERE, "acme", "device", "USB\\VID")],
            "filter of the device USB",
            id="device filter",
        ),
        pytest.param(
            service(), [device("Acme", STORAGE.upper())], "SCSIAdapter", id="storage device"
        ),
        pytest.param(service(), [file("Microsoft Corporation")], "came with Windows", id="inbox"),
        pytest.param(service("disk", "disk.sys"), [], "must not be disabled", id="disk"),
    ],
)
def test_refused(asked: Service, evidence: list[Evidence], role: str) -> None:
    refusal = guard.refuse(asked, evidence)
    assert refusal is not None
    assert role in refusal.reason
    assert (refusal.driver, refusal.service) == (asked.driver, asked.name)


@pytest.mark.parametrize(
    ("asked", "evidence"),
    [
        pytest.param(service(), [], id="third party, no role"),
        pytest.param(service(), [FilterUse(HERE, "other", "class", "{x}")], id="another's filter"),
        pytest.param(service(), [device("other", STORAGE)], id="another's device"),
        pytest.param(service(), [device("acme", NETWORK)], id="a network card"),
        pytest.param(service(group="FSFilter Anti-Virus"), [], id="a scanner's group"),
        pytest.param(service(), [file("Acme Inc.")], id="third party by its file"),
    ],
)
def test_not_refused(asked: Service, evidence: list[Evidence]) -> None:
    assert guard.refuse(asked, evidence) is None
