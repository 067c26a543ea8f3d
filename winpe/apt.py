"""Debian packages through an apt of our own, isolated from the host's.

Its lists, archives, sources and (empty) dpkg status lie in the cache, so the media are built
from one Debian release whatever the host runs, without root, and the host's apt is never
touched. apt checks the archive's signature against the host's debian-archive-keyring and every
package against the index; what lies in the archives folder is checked once more, here, against
the SHA-256 of the index or of the lock. The host's apt.conf still applies: proxies and logins live
there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote

from winpe import cache as store
from winpe import tools
from winpe.architecture import X64, Architecture
from winpe.errors import DownloadError, MissingToolError
from winpe.mirrors import Mirrors, shown
from winpe.progress import Progress

KEYRINGS = tuple(
    Path("/usr/share/keyrings") / name
    for name in ("debian-archive-keyring.gpg", "debian-archive-keyring.pgp")
)

_CONF = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear APT::NeverAutoRemove;
#clear APT::Architectures;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Default-Release "";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Get::AllowUnauthenticated "false";
APT::Get::Assume-Yes "true";
APT::Sandbox::User "{user}";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Dir::State "{home}/state";
Dir::State::lists "{home}/state/lists";
Dir::State::status "{home}/state/status";
Dir::Cache "{home}/cache";
Dir::Cache::archives "{home}/cache/archives";
Dir::Cache::pkgcache "{home}/cache/pkgcache.bin";
Dir::Cache::srcpkgcache "{home}/cache/srcpkgcache.bin";
Dir::Etc::sourcelist "{home}/none";
Dir::Etc::sourceparts "{home}/sources.d";
Dir::Etc::preferences "{home}/none";
Dir::Etc::preferencesparts "{home}/none.d";
Dir::Etc::trusted "{home}/none";
Dir::Etc::trustedparts "{home}/none.d";
Dir::Log "{home}/log";
"""

_RENEW = "--update-lock makes the lock anew, with the packages of today"
_STANZA = "Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {keyring}\n"
_LOCKED = re.compile(r"[a-z0-9][a-z0-9.+-]+=[A-Za-z0-9][A-Za-z0-9.+~:-]*")
_GONE = re.compile(
    r"Version \W(?P<version>[^\s'\u2018\u2019]+)\W for \W(?P<name>[^\s'\u2018\u2019]+)\W was not"
)
_URI_LINE = re.compile(r"'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) ?(?P<hash>\S*)")


class GoneError(DownloadError):
    """A version that a lock names is not on the mirror any more: Debian keeps only the newest."""


@dataclass(frozen=True, slots=True)
class Package:
    """One Debian package of the closure."""

    name: str
    version: str
    file: str  # its name in the archives folder
    size: int
    digest: str  # "SHA256:..." as apt's index states it


@dataclass(frozen=True, slots=True)
class Apt:
    """An isolated apt: everything it knows lies below `home`."""

    home: Path
    mirrors: Mirrors
    suite: str
    architecture: Architecture

    @property
    def archives(self) -> Path:
        return self.home / "cache/archives"

    @property
    def index_date(self) -> int:
        """When Debian made the newest index this apt has, in seconds since 1970."""
        texts = (release.read_bytes() for release in self.releases())
        dates = (re.search(rb"^Date: (.+)$", text, re.MULTILINE) for text in texts)
        moments = (parsedate_to_datetime(found[1].decode()) for found in dates if found)
        return max((int(moment.timestamp()) for moment in moments), default=0)

    def releases(self) -> list[Path]:
        return sorted((self.home / "state/lists").glob("*Release"))


