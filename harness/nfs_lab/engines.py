"""Which ways machines can be played here, and which one a fault is played with."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from harness.ground.paths import cache, keep_owner, make
from harness.nfs_lab import image
from harness.nfs_lab.computer import Engine
from harness.nfs_lab.faults import Fault
from harness.nfs_lab.qemu import Qemu
from harness.nfs_lab.user_mode import UserMode, memory
from stanft.ground.errors import UserError
from stanft.ground.progress import step

KVM, USER_MODE, EMULATED = "kvm", "user-mode", "emulated"
NAMES = (KVM, USER_MODE, EMULATED)  # the first that works here and can do what a fault asks for is taken
PROBE = 12.0  # seconds; the probe boots a kernel until it finds no disk, 1 s with KVM, 3 s in emulation
CACHE = "tb-size=128"  # MiB of translated code per emulated machine, which needs a fraction of the 1024 that are usual


def ensure() -> dict[str, Engine]:
    """The engines by name, what they boot built once per content; raises UserError if something cannot be had."""
    found = image.ensure()
    qemu, user = found["qemu"], found["uml"]
    engines = (
        Engine(KVM, "QEMU with KVM", qemu, Qemu, Qemu.probe, options=("-accel", "kvm")),
        Engine(USER_MODE, "Linux in user mode", user, UserMode, UserMode.probe, pauses=False),
        Engine(EMULATED, "software emulation", qemu, Qemu, Qemu.probe, options=("-accel", f"tcg,{CACHE}")),
    )
    return {each.name: each for each in engines}


def choose(fault: Fault, engines: dict[str, Engine], wanted: str | None) -> Engine:
    """The engine for a fault: the wanted one, else the fastest that works here.

    Raises UserError if the wanted one cannot play the fault.
    """
    if wanted:
        if fault.pauses and not engines[wanted].pauses:
            raise UserError(
                f"the fault {fault.name} stops a machine's clocks, and {engines[wanted].title} cannot: take --machines "
                f"{EMULATED}, or a fault that lets them jump (freeze-stop)."
            )
        return engines[wanted]
    fit = [each for each in engines.values() if each.pauses or not fault.pauses]
    return next((each for each in fit[:-1] if works(each)), fit[-1])


def works(engine: Engine) -> bool:
    """Whether a kernel boots with it within PROBE seconds; asked once per boot of this computer.

    A /dev/kvm that opens and then never runs a guest exists (nested virtualisation switched off halfway), and user
    mode needs ptrace, which a container may not have.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    known = cache() / "nfs-lab" / f"{engine.name}-{boot}"
    if not known.exists():
        with step(f"looking whether machines work here: {engine.title}"):
            make(known.parent)
            known.write_text("yes" if _boots(engine) else "no")
            keep_owner(known)
    return known.read_text() == "yes"


def _boots(engine: Engine) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        command = engine.probe(engine.image, engine.options, Path(folder))
        environment = {**os.environ, "TMPDIR": memory(Path(folder))}
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE, check=False, env=environment
            )
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0 or b"Unable to mount root" in done.stdout
