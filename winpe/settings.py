"""What of a recipe the running system has to know: its settings, drivers and certificates.

They lie in the signed payload. The runtime's reader is `recoverykit.settings`; a test holds the two
together.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from signing import keys, manifest
from signing.errors import SigningError
from winpe.errors import MediaUsageError
from winpe.media import Media

SCHEMA = "recoverykit.settings/1"
LARGEST = 256 << 20  # bytes of replacement drivers: they lie in the memory of the broken machine
_MOST_FILES = 10_000


def document(media: Media) -> bytes:
    """The file, one byte sequence for one recipe."""
    values = {
        "schema": SCHEMA,
        "organisation": media.organisation.name,
        "contact": media.organisation.contact,
        "logo": list(media.organisation.logo),
        "keyboard": media.locale.keyboard,
        "stations": list(media.network.stations),
        "wifi": [{"ssid": each.ssid, "passphrase": each.passphrase} for each in media.network.wifi],
    }
    return (json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def install(media: Media, place: Path) -> None:
    """Put all of it into the payload below `place`. Raises MediaUsageError."""
    target = place / manifest.PAYLOAD_SETTINGS
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(document(media))
    for source, name in replacements(media):
        file = place / manifest.PAYLOAD_REPLACEMENTS / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, file)
    for path in media.carry.trust:
        found = certificate(path)
        file = place / manifest.PAYLOAD_DRIVER_TRUST / f"{keys.fingerprint(found)[:16]}.crt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(keys.certificate_pem(found))


def replacements(media: Media) -> list[tuple[Path, str]]:
    """The files of the folders of good drivers, each with its name on the medium."""
    found: list[tuple[Path, str]] = []
    size = 0
    for number, folder in enumerate(media.carry.replacements, 1):
        for path in _files(folder):
            relative = path.relative_to(folder).as_posix() if path != folder else path.name
            found.append((path, f"{number}-{folder.name}/{relative}"))
            size += path.stat().st_size
            if size > LARGEST or len(found) > _MOST_FILES:
                raise MediaUsageError(
                    f"{folder}: replacement drivers may have {_MOST_FILES:,} files and "
                    f"{LARGEST >> 20} MB",
                    hint="they lie in the memory of the broken machine; take those that are needed",
                )
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Plain files, in the order of their names; links are not followed."""
    if folder.is_file():
        yield folder
        return
    for place, folders, names in os.walk(folder, onerror=_unreadable):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _unreadable(error: OSError) -> None:
    raise MediaUsageError(f"{error.filename} cannot be read: {error.strerror}") from error


def certificate(path: Path) -> x509.Certificate:
    """One that vouches for drivers. Raises MediaUsageError."""
    try:
        return keys.load_certificate(path)
    except SigningError as exc:
        raise MediaUsageError(f"{path}: {exc}", hint=exc.hint) from exc
