"""The Windows versions the corpus has machines of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Profile:
    name: str
    product: str  # ProductName of the SOFTWARE hive
    edition: str
    build: int
    revision: int
    version: tuple[int, int]  # 10.0, 6.1
    display: str
    machine: str  # "x64", "x86", "arm64"
    generation: str  # of the table of inbox services
    released: datetime  # when its inbox files were built
    server: bool = False

    @property
    def suffix(self) -> str:
        """Of DriverStore and WinSxS folder names."""
        return {"x64": "amd64", "x86": "x86", "arm64": "arm64"}[self.machine]


WIN10 = Profile(
    *("win10-22h2", "Windows 10 Pro", "Professional", 19045, 4651, (10, 0), "22H2", "x64", "10"),
    datetime(2019, 12, 7, 9, 8, 38, tzinfo=UTC),
)
WIN10_HOME = Profile(
    *("win10-home", "Windows 10 Home", "Core", 19045, 5247, (10, 0), "22H2", "x64", "10"),
    datetime(2019, 12, 7, 9, 8, 38, tzinfo=UTC),
)
WIN11 = Profile(
    *("win11-23h2", "Windows 10 Pro", "Professional", 22631, 3880, (10, 0), "23H2", "x64", "10"),
    datetime(2022, 5, 7, 5, 19, 21, tzinfo=UTC),
)
WIN11_24H2 = Profile(
    *("win11-24h2", "Windows 10 Home", "Core", 26100, 4349, (10, 0), "24H2", "x64", "10"),
    datetime(2024, 4, 1, 7, 22, 10, tzinfo=UTC),
)
SERVER_2019 = Profile(
    *("server-2019", "Windows Server 2019 Standard", "ServerStandard", 17763, 6054, (10, 0)),
    *("1809", "x64", "10", datetime(2018, 9, 15, 7, 11, 12, tzinfo=UTC), True),
)
SERVER_2022 = Profile(
    *("server-2022", "Windows Server 2022 Datacenter", "ServerDatacenter", 20348, 2582, (10, 0)),
    *("21H2", "x64", "10", datetime(2021, 5, 8, 8, 14, 3, tzinfo=UTC), True),
)
WIN81 = Profile(
    *("win81", "Windows 8.1 Pro", "Professional", 9600, 20671, (6, 3), "", "x64", "8"),
    datetime(2013, 8, 22, 11, 36, 46, tzinfo=UTC),
)
WIN7 = Profile(
    *("win7", "Windows 7 Professional", "Professional", 7601, 24545, (6, 1), "", "x64", "7"),
    datetime(2010, 11, 20, 9, 33, 50, tzinfo=UTC),
)
WIN7_X86 = Profile(
    *("win7-x86", "Windows 7 Ultimate", "Ultimate", 7601, 24545, (6, 1), "", "x86", "7"),
    datetime(2010, 11, 20, 8, 30, 2, tzinfo=UTC),
)
ARM64 = Profile(
    *("win11-arm64", "Windows 10 Pro", "Professional", 22631, 3880, (10, 0), "23H2", "arm64"),
    *("10", datetime(2022, 5, 7, 5, 25, 0, tzinfo=UTC)),
)

CLIENTS = (WIN10, WIN10_HOME, WIN11, WIN11, WIN11_24H2)
X64 = (*CLIENTS, SERVER_2019, SERVER_2022)
EVERY = (*X64, WIN81, WIN7)

ZONES = (  # name, minutes to add to local time for UTC, in winter
    ("UTC", 0),
    ("GMT Standard Time", 0),
    ("W. Europe Standard Time", -60),
    ("Central European Standard Time", -60),
    ("FLE Standard Time", -120),
    ("Eastern Standard Time", 300),
    ("Central Standard Time", 360),
    ("Pacific Standard Time", 480),
    ("India Standard Time", -330),
    ("Tokyo Standard Time", -540),
    ("AUS Eastern Standard Time", -600),
    ("E. South America Standard Time", 180),
)
