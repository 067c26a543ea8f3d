"""Code Integrity policies in XML: the real list, mistakes with their lines, hostile documents."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest

from signing import ci_policy_xml, ci_rules
from signing.ci_rules import Kind
from signing.errors import MalformedError, SigningError
from tests.builders.ci_policy_xml import ALLOW_ALL, Parts, policy
from tests.conftest import real

MUTATIONS = 1500  # raised by hand for a campaign
GUID = "{610A906E-0544-4C73-A32A-AB70CE59A0EB}"


# --- the real one ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", real("signed/blocklist/loldrivers_DenyPolicy.xml"))
def test_a_real_list_is_read_whole(path: Path) -> None:
    """Counted and compared by regular expressions over its text."""
    data = path.read_bytes()
    words = data.decode("utf-8-sig")
    found = ci_policy_xml.parse(data)
    assert found.not_understood == ()
    for kind, tag in ((Kind.DENY, "Deny"), (Kind.ALLOW, "Allow"), (Kind.ATTRIBUTE, "FileAttrib")):
        ours = [rule.id for rule in found.rules if rule.kind is kind]
        assert ours == re.findall(rf'<{tag} ID="([^"]+)"', words)
    hashes = [rule.hash.hex().upper() for rule in found.rules if rule.hash]
    assert hashes == re.findall(r' Hash="([0-9A-F]+)"', words)
    assert len(hashes) == 2820
    assert [signer.id for signer in found.signers] == re.findall(r'<Signer ID="([^"]+)"', words)
    assert [signer.publisher.replace("&", "&amp;") for signer in found.signers] == re.findall(
        r'<CertPublisher Value="([^"]+)"', words
    )
    references = sum(len(signer.attributes) for signer in found.signers)
    assert references == words.count("<FileAttribRef ")
    denied = sum(len(one.product.denied) for one in found.scenarios)
    assert denied == words.count("<DeniedSigner ")
    assert sum(len(one.product.files) for one in found.scenarios) == words.count("<FileRuleRef ")
    assert {rule.kind: rule.friendly_name for rule in found.rules}[Kind.DENY].endswith("Sha256")
    assert found.options == set(re.findall(r"<Option>([^<]+)</Option>", words))
    assert found.name == "LOLDriversDeny"
    assert found.policy_id == GUID
    assert found.version == (1, 0, 0, 0)
    assert found.hvci == 2
    assert len(found.ci_signers) == words.count("<CiSigner ")
    rule = next(rule for rule in found.rules if rule.id == "ID_FILEATTRIB_F_1_1")
    assert rule.names == ((ci_rules.ORIGINAL_NAME, "EIO.sys"),)
    assert (rule.minimum, rule.maximum) == ((1, 9, 7, 0), None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(encoding: str) -> None:
    name = encoding.removesuffix("-sig")
    said = policy(Parts(rules=f'{ALLOW_ALL}<Deny ID="ID_DENY_1" FileName="安全专用" />'))
    data = said.decode().replace("utf-8", name).encode(encoding)
    assert ci_policy_xml.parse(data).rules[1].names == ((ci_rules.ORIGINAL_NAME, "安全专用"),)


def test_a_document_without_the_namespace_is_one_too() -> None:
    data = policy().replace(b'xmlns="urn:schemas-microsoft-com:sipolicy"', b"")
    assert ci_policy_xml.parse(data).rules[0].id == "ID_ALLOW_ALL"


def test_ids_and_names_of_the_old_and_the_new_kind() -> None:
    assert ci_policy_xml.parse(policy()).policy_id == ci_policy_xml.ENTERPRISE
    assert ci_policy_xml.parse(policy()).name == f"policy {ci_policy_xml.ENTERPRISE}"
    old = ci_policy_xml.parse(policy(Parts(rest=f"<PolicyTypeID>{GUID.lower()}</PolicyTypeID>")))
    assert (old.policy_id, old.type_id) == (GUID, GUID)
    attributes = 'PolicyType="Supplemental Policy" FriendlyName="Ours"'
    found = ci_policy_xml.parse(policy(Parts(attributes=attributes)))
    assert found.supplemental
    assert found.name == "Ours"


def test_a_policy_that_tags_programs_is_compiled_to_audit_mode() -> None:
    found = ci_policy_xml.parse(policy(Parts(attributes='PolicyType="AppID Tagging Policy"')))
    assert found.audit


def test_rules_of_the_general_kind() -> None:
    rules = "".join(
        f'<FileRule ID="ID_FILE_{number}" Type="{kind}" FileName="x.sys" />'
        for number, kind in enumerate(("Match", "Exclude", "Attribute"))
    )
    found = ci_policy_xml.parse(policy(Parts(rules=rules, files=())))
    assert [rule.kind for rule in found.rules] == [Kind.ALLOW, Kind.DENY, Kind.ATTRIBUTE]


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (Parts(options=("Enabled:Something New",)), "option 'Enabled:Something New'"),
        (Parts(rules='<Deny ID="A" Hash="AB" Nonce="7" />', files=("A",)), "Nonce of A"),
        (Parts(rules='<Forbid ID="A" FileName="x" />', files=("A",)), "file rule Forbid of line 8"),
        (Parts(ekus='<EKU ID="E" Value="010203" />'), "purpose 010203"),
        (
            Parts(
                signers='<Signer ID="S" Name=""><CertRoot Type="TBS" Value="AB" />'
                "<CertMood /></Signer>"
            ),
            "CertMood of S",
        ),
    ],
)
def test_what_is_not_understood_is_told(parts: Parts, told: str) -> None:
    assert ci_policy_xml.parse(policy(parts)).not_understood == (told,)


def test_an_option_that_is_a_setting() -> None:
    found = ci_policy_xml.parse(policy(Parts(options=(ci_rules.SETTING_OPTION,))))
    assert found.not_understood == ()
    assert [setting.value for setting in found.settings] == [True]


# --- mistakes ----------------------------------------------------------------------------------

SIGNER = '<Signer ID="S" Name=""><CertRoot Type="TBS" Value="AB" />{}</Signer>'


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        (Parts(rules='<Deny ID="A" />\n<Deny ID="A" />', files=()), "line 9: A a second time"),
        (Parts(rules="<Deny />", files=()), "line 8: Deny without ID"),
        (Parts(files=("NOBODY",)), "line 16: FileRuleRef names NOBODY, which is not there"),
        (Parts(rules='<Deny ID="A" Hash="XY" />', files=()), "line 8: 'XY' is no sequence of"),
        (Parts(rules='<Deny ID="A" Hash="A B " />', files=()), "line 8: 'A B ' is no sequence of"),
        (Parts(rules='<Deny ID="A" Hash="ABC" />', files=()), "line 8: 'ABC' is no sequence of"),
        (
            Parts(rules='<Deny ID="A" MinimumFileVersion="1.2.3.4.5" />', files=()),
            "line 8: '1.2.3.4.5' is no version",
        ),
        (
            Parts(rules='<Deny ID="A" MaximumFileVersion="65536" />', files=()),
            "line 8: '65536' is no version",
        ),
        (Parts(head="<VersionEx>ten</VersionEx>"), "line 3: 'ten' is no version"),
        (Parts(rest="<PolicyID>{7}</PolicyID>"), "line 24: '{7}' is no GUID"),
        (Parts(scenario="-1"), "line 12: '-1' is no number"),
        (Parts(scenario="4294967296"), "line 12: '4294967296' is no number"),
        (Parts(inherited='InheritedScenarios="X"'), "line 12: it inherits X, which is not there"),
        (Parts(signers='<Signer ID="S" Name="" />'), "line 10: Signer without CertRoot"),
        (Parts(signers=SIGNER.replace("TBS", "Any")), "line 10: CertRoot of no known type"),
        (Parts(signers=SIGNER.replace('"AB"', '""')), "line 10: CertRoot of no known type"),
        (
            Parts(signers=SIGNER.format('<FileAttribRef RuleID="ID_ALLOW_ALL" />')),
            "line 10: FileAttribRef names ID_ALLOW_ALL, which is no file attribute rule",
        ),
        (Parts(signers=SIGNER.format('<CertEKU ID="E" />')), "line 10: CertEKU names E, which is"),
        (
            Parts(signers=SIGNER.replace("<Signer ", '<Signer SignTimeAfter="noon" ')),
            "line 10: 'noon' is no time",
        ),
        (Parts(denied='<DeniedSigner SignerId="S" />'), "line 15: DeniedSigner names S, which"),
        (Parts(rest="<Settings><Setting /></Settings>"), "line 24: Setting without a value"),
        (
            Parts(
                rest="<Settings><Setting><Value><Boolean>maybe</Boolean></Value></Setting>"
                "</Settings>"
            ),
            "line 24: a value of type Boolean",
        ),
    ],
)
def test_a_mistake_is_refused_with_its_line(parts: Parts, problem: str) -> None:
    with pytest.raises(MalformedError, match=re.escape(problem)):
        ci_policy_xml.parse(policy(parts))


BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE SiPolicy [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>
<SiPolicy>&c;</SiPolicy>"""


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", "line 1: no element found", id="empty"),
        pytest.param(b"not XML", "line 1: syntax error", id="no XML"),
        pytest.param(b"<SiPolicy>", "line 1: no element found", id="unfinished"),
        pytest.param(b"<SiPolicy />trailing", "line 1: junk after", id="two documents"),
        pytest.param(b"<Policy />", "no SiPolicy", id="another document"),
        pytest.param(b'<SiPolicy xmlns="urn:other" />', "no SiPolicy", id="another namespace"),
        pytest.param(BOMB, "line 2: a document type is not accepted", id="entities"),
        pytest.param(
            b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><SiPolicy />',
            "line 1: a document type is not accepted",
            id="external document type",
        ),
        pytest.param(b"<SiPolicy>&x;</SiPolicy>", "line 1: undefined entity", id="entity"),
        pytest.param(
            b'<?xml version="1.0" encoding="utf-7"?><SiPolicy />', "encoding 'utf-7'", id="UTF-7"
        ),
        pytest.param(
            b'<?xml version="1.0" encoding="cp037"?><SiPolicy />', "encoding 'cp037'", id="EBCDIC"
        ),
        pytest.param(
            b'<?xml version="1.0" encoding="nonsense"?><SiPolicy />', "encoding", id="no encoding"
        ),
        pytest.param(b"<SiPolicy>" + b"<a>" * 20, "line 1: too many elements", id="deep"),
        pytest.param(
            b"<SiPolicy>" + b"<a/>" * 200_001 + b"</SiPolicy>", "too many elements", id="many"
        ),
        pytest.param(bytes(16 * 1024 * 1024 + 1), "too many", id="too large"),
        pytest.param(b"<SiPolicy>\xff</SiPolicy>", "line 1: not well-formed", id="no UTF-8"),
        pytest.param(b"<SiPolicy>\0</SiPolicy>", "line 1: not well-formed", id="zero"),
    ],
)
def test_hostile_documents_are_refused(data: bytes, problem: str) -> None:
    start = time.process_time()
    with pytest.raises(MalformedError, match=problem):
        ci_policy_xml.parse(data)
    assert time.process_time() - start < 5


