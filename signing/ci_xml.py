"""The elements of a Code Integrity policy in XML: read whole, bounded, without document types.

expat refuses what is not well-formed. Refused besides, before it means anything: a document type
(there are no entities but the five of XML), other encodings than UTF-8 and UTF-16, more than
16 MiB, more than 200,000 elements, deep nesting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from signing.errors import MalformedError

LARGEST = 16 * 1024 * 1024
NAMESPACE = "urn:schemas-microsoft-com:sipolicy"
STRUCTURE = "code integrity policy in XML"

_MOST_ELEMENTS = 200_000
_DEEPEST = 16
_ENCODINGS = frozenset({"utf-8", "utf-16", "us-ascii"})


@dataclass(slots=True)
class Element:
    """One element: of the policy's namespace (or of none) by its local name."""

    tag: str
    attributes: dict[str, str]
    line: int
    offset: int
    children: list[Element] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def fail(self, problem: str) -> MalformedError:
        return MalformedError(STRUCTURE, self.offset, f"line {self.line}: {problem}")

    @property
    def text(self) -> str:
        return self.raw.strip()

    @property
    def raw(self) -> str:
        return "".join(self.words)

    def get(self, name: str) -> str:
        return self.attributes.get(name, "")

    def need(self, name: str) -> str:
        if name not in self.attributes:
            raise self.fail(f"{self.tag} without {name}")
        return self.attributes[name]

    def child(self, tag: str) -> Element | None:
        return next(self.all(tag), None)

    def all(self, tag: str) -> Iterator[Element]:
        return (child for child in self.children if child.tag == tag)

    def within(self, tag: str, inner: str) -> Iterator[Element]:
        """The `inner` elements of all `tag` elements."""
        return (node for child in self.all(tag) for node in child.all(inner))


class _Tree:
    """Elements as they come; the first mistake ends it."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.XmlDeclHandler = self.declaration
        self.parser.StartDoctypeDeclHandler = self.doctype
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.words
        self.open: list[Element] = []
        self.root: Element | None = None
        self.count = 0

    def here(self, tag: str = "", attributes: dict[str, str] | None = None) -> Element:
        parser = self.parser
        return Element(
            tag, attributes or {}, parser.CurrentLineNumber, max(parser.CurrentByteIndex, 0)
        )

    def declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise self.here().fail(f"encoding {encoding[:20]!r}")

    def doctype(self, *_: object) -> None:
        raise self.here().fail("a document type is not accepted")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        space, _, local = name.rpartition(" ")
        node = self.here(local if space in ("", NAMESPACE) else name, attributes)
        self.count += 1
        if self.count > _MOST_ELEMENTS or len(self.open) >= _DEEPEST:
            raise node.fail("too many elements")
        if self.open:
            self.open[-1].children.append(node)
        else:
            self.root = node
        self.open.append(node)

    def end(self, _name: str) -> None:
        self.open.pop()

    def words(self, text: str) -> None:
        if self.open:
            self.open[-1].words.append(text)


def read(data: bytes) -> Element:
    """The root of the elements. Raises MalformedError, whose text names the line."""
    if len(data) > LARGEST:
        raise MalformedError(STRUCTURE, 0, f"{len(data)} bytes are too many")
    builder, complete = _Tree(), True
    try:
        builder.parser.Parse(data, complete)
    except expat.ExpatError as error:
        problem = f"line {error.lineno}: {expat.errors.messages.get(error.code, 'no XML')}"
        raise MalformedError(STRUCTURE, builder.here().offset, problem) from error
    except (LookupError, ValueError) as error:  # an encoding that Python has no table for
        raise MalformedError(STRUCTURE, 0, "an encoding that is not known") from error
    root = builder.root
    if root is None or root.tag != "SiPolicy":
        raise MalformedError(STRUCTURE, 0, "line 1: no SiPolicy")
    return root
