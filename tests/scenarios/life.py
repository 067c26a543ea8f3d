"""How a machine lives: sessions that end well, crashes, boots that never come up.

Every call leaves what Windows would have left: events, boot log blocks, dumps, error reports,
bootstat.dat. A dump is written to the pagefile by the crash and becomes a file in the next session
that comes up; a crash before the pagefile is there (`early`) leaves no dump and no events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tests.builders import bootlog, bootstat, events, wer
from tests.builders.evtx import Event
from tests.scenarios import noise
from tests.scenarios.machine import Machine
from tests.scenarios.stops import Stop


@dataclass(slots=True)
class Life:
    """The course of one machine's boots."""

    m: Machine
    boot_id: int = 40
    unclean: datetime | None = None  # the last session ended then, not by shutting down
    log_open: bool = False  # the event log was not closed: that is what 6008 tells of
    pending: Stop | None = None  # its dump lies in the pagefile
    boot_logging: bool = False
    last_good: datetime | None = None
    failed: int = 0  # boots in a row that did not come up
    dump_number: int = 0
    keep_dumps: bool = True  # small dumps are enabled
    keep_memory: bool = False  # MEMORY.DMP as well
    report: bool = True  # Windows Error Reporting writes its reports
    clock: timedelta = timedelta(0)  # what the clock is wrong by
    hybrid: bool = False  # Fast Startup is on
    asleep: bool = False  # the last session ended in it: the next boot resumes
    error: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    written: datetime | None = None  # bootstat.dat
    noise_blocks: tuple[str, ...] = bootlog.HEALTHY_NOISE

    # --- sessions -------------------------------------------------------------------------

    def session(
        self,
        on: datetime,
        off: datetime | None = None,
        *,
        end: str = "clean",
        stop: Stop | None = None,
        safe: bool = False,
        log: bool | None = None,
        quiet: bool = False,
    ) -> None:
        """A boot that comes up. `end`: "clean", "power", "crash" (with `stop`), "running", or
        "asleep": shut down by Fast Startup, so that the next boot resumes the kernel."""
        m = self.m
        off = off or on + timedelta(hours=m.rng.uniform(0.5, 9))
        if self.asleep:
            self._resume(on)
        else:
            self._start(on, safe=safe)
            self._extract(on)
            if self.boot_logging if log is None else log:
                self._boot_log(on, safe=safe)
        if not quiet:
            noise.session(m, self._shown(on), self._shown(off), safe=safe)
        self.failed = 0
        self.last_good = on
        m.hive_when = max(off, on)
        self.written = on + timedelta(seconds=70)
        self.unclean = None
        self.asleep, self.log_open = end == "asleep", end in ("crash", "power", "running")
        if end == "clean":
            self._shut_down(off)
        elif end == "asleep":
            self.written = off
            self._log(events.entering_sleep(off - timedelta(seconds=2), 6, 5), off)
        elif end == "crash":
            assert stop is not None
            self.unclean, self.pending = stop.when, stop
        elif end == "power":
            self.unclean, self.pending = off, None

    def dead(
        self,
        on: datetime,
        *,
        stop: Stop | None = None,
        early: bool = True,
        last: str = "",
        loaded: Sequence[str] | None = None,
        error: int = 0,
    ) -> None:
        """A boot that ends before the event log runs.

        `early`: before the session manager: nothing is written at all. Else the dump goes to the
        pagefile, and the boot log (where it is enabled) ends with `last`.
        """
        self.boot_id += 1
        self.failed += 1
        self.asleep = False
        self.unclean = on + timedelta(seconds=20)
        self.written = on
        if error:
            self.error = (self.boot_id, self.failed - 1, 0, error, 0)
        if early:
            return
        self.pending = stop
        self.m.hive_when = on + timedelta(seconds=15)
        if self.boot_logging:
            self._boot_log(on, last=last, loaded=loaded)

    # --- what a boot writes ---------------------------------------------------------------

    def _shown(self, when: datetime) -> datetime:
        return when + self.clock

    def _log(self, event: Event, at: datetime) -> None:
        self.m.log(replace(event, when=event.when + self.clock), at)

    def _start(self, on: datetime, *, safe: bool) -> None:
        m, rng = self.m, self.m.rng
        self.boot_id += 1
        later = on + timedelta(seconds=rng.randint(14, 35))
        died, stop = self.unclean, self.pending
        code = stop.bugcheck if stop else 0
        if died is not None and self.log_open:
            self._log(events.unexpected_shutdown(later, died, m.bias), later)
        self._log(events.version_logged(later, m.profile.build), later)
        self._log(events.log_started(later), later)
        self._log(noise.kernel_started(on, m.profile, safe=safe), on)
        if m.profile.generation == "10":
            good, up = died is None, self.failed == 0
            status = events.last_boot_status(
                on, shut_down=good, succeeded=up, boot=self.boot_id - 1
            )
            self._log(status, on)
            self._log(events.boot_type(on, 0), on)
        if died is not None:
            parameters = stop.parameters if stop else (0, 0, 0, 0)
            at = on + timedelta(seconds=3)
            self._log(events.power_lost(at, code, parameters), at)
        if m.profile.generation != "7":
            self._log(events.ntfs_state(on + timedelta(seconds=4)), on + timedelta(seconds=4))
        if safe:
            m.log(noise.safe_mode_service(later + timedelta(seconds=3)), later)

    def _resume(self, on: datetime) -> None:
        """After a hybrid shutdown the kernel was never stopped: it does not say that it starts."""
        self.boot_id += 1
        before = self.boot_id - 1
        self._log(events.last_boot_status(on, shut_down=True, succeeded=True, boot=before), on)
        self._log(events.boot_type(on, 1), on)

    def _extract(self, on: datetime) -> None:
        """A dump in the pagefile becomes a file; the event log names it."""
        m, stop = self.m, self.pending
        if stop is None:
            return
        self.pending = None
        self.dump_number += 1
        when = on + timedelta(seconds=m.rng.randint(40, 80))
        local = m.local(stop.when)
        millis = m.rng.randint(4000, 60000)
        name = f"Minidump/{local:%m%d%y}-{millis}-{1:02}.dmp"
        if self.keep_dumps:
            m.put(name, stop.file(m), when)
        if self.keep_memory:
            m.put("MEMORY.DMP", stop.whole(m), when)
        path = "C:\\Windows\\MEMORY.DMP" if self.keep_memory else f"C:\\Windows\\{name}"
        path = path.replace("/", "\\")
        report = f"{local:%m%d%y}-{millis}-01"
        self._log(
            events.bugcheck_reported(when, stop.bugcheck, stop.parameters, path, report), when
        )
        if self.report and m.rng.random() < 0.6:
            folder = f"Kernel_{stop.bugcheck & 0xFFFF:x}_{m.rng.getrandbits(80):020x}_00000000_cab"
            queue = m.rng.choice(("ReportQueue", "ReportArchive"))
            content = wer.build(stop.bugcheck, stop.parameters, "", when=when)
            m.put(
                f"../ProgramData/Microsoft/Windows/WER/{queue}/{folder}/Report.wer", content, when
            )

    def _boot_log(
        self,
        on: datetime,
        *,
        safe: bool = False,
        last: str = "",
        loaded: Sequence[str] | None = None,
    ) -> None:
        m = self.m
        paths = list(m.load_order() if loaded is None else loaded)
        gone: list[str] = []
        if safe:
            third = {driver.logged for driver in m.drivers.values()}
            gone = [path for path in paths if path in third]
            paths = [path for path in paths if path not in third]
        if last:
            names = [path.rsplit("\\", 1)[-1].lower() for path in paths]
            paths = paths[: names.index(last.lower()) + 1]
        started = m.local(self._shown(on + timedelta(seconds=9)))
        block = bootlog.Block(started, tuple(paths), (*self.noise_blocks, *gone), m.profile.build)
        m.boots.append(block)

    def _shut_down(self, off: datetime) -> None:
        self.written = off
        self._log(events.log_stopped(off - timedelta(seconds=1)), off - timedelta(seconds=1))
        self._log(events.kernel_stopped(off), off)

    # --- at the end -----------------------------------------------------------------------

    def finish(self) -> None:
        """bootstat.dat, and the pagefile with a dump nobody fetched."""
        m = self.m
        version = {"7": bootstat.WINDOWS_8, "8": bootstat.WINDOWS_8}.get(
            m.profile.generation,
            bootstat.WINDOWS_11 if m.profile.build >= 22000 else bootstat.WINDOWS_10,
        )
        status = bootstat.Status(
            version,
            product=3 if m.profile.server else 1,
            succeeded=self.failed == 0,
            shut_down=self.unclean is None,
            attempts=self.failed,
            checkpoint=1 if self.failed == 0 else 0,
            boot_id=self.boot_id,
            error=self.error,
        )
        content = bootstat.status(status).ljust(0x10800, b"\0")
        m.put("bootstat.dat", content, self.written or m.now)
        if self.hybrid:
            head = b"HIBR" if self.asleep else b"\0\0\0\0"
            m.put("../hiberfil.sys", head.ljust(12288, b"\0"), self.written or m.now)
        if self.pending is not None:
            m.pagefile = self.pending.whole(m)
