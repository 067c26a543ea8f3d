"""The HTML report: safe with any name, whole in itself, readable; looked at with a real browser."""

from __future__ import annotations

import html
import itertools
import json
import re
import shutil
import socket
import subprocess
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recoverykit import report_style, report_timeline
from recoverykit.model import (
    CheckLine,
    Diagnosis,
    Finding,
    Gap,
    InstallReport,
    Kind,
    Moment,
    Outcome,
    Refusal,
    Report,
    Source,
    Suspect,
    TransactionInfo,
    Verdict,
)
from recoverykit.report_html import to_html
from recoverykit.report_scale import Layout, Scale
from tests.builders import reports

VOID = {"meta", "br", "link", "img", "hr", "input"}
URLS = ("src", "srcset", "href", "action", "data", "poster", "xlink:href", "formaction", "ping")


class Page(HTMLParser):
    """What a page is made of, and whether its tags are in balance."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):  # type: ignore[union-attr]
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> without its beginning"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data


PAGES = {
    "three installations": reports.THREE,
    "one": Report("repair", (reports.DRIVER,)),
    "registry": Report("check", (reports.HIVE_DAMAGED,)),
    "healthy": Report("diagnose", (reports.HEALTHY,)),
    "nothing": Report("find", gaps=(Gap(Source("/dev/sdb"), "is empty."),), exit_code=3),
    "not diagnosed": Report("history", (InstallReport(reports.install(), error="It broke."),)),
}


@pytest.mark.parametrize("report", PAGES.values(), ids=PAGES)
def test_a_page_is_well_formed_and_needs_nothing(report: Report) -> None:
    text = to_html(report)
    page = Page(text)
    assert page.open == []
    assert text == to_html(report)
    tags = [tag for tag, _ in page.tags]
    assert not {"script", "link", "img", "iframe", "object", "base", "form", "image", "use"} & {
        *tags
    }
    for _tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert all(attributes[name].startswith("#") for name in URLS if name in attributes)
    assert not re.search(r"url\(|@import|https?:", text)
    idents = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(idents) == len(set(idents))
    targets = [attributes["href"][1:] for tag, attributes in page.tags if tag == "a"]
    labels = [a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a]
    assert {*targets, *labels} <= set(idents)


@pytest.mark.parametrize("report", PAGES.values(), ids=PAGES)
def test_headings_follow_each_other(report: Report) -> None:
    levels = [int(tag[1]) for tag, _ in Page(to_html(report)).tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_what_the_report_holds_is_on_the_page() -> None:
    page = " ".join(Page(to_html(reports.THREE)).text.split())
    for said in (
        "The driver acmeflt.sys (service acmeflt by Acme Security GmbH) keeps it from starting.",
        "Acme Security GmbH, version 7.16.18605.0",
        "Windows/System32/config/SYSTEM [ControlSet001\\Services\\acmeflt] @ 0x4a1020",
        "Windows/ntbtlog.txt @ line 1312",
        "weight 185",
        "Set Start of ControlSet001\\Services\\acmeflt from 0 (boot) to 4 (disabled)",
        "Plan b7d1e0a94c52f8a6",
        "Nothing was changed: this was a dry run.",
        "chunk 12 is damaged: its checksum does not match.",
        "SYSTEM hive: The SYSTEM hive is dirty, and its logs are those of another hive.",
        "The hive is not written while the disk reports bad blocks.",
        "is encrypted with BitLocker and stays shut.",
        "quarantine old.sys",
        "The clock of this computer is 3 hours ahead of the newest record.",
        "Windows Server 2022 Standard",
        "Nothing wrong found",
    ):
        assert said in page
    moments = [
        moment
        for entry in reports.THREE.installations
        if entry.diagnosis
        for moment in entry.diagnosis.timeline
    ]
    assert len(moments) > 50
    for moment in moments:
        assert moment.text in page
        assert f"{moment.when:%H:%M:%S}" in page


def test_every_kind_and_every_outcome_has_its_words() -> None:
    for kind in Kind:
        entry = InstallReport(reports.install(), Diagnosis(kind, "Said."))
        assert 'class="verdict' in to_html(Report("diagnose", (entry,)))
    for outcome in Outcome:
        entry = InstallReport(reports.install(), outcome=outcome, transaction="20240719-a")
        assert "Transaction 20240719-a." in to_html(Report("repair", (entry,)))


EVIL = (
    "</style></svg><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    "&amp;\x1b[31m\u202e\ud800\n"
)


def hostile() -> Report:
    """A report in which every text is one a hostile disk could hold."""
    source = Source(EVIL, 3, EVIL)
    finding = Finding(EVIL, EVIL, 60, EVIL, (source,), Kind.HIVE)
    suspect = Suspect(EVIL, EVIL, Verdict.CULPRIT, 90, (finding,), EVIL, EVIL, EVIL)
    volume = replace(reports.install().volume, name=EVIL, disk=replace(reports.DISK, model=EVIL))
    install = replace(
        reports.install(), volume=volume, folder=EVIL, product=EVIL, build=EVIL, architecture=EVIL
    )
    story = tuple(
        Moment(reports.at("2024-07-19T05:00:00") + timedelta(hours=hour), what, EVIL, (source,))
        for hour, what in enumerate([*report_timeline.LANES, EVIL])
    )
    other = replace(finding, reason=f"other {EVIL}")
    diagnosis = Diagnosis(Kind.HIVE, EVIL, (suspect,), (Gap(source, EVIL),), (other,), story)
    plan = replace(reports.PLAN, reason=EVIL, driver=EVIL)
    entry = InstallReport(
        install,
        diagnosis,
        plan,
        EVIL,
        (Refusal(EVIL, EVIL, EVIL),),
        checks=(CheckLine(EVIL, ok=False, text=EVIL, sources=(source,)),),
        history=(TransactionInfo(EVIL, EVIL, None, EVIL, EVIL),),
        error=EVIL,
        notes=(EVIL,),
    )
    return Report(EVIL, (entry, entry), (Gap(source, EVIL),), notes=(EVIL,))


def test_nothing_a_disk_says_becomes_markup() -> None:
    text = to_html(hostile())
    page = Page(text)
    assert page.open == []
    assert "alert(1)" in page.text
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if "onerror" in name]
    assert all(char == "\n" or char.isprintable() for char in text)
    assert text.encode()  # no lone surrogates
    assert text.count("<style>") == text.count("</style>") == 1
    known = {*report_timeline.LANES, "other"}
    marks = {
        attributes["class"].removeprefix("mark ")
        for _, attributes in page.tags
        if attributes.get("class", "").startswith("mark ")
    }
    assert marks == known


def test_many_things_are_cut_short_and_counted() -> None:
    many = tuple(
        replace(reports.NOTED, driver=f"third{number}.sys", weight=1) for number in range(500)
    )
    gaps = tuple(Gap(Source(f"file{number}"), "broke.") for number in range(900))
    entry = InstallReport(reports.install(), Diagnosis(Kind.UNKNOWN, "Nobody knows.", many, gaps))
    text = to_html(Report("diagnose", (entry,)))
    assert "And 470 more" in text
    assert "And 700 more" in text
    assert len(text) < 200_000


# --- colours ------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_measured_right() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_texts_and_marks_can_be_seen(dark: bool) -> None:
    colours = {name: pair[dark] for name, pair in report_style.COLOURS.items()}
    for pairs, least in ((report_style.TEXT_PAIRS, 4.5), (report_style.MARK_PAIRS, 3.0)):
        for text, ground in pairs:
            assert contrast(colours[text], colours[ground]) >= least, (text, ground)


def test_the_style_sheet_uses_no_colour_but_those_measured() -> None:
    rules = report_style.sheet().replace("--", "\n--")
    used = set(re.findall(r"var\(\n--([a-z-]+)\)", rules))
    assert used - {"tone", "tone-ground", "ink"} <= set(report_style.COLOURS)
    defined = "".join(value for pair in report_style.COLOURS.values() for value in pair)
    assert all(colour in defined for colour in re.findall(r"#[0-9a-f]{3,6}\b", rules))


# --- the drawing --------------------------------------------------------------------------

LAYOUTS = pytest.mark.parametrize(
    "layout", [report_timeline.DESK, report_timeline.PHONE], ids=lambda layout: layout.css
)


def parsed(drawing: str) -> ET.Element:
    return ET.fromstring(drawing)  # noqa: S314 - what we made ourselves


def texts(drawing: str) -> list[tuple[str, float, float, str]]:
    """Class, x, y and text of every label."""
    return [
        (item.get("class", ""), float(item.get("x", 0)), float(item.get("y", 0)), item.text or "")
        for item in parsed(drawing).iter("text")
    ]


@LAYOUTS
def test_the_story_of_a_boot_loop(layout: Layout) -> None:
    drawing = report_timeline.draw(reports.driver_story(), "one", layout)
    root = parsed(drawing)
    told = texts(drawing)
    assert [text for css, _, _, text in told if css == "lane"] == [
        "Boots",
        "Came up",
        "Installed",
        "Changed",
        "Updates",
        "Crashes",
        "Repairs",
    ]
    assert "17 days" in [text for css, _, _, text in told if css == "cut-text"]
    assert "2024-07-19" in [text for css, _, _, text in told if css == "date"]
    assert "last sign that it came up" in [text for *_, text in told]
    marks = [item for item in root.iter("g") if item.get("transform")]
    assert len(marks) == len(reports.driver_story())
    assert all(item.find("title") is not None for item in marks)
    # The last two of 25 days have about half of the width.
    scale = Scale.of([moment.when for moment in reports.driver_story()], None, layout)
    recent = scale.at(reports.at("2024-07-17T13:00:00"))
    assert recent - layout.left < 0.55 * (layout.right - layout.left)


@pytest.mark.parametrize(
    ("story", "drawn"),
    [
        pytest.param((), False, id="nothing"),
        pytest.param(reports.driver_story()[:1], False, id="one moment"),
        pytest.param(reports.driver_story()[:1] * 3, False, id="one time"),
        pytest.param(reports.driver_story()[:2], True, id="two"),
        pytest.param(
            (
                Moment(datetime.max.replace(tzinfo=UTC), "boot", "far"),
                Moment(datetime.min.replace(tzinfo=UTC), "boot", "past"),
                Moment(reports.at("2024-07-19T05:00:00"), "boot", "now"),
            ),
            True,
            id="times a broken disk may hold",
        ),
    ],
)
def test_what_is_drawn(story: tuple[Moment, ...], drawn: bool) -> None:
    assert bool(report_timeline.draw(story, "one")) is drawn


def test_a_healthy_machine_has_no_last_sign_of_life() -> None:
    assert reports.HEALTHY.diagnosis is not None
    story = reports.HEALTHY.diagnosis.timeline
    assert "last sign" not in report_timeline.draw(story, "one")


START = datetime(2024, 1, 1, tzinfo=UTC)
MOMENTS = st.lists(
    st.builds(
        Moment,
        st.one_of(
            st.integers(0, 2 * 86_400).map(lambda second: START + timedelta(seconds=second)),
            st.integers(0, 9_000).map(lambda day: START + timedelta(days=day)),
            st.datetimes(timezones=st.just(UTC)),
        ),
        st.sampled_from([*report_timeline.LANES, "strange"]),
        st.one_of(st.text(max_size=60), st.sampled_from(["A boot began", "W" * 50])),
    ),
    max_size=60,
).map(tuple)


@LAYOUTS
@settings(max_examples=60, deadline=None)
@given(story=MOMENTS)
def test_any_story_can_be_drawn(layout: Layout, story: tuple[Moment, ...]) -> None:
    drawing = report_timeline.draw(story, "one", layout)
    if not drawing:
        return
    root = parsed(drawing)
    assert len(drawing) < 100_000
    for mark in root.iter("g"):
        if place := mark.get("transform"):
            x = float(place[10:].split()[0])
            assert layout.left - 1 <= x <= layout.right + 1
    rows: dict[float, list[tuple[float, float]]] = {}
    for css, x, y, text in texts(drawing):
        if css == "told":
            assert x >= 0
            rows.setdefault(y, []).append((x, x + report_timeline.length(text)))
    for row in rows.values():
        ends = sorted(row)
        assert all(end < start for (_, end), (start, _) in itertools.pairwise(ends))
        assert ends[-1][1] <= layout.width


@settings(max_examples=60, deadline=None)
@example(story=(Moment(datetime.min.replace(tzinfo=UTC), "boot", ""),))
@given(story=MOMENTS.filter(bool))
def test_later_stands_further_right(story: tuple[Moment, ...]) -> None:
    times = sorted({moment.when for moment in story})
    scale = Scale.of(times, times[len(times) // 2], report_timeline.DESK)
    places = [scale.at(when) for when in times]
    assert places == sorted(places)
    for (early, left), (late, right) in itertools.pairwise(zip(times, places, strict=True)):
        assert left <= scale.at(early + (late - early) / 2) <= right


# --- a real browser -----------------------------------------------------------------------

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
browser = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
ITS_OWN = re.compile(r"^[A-Z]+ (?:http://)?[a-z0-9.-]+\.(?:google|googleapis|gvt1)\.com[:/]")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--disable-client-side-phishing-detection",
    "--disable-dev-shm-usage",
)  # fmt: skip


def chromium(folder: Path, page: str, *options: str) -> str:
    """What Chromium prints for a page that lies in a file."""
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    run = subprocess.run(
        [CHROMIUM, *QUIET, f"--user-data-dir={folder / 'profile'}", *options, file.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return run.stdout


@contextmanager
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that answers nobody and remembers what it was asked for."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    asked.append(client.recv(4096).decode("latin-1").split("\r\n")[0])

        threading.Thread(target=serve, daemon=True).start()
        yield f"--proxy-server=127.0.0.1:{server.getsockname()[1]}", asked
        # Whatever the page, Chromium asks its maker for the time and the like.
        asked[:] = [line for line in asked if not ITS_OWN.search(line)]
        server.shutdown(socket.SHUT_RDWR)


@browser
def test_a_browser_shows_it_and_asks_nobody(tmp_path: Path) -> None:
    text = to_html(reports.THREE)
    with proxy() as (option, asked):
        shown = chromium(tmp_path, text, option, "--dump-dom")
    page, mine = Page(shown), Page(text)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in mine.tags]
    assert page.text.split() == mine.text.split()
    assert asked == []


@browser
def test_the_proxy_would_have_been_asked(tmp_path: Path) -> None:
    text = to_html(reports.THREE)
    spoilt = text.replace("default-src 'none'", "default-src *")
    image = '<img src="http://example.invalid/pixel.png">'
    with proxy() as (option, asked):
        chromium(tmp_path, spoilt.replace("</main>", f"{image}</main>"), option, "--dump-dom")
    assert any("example.invalid" in line for line in asked)


@browser
def test_the_policy_lets_nothing_in(tmp_path: Path) -> None:
    evil = '<img src="http://example.invalid/pixel.png"><script>document.title="ran"</script>'
    text = to_html(reports.THREE).replace("</main>", f"{evil}</main>")
    with proxy() as (option, asked):
        shown = chromium(tmp_path, text, option, "--dump-dom")
    assert asked == []
    assert "<title>ran" not in shown


MEASURE = """
<!doctype html><meta charset="utf-8"><iframe id="page" width="{width}" height="900"></iframe>
<pre id="result"></pre><script>
const frame = document.getElementById("page");
frame.onload = () => {{
  const page = frame.contentDocument, view = frame.contentWindow, overlaps = [];
  for (const svg of page.querySelectorAll("svg.timeline")) {{
    if (view.getComputedStyle(svg).display === "none") continue;
    const boxes = [...svg.querySelectorAll("text")].map(text => [text, text.getBBox()]);
    for (const [one, a] of boxes) for (const [other, b] of boxes)
      if (one !== other && a.x < b.x + b.width && b.x < a.x + a.width
          && a.y + 3 < b.y + b.height - 3 && b.y + 3 < a.y + a.height - 3)
        overlaps.push([one.textContent, other.textContent]);
    for (const [text, box] of boxes)
      if (box.x < -1 || box.x + box.width > svg.viewBox.baseVal.width + 1)
        overlaps.push([text.textContent, "edge"]);
  }}
  const shown = [...page.querySelectorAll("svg.timeline")].filter(
    svg => view.getComputedStyle(svg).display !== "none").map(svg => svg.getAttribute("class"));
  const small = [...page.querySelectorAll("svg.timeline text")].map(
    text => text.getBoundingClientRect().height).filter(height => height > 0 && height < 11);
  document.getElementById("result").textContent = JSON.stringify({{overlaps, shown, small,
    wide: page.documentElement.scrollWidth, width: view.innerWidth}});
}};
frame.srcdoc = {page};
</script>
"""


@browser
@pytest.mark.parametrize(
    ("width", "drawn"), [(1200, "timeline desk"), (390, "timeline phone"), (330, "timeline phone")]
)
@pytest.mark.parametrize("report", [reports.THREE, hostile()], ids=["three", "hostile"])
def test_nothing_overlaps_or_sticks_out(
    tmp_path: Path, report: Report, width: int, drawn: str
) -> None:
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", to_html(report))
    page = json.dumps(text).replace("</", "<\\/")
    outer = MEASURE.format(width=width, page=page)
    shown = chromium(tmp_path, outer, "--window-size=1400,1000", "--dump-dom")
    found = re.search(r'<pre id="result">(.*?)</pre>', shown, re.DOTALL)
    assert found
    measured = json.loads(html.unescape(found[1]))
    assert measured["overlaps"] == []
    assert set(measured["shown"]) == {drawn}
    assert measured["small"] == []
    assert measured["wide"] <= measured["width"] == width
