"""`build_media.py usb`: list the sticks, or make one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from signing import keys
from winpe import usb, usb_show
from winpe.errors import MediaUsageError
from winpe.progress import Progress
from winpe.usb_disks import Disk
from winpe.usb_errors import DeviceRefusedError

_LOOP = "Also take loop devices: for recoverykit's own tests, and for trying this out."


def usb_command(
    image: Annotated[
        Path | None, typer.Argument(help="The image (ISO) to write. Without it: list the sticks.")
    ] = None,
    device: Annotated[
        Path | None, typer.Argument(help="The whole device of the stick, e.g. /dev/sdb.")
    ] = None,
    trust: Annotated[
        Path | None, typer.Option(help="The certificate (PEM) you expect the image to be of.")
    ] = None,
    reports: Annotated[
        bool,
        typer.Option(
            "--reports/--no-reports", help="Make a partition RK-REPORTS of the rest of the stick."
        ),
    ] = True,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask. Needs --device-serial as well.")
    ] = False,
    device_serial: Annotated[
        str, typer.Option(help="The serial number that the stick must have.")
    ] = "",
    allow_loop: Annotated[bool, typer.Option("--allow-loop", hidden=True, help=_LOOP)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List the sticks, or write an image to one and prove by reading back that it is there.

    Only sticks, SD cards and USB disks: disks inside this machine are never written to. The image
    is verified first, and the boot sector is written last: a stick that was pulled out in the
    middle starts nothing.

      build_media.py usb\n
      sudo build_media.py usb recovery.iso /dev/sdb --trust ./keys/signing.crt\n
      sudo build_media.py usb recovery.iso /dev/sdb --yes --device-serial 4C530001
    """
    if image is None:
        found = usb_show.listed(allow_loop=allow_loop)
        typer.echo(usb_show.list_json(found) if as_json else usb_show.list_text(found))
        return
    if device is None:
        raise MediaUsageError(
            "which stick? Name its device", hint="`build_media.py usb` lists them"
        )
    _check_yes(yes, device_serial)
    options = usb.Options(
        image=image,
        device=device,
        trust=None if trust is None else [keys.load_certificate(trust)],
        reports=reports,
        allow_loop=allow_loop,
    )
    progress = Progress()
    try:
        made = usb.write(options, lambda disk: _confirm(disk, device_serial, yes=yes), progress)
        progress.done()
    finally:
        progress.close()
    typer.echo(usb_show.written_json(made) if as_json else usb_show.written_text(made))


def _check_yes(yes: bool, serial: str) -> None:
    if yes and not serial:
        raise MediaUsageError(
            "--yes needs --device-serial: names like /dev/sdb go to another disk at the next start",
            hint="`build_media.py usb` shows the serial number of each stick",
        )


def _confirm(disk: Disk, serial: str, *, yes: bool) -> None:
    """Raise DeviceRefusedError unless this stick is meant."""
    if serial and serial != disk.serial:
        has = f"has the serial number {disk.serial}" if disk.serial else "has no serial number"
        raise DeviceRefusedError(f"{disk.path} {has}, not {serial}")
    if yes:
        return
    if not sys.stdin.isatty():
        raise MediaUsageError(
            "nobody is there to be asked",
            hint="run it in a terminal, or give --yes and --device-serial SERIAL",
        )
    # On the error output: with --json the result alone stands on the other.
    answer = typer.prompt(usb_show.question(disk), default="", show_default=False, err=True)
    if answer.strip().removeprefix("/dev/") != disk.name:
        raise DeviceRefusedError(f"{answer!r} is not {disk.name}: nothing was written")
