"""The command line of packs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from recoverykit import cli_pack, pipeline, remedy
from recoverykit.errors import RecoveryKitError
from recoverykit.model import LogPolicy, Outcome
from recoverykit.visit import Options
from signing import cms, keys, manifest
from signing.keys import SigningKey
from tests.packs import samples
from tests.repair import target
from tests.signing.makers import Shape, certified


@pytest.fixture
def folder(tmp_path: Path, key: SigningKey) -> Path:
    folder = tmp_path / "packs"
    folder.mkdir()
    content = samples.JULY.read_bytes()
    (folder / "july.toml").write_bytes(content)
    (folder / "july.toml.p7s").write_bytes(cms.sign_detached(content, key))
    (folder / "signing.crt").write_bytes(keys.certificate_pem(key.certificate))
    (folder / "bad.toml").write_text(samples.SMALL.replace("quarantine =", "\u202eburn ="))
    (folder / "worse.toml").write_text(samples.SMALL.replace("quarantine", "burn"))
    return folder


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli_pack.app, [str(each) for each in arguments])


def failure(result: Result) -> tuple[int, str]:
    """What `cli.main` makes of the errors that commands raise."""
    if isinstance(result.exception, RecoveryKitError):
        return result.exception.exit_code, str(result.exception)
    return result.exit_code, result.output


def test_show_says_in_words_what_a_pack_does(folder: Path) -> None:
    (folder / "full.toml").write_text(samples.FULL)
    shown = run("show", folder / "full.toml").output
    for line in (
        "acme-everything.2: Every word that a pack may use",
        "only for    Windows 1? *; build 10240 or later; build before 26200.5000; arm64 or x64",
        "rules: at most 3 files %SystemRoot%\\System32\\drivers\\Acme\\rules-*.bin, 4096 bytes",
        "beginning with aa aa aa aa 01, written 2024-07-19 04:09:00 UTC or later",
        "applies if  driver and package, and one of rules, helper, switch, and not exempt",
        "move away the files that rules finds (undo brings it back)",
        "disable and move away the driver that helper finds",
        "set Mode of HKLM\\SOFTWARE\\Acme\\Agent to multi_sz 'off', 'until further notice'",
        "switch: Mode of HKLM\\SOFTWARE\\Acme\\Agent is dword 1",
        "delete Trace of HKLM\\SYSTEM\\CurrentControlSet\\Services\\acme\\Parameters",
        "the service AcmeHelper does not start",
        "signed by   nobody that was asked for",
    ):
        assert line in shown, shown


def test_check(folder: Path) -> None:
    result = run("check", folder / "july.toml")
    assert (result.exit_code, "not checked" in result.output) == (0, True)
    result = run("check", folder / "july.toml", "--trust", folder / "signing.crt")
    assert "no mistakes; signed by Example Ltd, key" in result.output
    result = run("check", folder / "worse.toml")
    assert result.exit_code == 2
    assert "act[1]: the section has no verb" in result.output
    assert "act[1].burn: unknown key" in result.output


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("bad.toml", 10, "it is not TOML"),
        ("missing.toml", 2, "cannot be read"),
        ("worse.toml", 20, "has no signature worse.toml.p7s beside it"),
        ("july.toml", 20, "the remediation pack"),
    ],
)
def test_mistakes_and_strangers(folder: Path, name: str, code: int, said: str) -> None:
    stranger = certified(Shape("Example Ltd"))
    (folder / "stranger.crt").write_bytes(keys.certificate_pem(stranger.certificate))
    trust = ("--trust", folder / "stranger.crt") if code != 10 else ()
    found, text = failure(run("check", folder / name, *trust))
    assert (found, said in text) == (code, True), text


def test_without_anybody_to_trust(folder: Path, mount: Path) -> None:
    code, text = failure(run("test", folder / "july.toml", mount))
    assert (code, "nobody is trusted here" in text) == (2, True), text
    code, text = failure(run("test", folder / "july.toml", mount, "--trust", folder / "july.toml"))
    assert (code, "is not a PEM certificate" in text) == (2, True), text


def attempt(folder: Path, mount: Path, *options: str) -> Result:
    trust = ("--trust", folder / "signing.crt")
    return run("test", folder / "july.toml", mount, *trust, *options)


def test_test_says_whether_it_applies(folder: Path, mount: Path) -> None:
    before = target.state(mount)
    result = attempt(folder, mount)
    assert result.exit_code == 3
    assert "It does not apply here." in result.output
    samples.july(mount)
    result = attempt(folder, mount)
    assert result.exit_code == 0
    assert (
        "yes            faulty: Windows/System32/drivers/CrowdStrike/C-00000291-" in result.output
    )
    (mount / samples.CONTENT).rename(mount / "elsewhere")
    (mount / samples.CONTENT).symlink_to(mount / "elsewhere")
    result = attempt(folder, mount)
    assert (result.exit_code, "cannot be told" in result.output) == (5, True)
    (mount / samples.CONTENT).unlink()
    after = {name: kept for name, kept in target.state(mount).items() if "elsewhere" not in name}
    assert after == before


def test_json(folder: Path, mount: Path) -> None:
    samples.july(mount)
    found = json.loads(attempt(folder, mount, "--json").output)
    assert found["schema"] == "recoverykit.pack/1"
    assert found["exit_code"] == 0
    assert found["pack"]["id"] == "crowdstrike-2024-07-19"
    assert found["pack"]["signer"].startswith("Example Ltd, key ")
    (install,) = found["installations"]
    (condition,) = install["conditions"]
    assert (install["applies"], condition["holds"], len(condition["files"])) == (True, True, 1)
    assert condition["sources"][0]["path"] == condition["files"][0]


def test_no_windows_there(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, text = failure(attempt(folder, tmp_path / "empty"))
    assert (code, "no Windows installation was found" in text) == (3, True)


# --- through the pipeline -----------------------------------------------------------------


def load(folder: Path) -> remedy.Remedy:
    return remedy.load(folder / "july.toml", [folder / "signing.crt"])


def options(answers: Sequence[bool]) -> Options:
    given = iter(answers)
    return Options(ntfs_log=LogPolicy.REFUSE, ask=lambda _: next(given))


def test_a_pack_is_applied_like_every_repair(folder: Path, mount: Path) -> None:
    samples.july(mount)
    found = remedy.plan(mount, load(folder))
    (entry,) = found.installations
    assert entry.plan is not None
    assert entry.plan_digest
    assert entry.notes == ("Remediation pack crowdstrike-2024-07-19: It applies here.",)
    done = pipeline.carry_out(found, options([True]), remedy.job(load(folder)))
    assert [each.outcome for each in done.installations] == [Outcome.APPLIED], done
    assert len(list((mount / samples.CONTENT).iterdir())) == 3
    again = remedy.plan(mount, load(folder))
    assert again.installations[0].plan is None
    assert again.exit_code == 3
    pipeline.undo(mount, None, options([True]))
    assert len(list((mount / samples.CONTENT).iterdir())) == 4


def test_packs_of_the_medium(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    assert remedy.carried(root) == ()
    place = root / "usr/share/recoverykit/packs"
    place.mkdir(parents=True)
    for name in ("july.toml", "july.toml.p7s"):
        (place / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(RecoveryKitError, match="0 trusted certificates"):
        remedy.carried(root)
    (root / manifest.PAYLOAD_TRUST).mkdir(parents=True)
    anchor = (folder / "signing.crt").read_bytes()
    (root / manifest.PAYLOAD_TRUST / "example.crt").write_bytes(anchor)
    (carried,) = remedy.carried(root)
    assert (carried.pack.id, carried.folder) == ("crowdstrike-2024-07-19", place)
    (place / "july.toml").write_bytes(samples.JULY.read_bytes() + b"\n")
    with pytest.raises(RecoveryKitError, match="not what was signed"):
        remedy.carried(root)
