"""What a crash leaves: bug check, parameters, the crashing thread's stack, the loaded modules.

Parameters follow Microsoft's bug check reference; stacks are shaped as in the real dumps of
../shared/data: the kernel's own frames first, words that are no code between them, and return
addresses of innocent drivers left over from earlier calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from tests.builders import dump
from tests.builders.dump import Mod
from tests.scenarios import files, inbox
from tests.scenarios.machine import Machine

KERNEL = "ntoskrnl.exe"
ACCESS_VIOLATION = 0xFFFF_FFFF_C000_0005


@dataclass(frozen=True, slots=True)
class Stop:
    """One crash, before anybody wrote it down."""

    when: datetime
    bugcheck: int
    parameters: tuple[int, ...]
    modules: tuple[Mod, ...]
    stack: tuple[int, ...]
    exception_address: int | None = None
    context_rip: int | None = None
    unloaded: tuple[Mod, ...] = ()
    uptime: timedelta = timedelta(minutes=4)
    broken_driver: str = ""

    def file(self, m: Machine) -> bytes:
        """The small dump."""
        given = self._given(m)
        if m.profile.machine == "x86":
            return dump.build_32bit(**given)  # type: ignore[arg-type]
        return dump.build_triage(machine=m.profile.machine, **given)  # type: ignore[arg-type]

    def _given(self, m: Machine) -> dict[str, object]:
        return {
            "bugcheck": self.bugcheck,
            "parameters": self.parameters,
            "when": self.when,
            "modules": self.modules,
            "stack": self.stack,
            "unloaded": self.unloaded,
            "exception_address": self.exception_address,
            "context_rip": self.context_rip,
            "uptime": self.uptime,
            "broken_driver": self.broken_driver,
            "build": m.profile.build,
        }

    def whole(self, m: Machine) -> bytes:
        """MEMORY.DMP, or what a pagefile holds of it."""
        given = self._given(m)
        if m.profile.machine == "x86":
            return dump.build_32bit("kernel", **given)  # type: ignore[arg-type]
        form = "bitmap" if m.profile.generation != "7" else "kernel"
        return dump.build_memory(form, machine=m.profile.machine, **given)  # type: ignore[arg-type]


class Memory:
    """Where one boot put its modules."""

    def __init__(self, m: Machine, rng: Random, extra: Sequence[str] = ()) -> None:
        self.m, self.rng = m, rng
        self.wide = m.profile.machine != "x86"
        self.modules: dict[str, Mod] = {}
        names = [path.rsplit("\\", 1)[-1] for path in m.load_order()]
        names += [*inbox.LIBRARIES, *inbox.WIN32K, *extra]
        self._at = 0xFFFF_F800_0000_0000 + rng.randrange(0x200, 0xF000) * 0x100_0000
        if not self.wide:
            self._at = 0x8260_0000
        for name in dict.fromkeys(names):
            self.add(name)

    def add(self, name: str) -> Mod:
        low = name.lower()
        if low in self.modules:
            return self.modules[low]
        driver = self.m.drivers.get(low)
        image = driver.image if driver else self.m.inbox_image(name)
        size = files.image_size(image)
        made = Mod(name, self._at, size, files.stamp(image))
        step = 0x1_0000 * self.rng.randint(1, 5) if self.wide else 0x1000
        self._at += (size + 0xFFFF & ~0xFFFF) + step if self.wide else size + step
        self.modules[low] = made
        return made

    def code(self, name: str) -> int:
        """An address of an instruction of a module."""
        mod = self.add(name)
        return mod.base + self.rng.randrange(0x1000, max(0x1100, min(mod.size - 0x800, 0x90_0000)))

    def data(self) -> int:
        """A word that points to no code: pool, stack, a handle, a flag."""
        rng = self.rng
        if not self.wide:
            return rng.choice((0, 1, 0x8A00_0000 + rng.randrange(1 << 24), rng.randrange(1 << 12)))
        choices = (
            0,
            rng.randrange(1 << 10),
            0xFFFF_B300_0000_0000 + rng.randrange(1 << 38),
            0xFFFF_A704_EEB6_0000 + rng.randrange(1 << 16),
            0xFFFF_FFFF,
        )
        return rng.choice(choices)


def stop(
    m: Machine,
    when: datetime,
    bugcheck: int,
    blame: str,
    *,
    fault: str = "",
    callers: Sequence[str] = (),
    stale: Sequence[str] = (),
    status: int | None = None,
    uptime: timedelta | None = None,
    depth: int = 3,
    unloaded: bool = False,
) -> Stop:
    """A crash in `blame`: the fault lies in `fault` (by default in the same), `callers` are below
    it on the stack, `stale` are words left over above them. "" blames nobody."""
    rng = m.rng
    memory = Memory(m, rng)
    where = fault or blame or KERNEL
    gone: tuple[Mod, ...] = ()
    if unloaded and blame:
        mod = memory.add(blame)
        gone = (Mod(mod.name, mod.base, mod.size),)
    address = memory.code(where)
    stack = _stack(memory, where, address, blame, callers, stale, depth)
    if unloaded:
        memory.modules.pop(blame.lower(), None)
    parameters, in_exception = _parameters(memory, bugcheck, address, blame, status)
    return Stop(
        when,
        bugcheck,
        parameters,
        tuple(memory.modules.values()),
        tuple(stack),
        exception_address=address if in_exception else None,
        context_rip=address if in_exception else None,
        unloaded=gone,
        uptime=uptime or timedelta(seconds=rng.randint(8, 60)),
    )


def _stack(
    memory: Memory,
    where: str,
    address: int,
    blame: str,
    callers: Sequence[str],
    stale: Sequence[str],
    depth: int,
) -> list[int]:
    rng = memory.rng
    words: list[int] = []

    def frame(value: int, junk: int = 6) -> None:
        words.append(value)
        words.extend(memory.data() for _ in range(rng.randint(2, junk)))

    frame(memory.code(KERNEL), 3)
    frame(memory.code(KERNEL))
    for name in stale:
        frame(memory.code(name), 9)
    if rng.random() < 0.6:
        frame(memory.code(KERNEL))
    frame(address)
    if blame and where != blame:
        frame(memory.code(where))
    for _ in range(depth if blame else 0):
        frame(memory.code(blame))
    for name in callers:
        frame(memory.code(name))
    for _ in range(rng.randint(2, 5)):
        frame(memory.code(KERNEL))
    return words


def _parameters(
    memory: Memory, code: int, address: int, blame: str, status: int | None
) -> tuple[tuple[int, ...], bool]:
    """The four parameters, and whether an exception record goes with them."""
    rng = memory.rng
    pool, frame = 0xFFFF_B300_0000_0000 + rng.randrange(1 << 38), 0xFFFF_A704_EEB6_8100
    violation = ACCESS_VIOLATION
    if not memory.wide:
        pool, frame, violation = 0x8A00_0000 + rng.randrange(1 << 24), 0x8D9F_7100, 0xC000_0005
    low = rng.randrange(0x10, 0x400, 8)
    wanted = status if status is not None else 0
    plain: dict[int, tuple[int, ...]] = {
        0x0A: (low, 2, rng.choice((0, 1)), address),
        0xD1: (low, 2, rng.choice((0, 1)), address),
        0x50: (pool | 0x9C, 0, address, 2),
        0x1E: (violation, address, 0, low),
        0x7E: (violation, address, frame, frame - 0x700),
        0x1000007E: (violation, address, frame, frame - 0x700),
        0x3B: (violation & 0xFFFF_FFFF, address, frame, 0),
        0x8E: (0xC000_0005, address, frame, 0),
        0x1000008E: (0xC000_0005, address, frame, 0),
        0x139: (rng.choice((2, 3, 3)), frame, frame + 0x80, 0),
        0xBE: (pool, pool & 0xFFF_F000 | 0x121, frame, 0xA),
        0xFC: (pool, pool & 0xFFF_F000 | 0x863, frame, 2),
        0xCE: (address, 0, address, 0),
        0xD5: (pool, 0, address, 0),
        0xF7: (pool ^ 0x5A5A, pool, pool ^ 0xFFFF, 0),
        0xC4: (wanted or 0xF6, 0x1E4, pool, address),
        0x116: (pool & ~0xF, address, 0xFFFF_FFFF_C000_009A, 4),
        0x117: (pool & ~0xF, address, 0, 0),
        0xEA: (pool & ~0xF, pool & ~0xFF, frame, 1),
        0x9F: (3, pool & ~0xF, frame - 0x1000, (pool ^ 0xABC00) & ~0xF),
        0x133: (rng.choice((0, 1)), 0x501, 0x500, frame),
        0x124: (0, pool & ~0xF, 0xBE00_0000, 0x800_0400),
        0x101: (0x18, 0, pool & ~0xFFF, rng.randint(1, 7)),
        0x9C: (0, pool & ~0xF, 0, 0),
        0x1A: (rng.choice((0x41792, 0x41287, 0x61941)), pool, 0x8000_0000, 0),
        0x4E: (0x99, rng.randrange(1 << 20), 2, rng.randrange(1 << 20)),
        0x19: (0x20, pool & ~0xF, (pool & ~0xF) + 0x40, 0x404_0012),
        0xC2: (7, 0x1200, 0, pool & ~0xF),
        0xC5: (low, 2, 1, address),
        0x7A: (pool, wanted or 0xC000_000E, rng.randrange(1 << 40), pool & ~0xFFF),
        0x77: (wanted or 0xC000_009C, wanted or 0xC000_009C, 0, rng.randrange(1 << 30)),
        0xED: (pool & ~0xF, wanted or 0xC000_0006, 0, 0),
        0x24: (0xB5_0019_060B, frame, frame - 0x700, address),
        0x7B: (frame, wanted or 0xC000_0034, 0, 0),
        0xEF: (pool & ~0xF, 0, 0, 0),
        0xF4: (3, pool & ~0xF, (pool & ~0xF) + 0x2E0, address),
        0xC000021A: (pool & ~0xF, wanted or 0xC000_0005, 0, 0),
        0x51: (1, pool & ~0xF, rng.randrange(1 << 24), 0x185),
        0x74: (2, frame, 2, 0xC000_014C),
        0x12B: (0xFFFF_FFFF_C000_02C4, 0x4B2, rng.randrange(1 << 30), pool & ~0xFFF),
        0x18: (0, pool & ~0xF, 2, 0xFFFF_FFFF_FFFF_FFFF),
        0x4A: (pool, 2, 0, frame),
        0xC9: (0x224, address, pool & ~0xF, 0),
    }
    excepted = code in (0x0A, 0xD1, 0x50, 0x1E, 0x3B, 0x7E, 0x1000007E, 0x8E, 0x1000008E, 0xD5)
    return plain.get(code, (0, 0, 0, 0)), excepted
