"""A pack that uses every word there is, pieces to make others of, and a Windows to try them on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from recoverykit import packs
from recoverykit.formats.hive import Hive
from recoverykit.model import Evidence, Plan, WindowsInstall
from recoverykit.packs import Made, Pack
from recoverykit.repair import hives
from tests.builders import registry
from tests.conftest import REPOSITORY
from tests.repair import target

EXAMPLES = REPOSITORY / "docs/examples"
JULY = EXAMPLES / "crowdstrike-2024-07-19.toml"
HASH = "0123456789abcdef" * 4

FULL = rf"""
format = 1
id = "acme-everything.2"
title = "Every word that a pack may use"
more = ["https://example.org/advisory", "https://example.org/faq"]

[only]
build-from = "10240"
build-before = "26200.5000"
architecture = ["x64", "arm64"]
product = "Windows 1? *"

[[detect]]
name = "rules"
file = '%SystemRoot%\System32\drivers\Acme\rules-*.bin'
sha256 = ["{HASH}", "{HASH.upper().replace("0", "1")}"]
size = 4096
header = "AA AA aa AA 01"
modified-from = 2024-07-19T04:09:00Z
modified-before = 2024-07-19T07:27:00+02:00
most = 3

[[detect]]
name = "driver"
driver = "acme filter.sys"
version-from = "7.11"
version-before = "7.15.18513.0"

[[detect]]
name = "helper"
service = "AcmeHelper"
start = ["auto", "demand", "disabled"]

[[detect]]
name = "package"
package = "acme.inf"
provider = "Acme Ltd."
version-before = "2.0"

[[detect]]
name = "switch"
key = 'HKLM\SOFTWARE\Acme\Agent'
value = "Mode"
type = "dword"
data = 1

[[detect]]
name = "exempt"
key = 'HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\acme'
value = ""

[when]
all = ["driver", "package"]
any = ["rules", "helper", "switch"]
none = ["exempt"]

[[act]]
delete = "rules"

[[act]]
quarantine = "helper"

[[act]]
replace = "driver"
with = "acme filter 7.15.sys"
sha256 = "{HASH}"
url = "https://example.org/acme-7.15.sys"

[[act]]
set-value = "Mode"
key = 'HKLM\SOFTWARE\Acme\Agent'
type = "multi_sz"
data = ["off", "until further notice"]
create = true

[[act]]
delete-value = "Trace"
key = 'HKLM\SYSTEM\CurrentControlSet\Services\acme\Parameters'

[[verify]]
gone = "rules"

[[verify]]
present = "rules"

[[verify]]
disabled = "AcmeHelper"

[[verify]]
key = 'HKLM\SOFTWARE\Acme\Agent'
value = "Mode"
type = "multi_sz"
data = ["off", "until further notice"]

[[verify]]
key = 'HKLM\SYSTEM\CurrentControlSet\Services\acme\Parameters'
value = "Trace"
absent = true
"""

HEAD = 'format = 1\nid = "acme"\ntitle = "Acme"\n'
DETECT = "[[detect]]\nname = \"it\"\nfile = 'ProgramData\\Acme\\bad*.bin'\n"
ACT = '[[act]]\nquarantine = "it"\n'
VERIFY = '[[verify]]\ngone = "it"\n'
SMALL = HEAD + DETECT + ACT + VERIFY

CONTENT = "Windows/System32/drivers/CrowdStrike"
BAD = datetime(2024, 7, 19, 4, 9, 33, tzinfo=UTC)
GOOD = datetime(2024, 7, 19, 5, 27, 12, tzinfo=UTC)


def pack(*sections: str, head: str = HEAD) -> Pack:
    """A pack of these sections, as if it had been signed."""
    return small(head + "\n".join(sections))


def small(text: str = SMALL) -> Pack:
    return packs.check(text.encode()).signed("Example Ltd, key 00")


def put(mount: Path, name: str, content: bytes, when: datetime | None = None) -> Path:
    path = mount / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if when is not None:
        os.utime(path, (when.timestamp(), when.timestamp()))
    return path


@cache
def software() -> bytes:
    """A SOFTWARE hive with a few settings."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "SOFTWARE"
        changes = [
            registry.change("Acme\\Agent", {"Mode": 1, "Name": "agent"}),
            registry.change("Microsoft\\Windows NT\\CurrentVersion\\Winlogon", {"Shell": "x"}),
        ]
        registry.write(path, changes, target.NOW)
        return path.read_bytes()


def july(mount: Path) -> None:
    """What lay on millions of disks: the driver, a bad content file, others that are not."""
    put(mount, f"{CONTENT}/C-00000291-00000000-00000032.sys", b"\xaa\xaa\xaa\xaa bad" * 90, BAD)
    put(mount, f"{CONTENT}/C-00000291-00000000-00000033.sys", b"\xaa\xaa\xaa\xaa good" * 90, GOOD)
    put(mount, f"{CONTENT}/C-00000290-00000000-00000001.sys", b"\xaa\xaa\xaa\xaa other", BAD)
    put(mount, f"{CONTENT}/csagent.sys", b"MZ the driver" * 500, BAD)


def system(mount: Path) -> Hive:
    return hives.load(mount / target.SYSTEM)[0]


def install(mount: Path, **changes: str) -> WindowsInstall:
    known = {"build": "19045.4651", "architecture": "x64", "product": "Windows 10 Pro"}
    return replace(target.install(mount), **{**known, **changes})  # type: ignore[arg-type]


def made(mount: Path, what: Pack, evidence: Sequence[Evidence] = ()) -> Made:
    found = packs.make(what, install(mount), evidence, system(mount))
    assert isinstance(found, Made), found
    return found


def plan(mount: Path, what: Pack, evidence: Sequence[Evidence] = ()) -> Plan:
    return made(mount, what, evidence).plan
