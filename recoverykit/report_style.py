"""How the HTML report looks: colours for light and dark, and the style sheet made from them.

Texts have a contrast of at least 4.5 with their ground (WCAG 2.2, level AA), marks and bars of at
least 3: a test measures them. Fonts are those of the system, for the page loads nothing.
"""

from __future__ import annotations

# By name, in light and in dark.
COLOURS: dict[str, tuple[str, str]] = {
    "ground": ("#ffffff", "#11161c"),
    "panel": ("#f5f7f9", "#1a2129"),
    "line": ("#d3dae1", "#323c47"),
    "text": ("#18202a", "#e4eaf0"),
    "quiet": ("#535e6b", "#a3afbb"),
    "link": ("#0b5cad", "#7db8f5"),
    "bad": ("#b3231c", "#ff8f86"),
    "bad-ground": ("#fdeeec", "#3a1d1c"),
    "doubt": ("#855300", "#f2b95c"),
    "doubt-ground": ("#fdf4e3", "#33270f"),
    "good": ("#1a6b37", "#73cf91"),
    "good-ground": ("#e9f6ed", "#14301f"),
    "boot": ("#535e6b", "#a3afbb"),
    "install": ("#0b5cad", "#7db8f5"),
    "change": ("#7a3eb1", "#c9a2f2"),
    "update": ("#0c6d75", "#62c7d0"),
    "repair": ("#855300", "#f2b95c"),
    "day": ("#f0f3f6", "#1a2129"),
}
# Texts on their grounds, by name: what the test measures.
TEXT_PAIRS = (
    *((text, on) for text in ("text", "quiet", "link") for on in ("ground", "panel", "day")),
    *((tone, f"{tone}-ground") for tone in ("bad", "doubt", "good")),
    *(("text", f"{tone}-ground") for tone in ("bad", "doubt", "good")),
    *(("quiet", f"{tone}-ground") for tone in ("bad", "doubt", "good")),
    *((tone, "ground") for tone in ("bad", "doubt", "good")),
    ("link", "bad-ground"),
    ("good", "day"),
)
MARK_PAIRS = tuple(
    (mark, ground)
    for mark in ("boot", "good", "install", "change", "update", "bad", "doubt", "repair")
    for ground in ("ground", "day", "bad-ground")
)


def _variables(dark: bool) -> str:
    return "".join(f"--{name}:{pair[dark]};" for name, pair in COLOURS.items())


