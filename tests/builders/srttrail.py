"""SrtTrail.txt as Windows' Startup Repair writes it: UTF-16LE with a mark, sessions appended.

The texts are those of real logs: windows-boot-facts.md section 8, the public threads it was made
from, and the Spanish log of ../shared/data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

LRM = "\u200e"  # Windows 8 and later put one before each number of a date


@dataclass(frozen=True, slots=True)
class Words:
    """What a log says in one language."""

    title: str
    last_good: str
    attempts: str
    details: str
    disk: str
    directory: str
    autochk: str
    causes: str
    test: str
    name: str
    done: str
    failed: str
    took: str
    found: str
    action: str
    tests: tuple[str, ...]


ENGLISH = Words(
    title="Startup Repair diagnosis and repair log",
    last_good="Last successful boot time: ",
    attempts="Number of repair attempts: ",
    details="Session details",
    disk="System Disk = ",
    directory="Windows directory = ",
    autochk="AutoChk Run = ",
    causes="Number of root causes = ",
    test="Test Performed: ",
    name="Name: ",
    done="Result: Completed successfully. Error code =  ",
    failed="Result: Failed. Error code =  ",
    took="Time taken = ",
    found="Root cause found: ",
    action="Repair action: ",
    tests=(
        "Check for updates",
        "System disk test",
        "Disk failure diagnosis",
        "Disk metadata test",
        "Target OS test",
        "Volume content check",
        "Boot manager diagnosis",
        "System boot log diagnosis",
        "Event log diagnosis",
        "Internal state check",
        "Boot status test",
    ),
)
SPANISH = Words(
    title="Diagnóstico de Reparación de inicio y registro de reparación",
    last_good="",  # not in the sample
    attempts="Número de intentos de reparación: ",
    details="Detalles de la sesión",
    disk="Disco del sistema = ",
    directory="Directorio de Windows = ",
    autochk="Comprobación automática = ",
    causes="Número de causas principales = ",
    test="Prueba realizada: ",
    name="Nombre: ",
    done="Resultado: Se completó correctamente. Código de error =  ",
    failed="Resultado: Error. Código de error =  ",
    took="Tiempo invertido = ",
    found="Causa principal encontrada: ",
    action="Acción de reparación: ",
    tests=("Buscar actualizaciones", "Prueba de disco del sistema"),
)
# No real log: an invented language, to prove that structure is read and not words.
UNKNOWN = replace(
    SPANISH,
    title="Протокол",
    details="Сеанс",
    test="Тест:",
    name="Имя: ",
    found="Найдено:",
    action="Действие: ",
    attempts="Попытки: ",
)


@dataclass(frozen=True, slots=True)
class Session:
    causes: tuple[str, ...] = ()
    actions: tuple[tuple[str, int], ...] = ()
    directory: str = "C:\\Windows"
    disk: str = "\\Device\\Harddisk0"
    failed_tests: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Style:
    """How a release, or a copy made by hand, spells the same thing."""

    dashes: int = 27
    spaced: bool = False  # a blank line after every line
    took: str = " ms"


def text(
    sessions: Sequence[Session],
    *,
    words: Words = ENGLISH,
    attempts: int | None = 1,
    last_good: str = "",
    style: Style | None = None,
) -> str:
    """The log's lines, CRLF. `last_good` as it stands in the log, without "(GMT)"."""
    style = style or Style()
    rule = "-" * style.dashes
    lines = [words.title, rule]
    if last_good:
        lines.append(f"{words.last_good}{last_good} (GMT)")
    if attempts is not None:
        lines.append(f"{words.attempts}{attempts}")
    for session in sessions:
        lines += ["", *_session(session, words, rule, style)]
    end = "\r\n\r\n" if style.spaced else "\r\n"
    return end.join([*lines, " \0"])


def build(sessions: Sequence[Session], **how: Any) -> bytes:
    """The whole file. `how`: as for `text`."""
    return b"\xff\xfe" + text(sessions, **how).encode("utf-16-le")


def _session(session: Session, words: Words, rule: str, style: Style) -> list[str]:
    lines = [
        words.details,
        rule,
        f"{words.disk}{session.disk}",
        f"{words.directory}{session.directory}",
        f"{words.autochk}0",
        f"{words.causes}{len(session.causes)}",
    ]
    for name, code in (*((test, 0) for test in words.tests), *session.failed_tests):
        lines += ["", words.test, rule, f"{words.name}{name}", *_result(code, words, style)]
    for cause in session.causes:
        lines += ["", words.found, rule, cause]
        for name, code in session.actions:
            lines += ["", f"{words.action}{name}", *_result(code, words, style)]
    return [*lines, "", rule, rule]


def _result(code: int, words: Words, style: Style) -> list[str]:
    return [f"{words.failed if code else words.done}{code:#x}", f"{words.took}15{style.took}"]
