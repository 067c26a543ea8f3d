"""Lines of a batch file for cmd.exe of Windows 7 to 11, WinPE and WinRE: what can be said in them.

A batch file is read in the code page of the console, which nobody knows beforehand, and `chcp
65001` is not dependable before Windows 10: so every line is ASCII. In a name of a file, `?` stands
for any other character: the file system is asked which single file that is. What a line cannot
hold (quotes, control characters, more than cmd.exe reads of one line) is an UnsayableError: whoever
writes the file then says that it cannot do the job.

Names are only ever handed on as `"%NAME%"` with delayed expansion off, never as an argument of
`call`, which doubles every ^. Between quotes & | < > ( ) ^ ! are characters like all others, and
the text of a variable is not searched for variables again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

EOL = "\r\n"
LONGEST = 7900  # characters of a line; cmd.exe reads 8191 of it, with its variables replaced

_SHOWN = re.compile(r"[^A-Za-z0-9 .,:;_/\\=+@#$~{}'-]")


class UnsayableError(Exception):
    """Something that no line of a batch file can hold; the message is a clause."""


def assign(variable: str, text: str, *, prefix: str = "") -> str:
    """`set "VARIABLE=text"`. `prefix` is batch text that goes before it: "%ROOT%".

    Raises UnsayableError.
    """
    return line(f'set "{variable}={prefix}{literal(text)}"')


def literal(text: str) -> str:
    """Text as it stands between quotes. Raises UnsayableError."""
    if any(not " " <= char <= "~" for char in text):
        raise UnsayableError("it has characters that a batch file cannot hold")
    if '"' in text:
        raise UnsayableError("it has quotation marks")
    return text.replace("%", "%%")


def line(text: str) -> str:
    """A line as it is, if cmd.exe reads all of it. Raises UnsayableError."""
    if len(text) > LONGEST:
        raise UnsayableError("it is too long for a batch file")
    return text


def shown(text: str) -> str:
    """Text for `echo` and `rem`: anything that could mean something to cmd.exe is a question mark.

    A trailing caret, `/?` and `%` are among it.
    """
    return _SHOWN.sub("?", text).replace("/?", "?")[:200]


def is_plain(name: str) -> bool:
    """Whether a file's name can be written as it is."""
    return all(" " <= char <= "~" for char in name)


def pattern(name: str) -> str:
    """The same name with `?` for every unit of UTF-16 that is not ASCII."""
    return "".join(
        char if " " <= char <= "~" else "?" * (1 + (ord(char) > 0xFFFF)) for char in name
    )


def encoded(lines: Iterable[str]) -> bytes:
    """The file. Every line is ASCII by now."""
    return "".join(text + EOL for text in lines).encode("ascii")
