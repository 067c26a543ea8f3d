"""Events by which code integrity tells at a start whether it asks for Microsoft's own signatures.

As the real log in ../shared/data/evtx has 3085; 3084 has the same fields (nasbench's list of the
provider's events).
"""

from __future__ import annotations

from datetime import datetime

from tests.builders.evtx import Event, Provider, hex32, u8

ASKED, NOT_ASKED = 3084, 3085
_PROVIDER = Provider("Microsoft-Windows-CodeIntegrity", "{4ee76bd8-3cf4-44a0-a0ac-3937643e37a3}")


def enforcement(when: datetime, event: int, settings: int = 0, exemption: int = 1) -> Event:
    return Event(
        when,
        _PROVIDER,
        event,
        (("Settings", hex32(settings)), ("Exemption", u8(exemption))),
        version=1,
        as_system=True,
        channel="Microsoft-Windows-CodeIntegrity/Operational",
    )