# --- damage ------------------------------------------------------------------------------------


def mutated(good: bytes, rng: random.Random) -> bytes:
    """Pieces dropped, doubled and moved; tags and attributes of others; stray bytes."""
    bad = bytearray(good)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(bad))
        match rng.randrange(6):
            case 0:
                bad[at] = rng.randrange(256)
            case 1:
                del bad[at : at + rng.randrange(1, 60)]
            case 2:
                other = rng.randrange(len(good))
                bad[at:at] = good[other : other + rng.randrange(1, 60)]
            case 3:  # a number becomes another
                bad = bytearray(re.sub(rb"\d", b"%d" % rng.randrange(1 << 40), bytes(bad), count=1))
            case 4:  # a whole line a second time, or elsewhere
                lines = bytes(bad).split(b"\n")
                lines.insert(rng.randrange(len(lines)), rng.choice(lines))
                bad = bytearray(b"\n".join(lines))
            case _:
                words = rng.sample(re.findall(rb"\w+", bytes(bad)) or [b"x", b"y"], 2)
                bad = bytearray(bytes(bad).replace(words[0], words[1], 2))
    return bytes(bad)


def test_damage_is_refused_in_one_way_and_in_no_time() -> None:
    from tests.signing.test_ci_policy import FULL

    rng = random.Random(20261124)
    read, slowest = 0, 0.0
    for _ in range(MUTATIONS):
        bad = mutated(FULL, rng)
        start = time.process_time()
        try:
            found = ci_policy_xml.parse(bad)
        except SigningError:
            pass
        else:
            read += 1
            assert len(found.rules) < 50
        slowest = max(slowest, time.process_time() - start)
    assert slowest < 0.5
    assert 0 < read < MUTATIONS
