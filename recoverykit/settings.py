"""What the administrator's recipe says to the running system: who hands the medium out, the
keyboard, what was carried along.

One JSON file in the signed payload, written by the builder (winpe.settings). It is read after the
payload's manifest was checked. A system without it, a checkout for instance, has the defaults.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recoverykit.errors import FormatError
from signing import manifest

SCHEMA = "recoverykit.settings/1"
LARGEST = 1 << 20
_STRUCTURE = "settings of the medium"


@dataclass(frozen=True, slots=True)
class Wifi:
    ssid: str
    passphrase: str = ""  # "" for an open network


@dataclass(frozen=True, slots=True)
class Settings:
    organisation: str = ""  # "" for the name in the signer's certificate
    contact: str = ""
    logo: tuple[str, ...] = ()  # lines
    keyboard: str = ""  # a layout of this medium; "" for what the kernel has
    stations: tuple[str, ...] = ()  # https addresses
    wifi: tuple[Wifi, ...] = ()
    replacements: tuple[Path, ...] = ()  # folders of good drivers
    driver_trust: tuple[Path, ...] = ()  # certificates that vouch for those


DEFAULTS = Settings()


def load(root: Path = Path("/")) -> Settings:
    """The settings of the system below `root`. Raises FormatError for what no builder writes."""
    try:
        with (root / manifest.PAYLOAD_SETTINGS).open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except FileNotFoundError:
        return DEFAULTS
    except OSError as exc:
        raise FormatError(_STRUCTURE, 0, f"it cannot be read: {exc.strerror or exc}") from exc
    replacements = root / manifest.PAYLOAD_REPLACEMENTS
    trust = sorted((root / manifest.PAYLOAD_DRIVER_TRUST).glob("*.crt"))
    return _settings(content, (replacements,) if replacements.is_dir() else (), tuple(trust))


def _settings(content: bytes, folders: tuple[Path, ...], trust: tuple[Path, ...]) -> Settings:
    try:
        values = _values(content)
        return Settings(
            organisation=_text(values["organisation"]),
            contact=_text(values["contact"]),
            logo=_texts(values["logo"]),
            keyboard=_text(values["keyboard"]),
            stations=_texts(values["stations"]),
            wifi=tuple(_wifi(each) for each in values["wifi"]),
            replacements=folders,
            driver_trust=trust,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise FormatError(_STRUCTURE, 0, f"they cannot be understood ({exc})") from exc


def _values(content: bytes) -> dict[str, Any]:
    if len(content) > LARGEST:
        raise ValueError("too large")
    found: dict[str, Any] = json.loads(content)
    if found["schema"] != SCHEMA:
        raise ValueError("another schema")
    return found


def _wifi(values: dict[str, Any]) -> Wifi:
    return Wifi(_text(values["ssid"]), _text(values["passphrase"]))


def _text(value: Any) -> str:
    if not isinstance(value, str) or not (value.isprintable() or not value):
        raise TypeError(f"{value!r} is no text")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r} is no list")
    return tuple(_text(value) for value in values)