def open_apt(cache: Path, mirrors: Mirrors, suite: str, architecture: Architecture = X64) -> Apt:
    """Lay out the isolated apt in the cache. It has no index yet unless it was used before."""
    home = cache / "apt" / store.key(mirrors.main, mirrors.security, suite, architecture.debian)
    for folder in ("state/lists/partial", "cache/archives/partial", "sources.d", "none.d", "log"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    (home / "state/status").write_bytes(b"")
    keyring = next((path for path in KEYRINGS if path.is_file()), None)
    if keyring is None:
        raise MissingToolError("debian-archive-keyring")
    user = "root" if os.geteuid() == 0 else ""  # _apt cannot reach a cache in a home folder
    text = _CONF.format(home=home, user=user, architecture=architecture.debian)
    (home / "apt.conf").write_text(text)
    sources = (
        _STANZA.format(uri=mirrors.main, suites=f"{suite} {suite}-updates", keyring=keyring),
        _STANZA.format(uri=mirrors.security, suites=f"{suite}-security", keyring=keyring),
    )
    (home / "sources.d/debian.sources").write_text("\n".join(sources))
    return Apt(home, mirrors, suite, architecture)


def closure(
    apt: Apt,
    names: Sequence[str],
    progress: Progress,
    *,
    refresh: bool,
    locked: Sequence[Package] = (),
) -> list[Package]:
    """The packages and all they depend on. Fetches the index if there is none, or to refresh.

    With a lock it is the lock that is returned, once it is certain that it is the closure of the
    names and that everything in it is here or on the mirror. Raises DownloadError.
    """
    if locked:
        return _closure_of_lock(apt, names, progress, locked, refresh=refresh)
    _index(apt, progress, refresh=refresh)
    index = [release.read_bytes() for release in apt.releases()]
    known = apt.home / f"closure-{store.key(*index, *names)}.json"
    if known.is_file():
        return [Package(**fields) for fields in json.loads(known.read_text())]
    for old in apt.home.glob("closure-*.json"):
        old.unlink()
    found = _listed(apt, names, progress)
    if not found:
        raise DownloadError("apt named no packages to fetch", hint="try --refresh")
    known.write_text(json.dumps([asdict(package) for package in found], indent=1))
    return found


def _index(apt: Apt, progress: Progress, *, refresh: bool = False) -> bool:
    """Make sure that there is an index; True when it was fetched now."""
    wanted = refresh or not apt.index_date
    if wanted:
        progress.stage("Debian package index")
        _run(apt, progress, "update")
    return wanted


def _listed(apt: Apt, names: Sequence[str], progress: Progress) -> list[Package]:
    """What apt would fetch for these, if it had nothing."""
    # apt names no URI for a file that it already has: ask with an archives folder that is empty.
    with tempfile.TemporaryDirectory(dir=apt.home) as empty:
        elsewhere = ("-o", f"Dir::Cache::archives={empty}/", "-o", "Acquire::ForceHash=SHA256")
        listing = _run(apt, progress, *elsewhere, "install", "--print-uris", "-qq", *names)
    return parse_uris(listing.decode(errors="replace"))


def _closure_of_lock(
    apt: Apt, names: Sequence[str], progress: Progress, locked: Sequence[Package], *, refresh: bool
) -> list[Package]:
    """The lock, sorted by name. Needs no network where every file is here already."""
    wanted = sorted(locked, key=lambda package: package.name)
    pins = _pins(wanted)
    _same("the lock lacks", set(names) - {package.name for package in wanted})
    if all(_size(apt.archives / package.file) == package.size for package in wanted):
        return wanted  # their hashes are checked when they are used
    fresh = _index(apt, progress, refresh=refresh)
    try:
        found = _listed(apt, pins, progress)
    except GoneError:
        if fresh:
            raise
        _index(apt, progress, refresh=True)  # it may only be newer than the index that is here
        found = _listed(apt, pins, progress)
    _same("the lock lacks", set(_pins(found)) - set(pins))
    theirs = {package.name: package.digest for package in found}
    differ = (p.name for p in wanted if theirs.get(p.name, p.digest) != p.digest)
    _same("the mirror has another file than the lock for", set(differ))
    return wanted


def _pins(packages: Sequence[Package]) -> list[str]:
    """As apt-get install is asked for exact versions. Raises DownloadError for other words."""
    pins = [f"{package.name}={package.version}" for package in packages]
    for pin, package in zip(pins, packages, strict=True):
        if not _LOCKED.fullmatch(pin) or Path(package.file).name != package.file:
            raise DownloadError(f"the lock names no Debian package: {pin[:80]!r}", hint=_RENEW)
    return pins


def _same(what: str, names: set[str]) -> None:
    if names:
        raise DownloadError(f"{what} {', '.join(sorted(names)[:3])}", hint=_RENEW)


def download(apt: Apt, packages: Sequence[Package], progress: Progress) -> None:
    """Bring the packages into the archives folder; what is there already is only checked.

    Raises DownloadError; a file that is not what the index or the lock states is removed.
    """
    progress.stage(f"{len(packages)} Debian packages")
    if _not_whole(apt, packages):
        _index(apt, progress)
        _run(apt, progress, "install", "--download-only", *_pins(packages))
        if absent := _not_whole(apt, packages):
            hint = f"try --refresh. {_RENEW}"
            raise DownloadError(f"apt did not fetch {', '.join(absent[:3])} as stated", hint=hint)


def _not_whole(apt: Apt, packages: Sequence[Package]) -> list[str]:
    """The files that are not there; one with another hash is removed, so that apt fetches it."""
    absent = []
    for package in packages:
        path = apt.archives / package.file
        if not _is_whole(path, package):
            path.unlink(missing_ok=True)
            absent.append(package.file)
    return absent


def _is_whole(path: Path, package: Package) -> bool:
    if _size(path) != package.size:
        return False
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return package.digest == f"SHA256:{digest}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def parse_uris(listing: str) -> list[Package]:
    """What `apt-get install --print-uris` printed."""
    packages = []
    for line in listing.splitlines():
        if found := _URI_LINE.fullmatch(line.strip()):
            name, version, _ = unquote(found["file"]).split("_", 2)
            size = int(found["size"])
            packages.append(Package(name, version, found["file"], size, found["hash"]))
    return sorted(packages, key=lambda package: package.name)


def _run(apt: Apt, progress: Progress, *arguments: str) -> bytes:
    """Run apt-get, pass its download progress on, and explain what went wrong."""
    reader, writer = os.pipe()
    argv = ["apt-get", "-c", str(apt.home / "apt.conf"), "-o", f"APT::Status-Fd={writer}"]
    with (
        os.fdopen(reader, encoding="utf-8", errors="replace") as status,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as complaints,
    ):
        try:
            process = subprocess.Popen(
                [*argv, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=complaints,
                pass_fds=(writer,),
                env=tools.environment(),
            )
        except FileNotFoundError as exc:
            raise MissingToolError("apt-get") from exc
        finally:
            os.close(writer)
        for line in status:
            if line.startswith("dlstatus:"):
                progress(int(float(line.split(":", 3)[2])), 100)
        code = process.wait()
        output.seek(0)
        complaints.seek(0)
        if code:
            raise _explained(apt, complaints.read().decode(errors="replace"))
        return output.read()


def _explained(apt: Apt, complaints: str) -> DownloadError:
    lines = [shown(line[2:].strip()) for line in complaints.splitlines() if line[:2] == "E:"]
    said = "; ".join(lines[:2]) or complaints.strip()[-300:] or "apt-get failed"
    if gone := [f"{found['name']} {found['version']}" for found in _GONE.finditer(complaints)]:
        return GoneError(f"the mirror no longer has {', '.join(gone[:3])}", hint=_RENEW)
    if re.search(r"NO_PUBKEY|BADSIG|EXPKEYSIG|not signed|invalid signature", complaints):
        hint = "the mirror is not Debian's, or debian-archive-keyring on this machine is too old"
    elif re.search(r"[Uu]nable to locate package|has no installation candidate", complaints):
        hint = f"the mirror lacks part of Debian {apt.suite}; name another with --mirror URL"
    elif "No space left" in complaints or "enough free space" in complaints:
        hint = "free some space, or use --cache DIR on a larger disk"
    else:
        hint = "is there a network? A second try may help; --mirror URL names another mirror"
    return DownloadError(f"apt: {said}", hint=hint)