_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;overflow-wrap:anywhere;background:var(--ground);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main,header.top,footer{max-width:60rem;margin:0 auto;padding:0 1.25rem}
header.top{padding-top:2rem}
h1,h2,h3{line-height:1.25;margin:0;text-wrap:balance}
h1{font-size:1.7rem;letter-spacing:-.01em}
h2{font-size:1.3rem}
h3{font-size:1.02rem;margin:2rem 0 .7rem}
h4{font-size:1rem;margin:0}
p{margin:.4rem 0}
a{color:var(--link)}
code,.place{font:.84em/1.45 ui-monospace,"Cascadia Mono",Consolas,"DejaVu Sans Mono",monospace}
.quiet{color:var(--quiet)}
.eyebrow{color:var(--quiet);font-size:.85rem;letter-spacing:.02em;margin:0 0 .3rem}
nav ol{padding-left:1.2rem;margin:.8rem 0 0}
article{margin:2rem 0 3rem;padding-top:1.6rem;border-top:1px solid var(--line)}
header.top+main>article:first-child{margin-top:1.4rem}
.facts{color:var(--quiet);margin:.25rem 0 0}
.verdict{margin:1.1rem 0 0;padding:1rem 1.2rem;border-left:5px solid var(--tone);
background:var(--tone-ground);border-radius:0 8px 8px 0}
.verdict p.said{font-size:1.18rem;line-height:1.4;font-weight:600;margin:.25rem 0 0}
.tag{display:inline-block;font-size:.8rem;font-weight:650;color:var(--tone)}
.bad{--tone:var(--bad);--tone-ground:var(--bad-ground)}
.doubt{--tone:var(--doubt);--tone-ground:var(--doubt-ground)}
.good{--tone:var(--good);--tone-ground:var(--good-ground)}
.none{--tone:var(--quiet);--tone-ground:var(--panel)}
ol.suspects,ul.findings,ul.plain{list-style:none;margin:0;padding:0}
ol.suspects>li{border:1px solid var(--line);border-radius:8px;padding:.9rem 1.1rem;margin:0 0 .8rem}
.who{display:flex;flex-wrap:wrap;gap:.15rem .8rem;align-items:baseline}
.who h4{font-size:1.08rem}
.weight{display:flex;align-items:center;gap:.7rem;margin:.55rem 0 .2rem}
.track{flex:1;height:9px;border-radius:5px;background:var(--panel);
box-shadow:inset 0 0 0 1px var(--line);overflow:hidden}
.fill{display:block;height:100%;background:var(--tone);border-radius:5px;
-webkit-print-color-adjust:exact;print-color-adjust:exact}
.weight b{min-width:2.2em;text-align:right;font-variant-numeric:tabular-nums}
ul.findings>li{display:grid;grid-template-columns:2.9rem 1fr;gap:0 .6rem;padding:.55rem 0 0}
ul.findings .points{color:var(--quiet);text-align:right;white-space:nowrap;
font-variant-numeric:tabular-nums}
ul.findings p{margin:0}
ul.findings>li>div,.who>*{min-width:0}
.seen{color:var(--quiet);margin:.1rem 0 0}
.seen .place{display:block;padding-left:1.1rem;text-indent:-1.1rem}
ul.plain>li{padding:.35rem 0;border-bottom:1px solid var(--line)}
ul.plain>li:last-child{border-bottom:0}
ol.steps{margin:.3rem 0;padding-left:1.6rem}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.32rem .8rem .32rem 0;
border-bottom:1px solid var(--line)}
th{font-weight:600;color:var(--quiet);font-size:.82rem;white-space:nowrap;overflow-wrap:normal}
td.when{white-space:nowrap;font-variant-numeric:tabular-nums}
td.what{white-space:nowrap}
td.mark-cell{width:1.4rem;padding-right:.4rem}
tr.day th{padding-top:.9rem;color:var(--text)}
.scroll{max-height:26rem;overflow:auto;border:1px solid var(--line);border-radius:8px;
padding:0 .9rem;margin-top:.8rem}
.scroll:focus-visible,a:focus-visible{outline:2px solid var(--link);outline-offset:2px}
svg.timeline{display:block;max-width:100%;height:auto;margin:.2rem 0 0}
svg.phone{display:none}
svg text{font:11.5px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:var(--text)}
svg .told{paint-order:stroke;stroke:var(--ground);stroke-opacity:.75;stroke-width:3px}
svg .lane{font-weight:600}
svg .time,svg .date,svg .cut-text{fill:var(--quiet);font-size:11px}
svg .date{font-weight:600}
svg .good-text{fill:var(--good);font-weight:600}
svg .day{fill:var(--day)}
svg .after{fill:var(--bad-ground);opacity:.55}
svg .rule,svg .tick{stroke:var(--line);fill:none}
svg .good-line{stroke:var(--good);stroke-width:1.5;stroke-dasharray:4 3;fill:none}
svg .cut path{stroke:var(--quiet);stroke-width:1;stroke-dasharray:1 3;fill:none}
.mark,.icon{fill:var(--ink);stroke:none}
.mark .line,.icon .line{stroke:var(--ink);stroke-width:2.5;stroke-linecap:round;fill:none}
.mark .open,.icon .open{fill:var(--ground);stroke:var(--ink);stroke-width:2}
.icon{display:inline-block;vertical-align:-2px;overflow:visible}
.mark.boot,.icon.boot,.mark.other,.icon.other{--ink:var(--boot)}
.mark.good,.icon.good{--ink:var(--good)}
.mark.install,.icon.install{--ink:var(--install)}
.mark.change,.icon.change{--ink:var(--change)}
.mark.update,.icon.update{--ink:var(--update)}
.mark.trouble,.icon.trouble{--ink:var(--doubt)}
.mark.crash,.icon.crash{--ink:var(--bad)}
.mark.repair,.icon.repair{--ink:var(--repair)}
footer{color:var(--quiet);font-size:.85rem;padding-bottom:2.5rem}
@media (max-width:44rem){
body{font-size:15.5px}
main,header.top,footer{padding-left:1rem;padding-right:1rem}
h1{font-size:1.4rem}
svg.desk{display:none}
svg.phone{display:block;width:100%;max-width:29rem}
.verdict{padding:.8rem .9rem}
.verdict p.said{font-size:1.08rem}
ol.suspects>li{padding:.8rem .9rem}
ul.findings>li{grid-template-columns:2.5rem 1fr}
.scroll{padding:0 .6rem;max-height:none}
td.what span{display:none}
}
"""
_PRINT = """
@media print{
@page{margin:14mm}
body{font-size:10pt}
main,header.top,footer{max-width:none;padding-left:0;padding-right:0}
header.top{padding-top:0}
h1{font-size:17pt}
h3{break-after:avoid;margin:1.3rem 0 .5rem}
svg.desk{display:block;width:100%}
svg.phone{display:none}
td.what span{display:inline}
article{break-before:page;border-top:0;margin:0;padding-top:0}
header.top+main>article:first-child{break-before:auto;margin-top:6mm}
.scroll{max-height:none;overflow:visible;border:0;padding:0}
.verdict,svg.timeline,tr,ul.findings>li,ul.plain>li,.who,.weight{break-inside:avoid}
.who,.weight{break-after:avoid}
table{font-size:8.5pt;line-height:1.35}
td .seen,td .seen .place{display:inline;padding:0;text-indent:0}
td .seen{margin-left:.8em}
thead{display:table-header-group}
.verdict,.track,svg *{-webkit-print-color-adjust:exact;print-color-adjust:exact}
a{color:inherit;text-decoration:none}
}
"""


def sheet() -> str:
    """The whole style sheet. Paper is always light."""
    return (
        f":root{{color-scheme:light dark;{_variables(dark=False)}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(dark=True)}}}}}"
        f"{_RULES}{_PRINT}"
    )
