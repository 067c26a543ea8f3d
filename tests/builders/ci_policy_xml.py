"""Small Code Integrity policies in XML, from the parts that a test is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALLOW_ALL = '<Allow ID="ID_ALLOW_ALL" FileName="*" />'


@dataclass(frozen=True, slots=True)
class Parts:
    """What lies in the policy; ids are those the parts themselves state."""

    rules: str = ALLOW_ALL  # Deny, Allow, FileAttrib elements
    files: Sequence[str] = ("ID_ALLOW_ALL",)  # FileRulesRef of the drivers' scenario
    signers: str = ""
    denied: str = ""  # DeniedSigner elements
    allowed: str = ""
    options: Sequence[str] = ("Enabled:Unsigned System Integrity Policy",)
    ekus: str = ""
    scenario: str = "131"
    attributes: str = ""  # of SiPolicy
    head: str = "<VersionEx>10.0.1.2</VersionEx>"
    rest: str = ""  # behind the scenarios
    more_scenarios: str = ""
    inherited: str = ""  # attribute of the scenario


def policy(parts: Parts = Parts()) -> bytes:
    """The whole document, in UTF-8."""
    options = "".join(f"<Rule><Option>{option}</Option></Rule>" for option in parts.options)
    files = "".join(f'<FileRuleRef RuleID="{name}" />' for name in parts.files)
    return f"""<?xml version="1.0" encoding="utf-8"?>
<SiPolicy xmlns="urn:schemas-microsoft-com:sipolicy" {parts.attributes}>
  {parts.head}
  <PlatformID>{{2E07F7E4-194C-4D20-B7C9-6F44A6C5A234}}</PlatformID>
  <Rules>{options}</Rules>
  <EKUs>{parts.ekus}</EKUs>
  <FileRules>
    {parts.rules}
  </FileRules>
  <Signers>{parts.signers}</Signers>
  <SigningScenarios>
    <SigningScenario Value="{parts.scenario}" ID="ID_SCENARIO_1" {parts.inherited}>
      <ProductSigners>
        <AllowedSigners>{parts.allowed}</AllowedSigners>
        <DeniedSigners>{parts.denied}</DeniedSigners>
        <FileRulesRef>{files}</FileRulesRef>
      </ProductSigners>
    </SigningScenario>
    {parts.more_scenarios}
  </SigningScenarios>
  <UpdatePolicySigners />
  <CiSigners />
  <HvciOptions>0</HvciOptions>
  {parts.rest}
</SiPolicy>
""".encode()
