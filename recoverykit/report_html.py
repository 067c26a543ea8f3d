"""A Report as one HTML file that opens offline, on a telephone, in the dark and on paper.

Pure: values in, a string out, the same every time. Nothing is loaded and nothing runs: no script,
no image, no font, and a content security policy that says so. Every text goes through `_text`:
names come from disks that may be broken or hostile.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence

from recoverykit import __version__, report_style, report_timeline
from recoverykit.model import (
    CheckLine,
    Diagnosis,
    Finding,
    Gap,
    InstallReport,
    Kind,
    Moment,
    Outcome,
    Plan,
    Report,
    Source,
    Suspect,
    TransactionInfo,
    Verdict,
)
from recoverykit.report import (
    check_mark,
    nothing_found,
    other_findings,
    outcome_text,
    place,
    printable,
)
from recoverykit.report_plan import action_lines, stays_lines

_TITLES = {
    "find": "Windows installations",
    "diagnose": "What keeps this Windows from starting",
    "repair": "Repair",
    "undo": "A repair taken back",
    "check": "Check of the boot",
    "history": "Repairs made so far",
}
# What a kind is called, and the tone of its box.
_KINDS = {
    Kind.DRIVER: ("A driver", "bad"),
    Kind.CONTENT: ("A data file of a driver", "bad"),
    Kind.STORAGE: ("The driver of the boot disk", "bad"),
    Kind.FILTER: ("A filter driver", "bad"),
    Kind.HIVE: ("The registry", "bad"),
    Kind.BCD: ("Boot files", "bad"),
    Kind.SERVICING: ("An update that did not finish", "bad"),
    Kind.DISK: ("The disk or its file system", "bad"),
    Kind.HARDWARE: ("The hardware", "bad"),
    Kind.LOCKED: ("Locked, or not supported", "doubt"),
    Kind.HEALTHY: ("Nothing wrong found", "good"),
    Kind.UNKNOWN: ("Not determined", "doubt"),
}
_VERDICTS = {
    Verdict.CULPRIT: ("Culprit", "bad"),
    Verdict.SUSPECT: ("Suspect", "doubt"),
    Verdict.UNKNOWN: ("Noted", "none"),
}
_OUTCOMES = {
    Outcome.APPLIED: "good",
    Outcome.UNDONE: "good",
    Outcome.NOTHING_TO_DO: "good",
    Outcome.PLANNED: "none",
    Outcome.UNVERIFIED: "bad",
    Outcome.ROLLED_BACK: "bad",
    Outcome.FAILED: "bad",
    Outcome.REFUSED: "doubt",
}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_FOOT = "It was read from the disk; making this page changed nothing. Times are UTC."
_FULL_BAR = 100  # weight of a bar that is full, unless a suspect has more
_MOST_SOURCES = 6  # of one finding
_MOST_SUSPECTS = 30
_MOST_LINES = 200  # of a plan, of a list of gaps


def to_html(report: Report) -> str:
    """The report as an HTML document, UTF-8 without anything beside it, ending in a newline."""
    title = _TITLES.get(report.verb, "Report")
    numbered = list(enumerate(report.installations, start=1))
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{_text(title)} - recoverykit</title>",
        f"<style>{report_style.sheet()}</style>",
        "</head>",
        "<body>",
        *_top(title, report),
        "<main>",
        *(line for number, entry in numbered for line in _install(number, entry)),
        *_rest(report),
        "</main>",
        f"<footer><p>Made by recoverykit {_text(__version__)}. {_FOOT}</p></footer>",
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _text(text: object) -> str:
    return html.escape(printable(str(text)), quote=True)


def _element(tag: str, css: str, text: str) -> str:
    return f'<{tag} class="{css}">{_text(text)}</{tag}>' if text else ""


def _table(*columns: str) -> str:
    """The head of a table; its rows and the end of its body follow."""
    heads = "".join(f'<th scope="col">{_text(column)}</th>' for column in columns)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>"


def _section(title: str, body: Iterable[str]) -> Iterator[str]:
    """A titled section; nothing where it would be empty."""
    lines = [line for line in body if line]
    if lines:
        yield "<section>"
        yield f"<h3>{_text(title)}</h3>"
        yield from lines
        yield "</section>"


# --- the page -----------------------------------------------------------------------------


def _top(title: str, report: Report) -> Iterator[str]:
    yield '<header class="top">'
    yield f'<p class="eyebrow">recoverykit {_text(report.verb)}</p>'
    yield f"<h1>{_text(title)}</h1>"
    if not report.installations:
        yield f'<p class="quiet">{_text(nothing_found(report))}</p>'
    if len(report.installations) > 1:
        yield '<nav aria-label="Installations"><ol>'
        for number, entry in enumerate(report.installations, start=1):
            said = f": {entry.diagnosis.summary}" if entry.diagnosis else ""
            name = f"{entry.install.product or 'Windows'}, {entry.install.root}"
            yield f'<li><a href="#windows-{number}">{_text(name)}</a>{_text(said)}</li>'
        yield "</ol></nav>"
    yield "</header>"


def _rest(report: Report) -> Iterator[str]:
    body = [*_notes(report.notes, "Notes"), *_gaps(report.gaps, "What could not be read or used")]
    if body:
        yield '<article aria-labelledby="all">'
        yield '<h2 id="all">All that was looked at</h2>'
        yield from body
        yield "</article>"


def _install(number: int, entry: InstallReport) -> Iterator[str]:
    install, diagnosis = entry.install, entry.diagnosis
    disk = install.volume.disk
    facts = (
        f"Version {install.build}" if install.build else "",
        install.architecture,
        f"folder {install.folder}",
        f"on {install.volume.name}",
        disk.model if disk else "",
        f"control set {install.control_set}",
    )
    yield f'<article aria-labelledby="windows-{number}">'
    yield f'<h2 id="windows-{number}">{_text(install.product or "Windows")}</h2>'
    yield f'<p class="facts">{_text(", ".join(fact for fact in facts if fact))}</p>'
    yield from _verdict(entry)
    yield from _outcome(entry)
    if diagnosis:
        yield from _suspects(diagnosis.suspects)
        yield from _others(diagnosis)
        yield from _story(diagnosis.timeline, f"story-{number}")
        yield from _noted(diagnosis.suspects)
    yield from _plan(entry)
    earlier = [one.text for one in entry.aftermath]
    yield from _notes(earlier, "What became of earlier repairs")
    yield from _checks(entry.checks, "Check of the boot")
    yield from _checks(entry.checks_after, "Check of the boot after the repair")
    yield from _history(entry.history)
    yield from _notes(entry.notes, "Notes")
    if diagnosis:
        yield from _gaps(diagnosis.gaps, "What could not be read")
    yield "</article>"


def _verdict(entry: InstallReport) -> Iterator[str]:
    if entry.diagnosis:
        name, tone = _KINDS[entry.diagnosis.kind]
        yield f'<div class="verdict {tone}"><span class="tag">{_text(name)}</span>'
        yield f'<p class="said">{_text(entry.diagnosis.summary)}</p></div>'


def _outcome(entry: InstallReport) -> Iterator[str]:
    if entry.outcome:
        tone = _OUTCOMES[entry.outcome]
        yield f'<div class="verdict {tone}"><span class="tag">What was done</span>'
        yield f'<p class="said">{_text(outcome_text(entry))}</p></div>'
    if entry.error:
        yield '<div class="verdict bad"><span class="tag">Error</span>'
        yield f'<p class="said">{_text(entry.error)}</p></div>'


# --- what speaks against whom -------------------------------------------------------------


def _suspects(suspects: Sequence[Suspect]) -> Iterator[str]:
    full = max([_FULL_BAR, *(suspect.weight for suspect in suspects)])
    heavy = [suspect for suspect in suspects if suspect.verdict is not Verdict.UNKNOWN]
    body: list[str] = []
    if heavy:
        body.append('<ol class="suspects">')
        for suspect in heavy[:_MOST_SUSPECTS]:
            body += _suspect(suspect, full)
        body.append("</ol>")
    yield from _section("Who is suspected", [*body, *_more(heavy)])


def _noted(suspects: Sequence[Suspect]) -> Iterator[str]:
    light = [suspect for suspect in suspects if suspect.verdict is Verdict.UNKNOWN]
    rest = [line for suspect in light[:_MOST_SUSPECTS] for line in _lighter(suspect)]
    if rest:
        rest = ['<ul class="plain">', *rest, "</ul>", *_more(light)]
    yield from _section("Noted, and too little to suspect anybody", rest)


def _more(suspects: Sequence[Suspect]) -> Iterator[str]:
    left = len(suspects) - _MOST_SUSPECTS
    if left > 0:
        yield f'<p class="quiet">And {left} more; the JSON report has them.</p>'


def _lighter(suspect: Suspect) -> Iterator[str]:
    about = f"weight {suspect.weight}" + (f", {suspect.company}" if suspect.company else "")
    yield f"<li><b>{_text(suspect.driver)}</b> {_element('span', 'quiet', about)}"
    for finding in suspect.findings:
        yield f"<div>{_text(finding.reason)}</div>"
        yield from _seen(finding.sources[:1])
    yield "</li>"


def _suspect(suspect: Suspect, full: int) -> Iterator[str]:
    name, tone = _VERDICTS[suspect.verdict]
    about = (
        f"service {suspect.service}" if suspect.service else "",
        suspect.company,
        f"version {suspect.version}" if suspect.version else "",
    )
    share = max(0, min(100, round(100 * suspect.weight / full)))
    yield f'<li class="{tone}">'
    yield f'<div class="who"><h4>{_text(suspect.driver)}</h4>{_element("span", "tag", name)}'
    yield f"{_element('span', 'quiet', ', '.join(word for word in about if word))}</div>"
    if suspect.path:
        yield f'<div class="place quiet">{_text(suspect.path)}</div>'
    yield (
        '<div class="weight"><span class="track" aria-hidden="true">'
        f'<span class="fill" style="width:{share}%"></span></span>'
        f'<span><span class="quiet">weight</span> <b>{suspect.weight}</b></span></div>'
    )
    yield from _findings(suspect.findings)
    yield "</li>"


def _findings(findings: Iterable[Finding], *, subject: bool = False) -> Iterator[str]:
    yield '<ul class="findings">'
    for finding in findings:
        about = f"<b>{_text(finding.driver)}</b>: " if subject else ""
        yield f'<li><span class="points">+{finding.weight}</span><div>'
        yield f"<p>{about}{_text(finding.reason)}</p>"
        yield from _seen(finding.sources)
        yield "</div></li>"
    yield "</ul>"


def _seen(sources: Sequence[Source]) -> Iterator[str]:
    if not sources:
        return
    shown = "".join(
        f'<span class="place">{_text(place(source))}</span>' for source in sources[:_MOST_SOURCES]
    )
    left = len(sources) - _MOST_SOURCES
    more = f'<span class="place">and {left} more places</span>' if left > 0 else ""
    yield f'<div class="seen">{shown}{more}</div>'


def _others(diagnosis: Diagnosis) -> Iterator[str]:
    others = other_findings(diagnosis)
    yield from _section(
        "What was found beside drivers" if diagnosis.suspects else "What speaks for it",
        _findings(others, subject=True) if others else (),
    )


# --- what happened ------------------------------------------------------------------------


def _story(moments: Sequence[Moment], ident: str) -> Iterator[str]:
    if not moments:
        return
    shown = sorted(moments, key=lambda moment: moment.when)[-report_timeline.MOST :]
    yield from _section(
        "What happened",
        (
            report_timeline.draw(shown, f"{ident}-desk", report_timeline.DESK),
            report_timeline.draw(shown, f"{ident}-phone", report_timeline.PHONE),
            '<div class="scroll" role="region" tabindex="0" aria-label="The same as a table">',
            *_moments(shown),
            "</div>",
        ),
    )


def _moments(moments: Sequence[Moment]) -> Iterator[str]:
    """The newest first, under a line for each day: what a person looks for is at the top."""
    yield _table("Time (UTC)", "What", "What is recorded")
    day = ""
    for moment in reversed(moments):
        own = f"{moment.when:%Y-%m-%d}"
        if own != day:
            yield f'<tr class="day"><th scope="rowgroup" colspan="3">{own}</th></tr>'
            day = own
        what = report_timeline.lane_name(moment.what)
        yield (
            f'<tr><td class="when">{moment.when:%H:%M:%S}</td><td class="what">'
            f"{report_timeline.icon(moment.what)} <span>{_text(what)}</span></td>"
            f"<td>{_text(moment.text)}{''.join(_seen(moment.sources[:1]))}</td></tr>"
        )
    yield "</tbody></table>"


# --- what would be done, what was looked at -----------------------------------------------


def _plan(entry: InstallReport) -> Iterator[str]:
    refusals = [f"<p>{_text(refusal.reason)}</p>" for refusal in entry.refusals]
    yield from _section("Why nothing will be done unattended", refusals)
    plan = entry.plan
    if plan is not None and entry.outcome in (None, Outcome.PLANNED, Outcome.REFUSED):
        title = "What a repair would do" if plan.driver else "What will be done"
        yield from _section(title, _steps(plan, entry.plan_digest))


def _steps(plan: Plan, digest: str) -> Iterator[str]:
    lines = [line for action in plan.actions for line in action_lines(action)]
    yield f"<p>{_text(plan.reason)}</p>" if plan.reason else ""
    yield '<ol class="steps">'
    yield from (f"<li>{_text(line)}</li>" for line in lines[:_MOST_LINES])
    yield "</ol>"
    if len(lines) > _MOST_LINES:
        yield f'<p class="quiet">And {len(lines) - _MOST_LINES} more; the JSON report has them.</p>'
    stays = [f"<li>{_text(line)}</li>" for line in stays_lines(plan)]
    if stays:
        yield '<p>What stays, and why:</p><ul class="plain">'
        yield from (*stays, "</ul>")
    kept = "Before-images are kept on the volume: 'recoverykit undo' takes it all back."
    yield f'<p class="quiet">{_text(kept)}</p>'
    yield f'<p class="quiet">Plan <code>{_text(digest)}</code></p>' if digest else ""


_TONES = {"pass": "good", "FAIL": "bad", "warn": "none", "?": "none"}


def _checks(checks: Sequence[CheckLine], title: str) -> Iterator[str]:
    if not checks:
        return
    rows = [_table("Result", "Check", "What was seen")]
    for line in checks:
        mark = check_mark(line)
        tone, mark = _TONES[mark], mark.replace("?", "not checked")
        rows.append(
            f'<tr><td class="{tone}"><span class="tag">{mark}</span></td><td>{_text(line.check)}'
            f"</td><td>{_text(line.text)}{''.join(_seen(line.sources))}</td></tr>"
        )
    yield from _section(title, [*rows, "</tbody></table>"])


def _history(history: Sequence[TransactionInfo]) -> Iterator[str]:
    if not history:
        return
    rows = [_table("Started (UTC)", "State", "Repair")]
    for info in history:
        when = f"{info.started:%Y-%m-%d %H:%M}" if info.started else "unknown"
        rows.append(
            f'<tr><td class="when">{when}</td><td>{_text(info.state)}</td><td>'
            f'{_text(info.summary)}<div class="seen place">{_text(info.id)}</div></td></tr>'
        )
    yield from _section("Repairs made so far", [*rows, "</tbody></table>"])


def _notes(notes: Sequence[str], title: str) -> Iterator[str]:
    items = [f"<li>{_text(note)}</li>" for note in notes]
    yield from _section(title, ['<ul class="plain">', *items, "</ul>"] if items else ())


def _gaps(gaps: Sequence[Gap], title: str) -> Iterator[str]:
    items = [
        f"<li>{_text(gap.reason)}{''.join(_seen((gap.source,)))}</li>" for gap in gaps[:_MOST_LINES]
    ]
    if len(gaps) > _MOST_LINES:
        items.append(f"<li>And {len(gaps) - _MOST_LINES} more; the JSON report has them.</li>")
    yield from _section(title, ['<ul class="plain">', *items, "</ul>"] if items else ())
