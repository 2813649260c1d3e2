"""Which way QEMU can run machines here: KVM if it really works, else software emulation."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.ground.paths import cache, keep_owner, make
from harness.nfs_lab.image import Image
from stanft.ground.progress import step

PROBE = 12.0  # seconds; the probe boots a kernel until it finds no disk, 1 s with KVM and 3 s without
SOFTWARE = "tcg,tb-size=128"  # MiB of translated code per machine, which needs a fraction of the 1024 that are usual


def choose(image: Image) -> str:
    """Say whether to use "kvm", where a kernel boots with it within PROBE seconds, or "tcg"; asked once per boot.

    A /dev/kvm that opens and then never runs a guest exists (nested virtualisation switched off halfway).
    """
    if not Path("/dev/kvm").exists():
        return SOFTWARE
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    known = cache() / "nfs-lab" / f"accelerator-{boot}"
    if not known.exists():
        with step("looking whether KVM works here"):
            make(known.parent)
            known.write_text("kvm" if _boots(image) else SOFTWARE)
            keep_owner(known)
    return known.read_text()


def _boots(image: Image) -> bool:
    command = ["qemu-system-x86_64", "-accel", "kvm", "-m", "128", "-nodefaults", "-display", "none", "-no-reboot"]
    command += ["-kernel", str(image.kernel), "-append", "panic=-1 quiet"]
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE, check=True)
    except subprocess.SubprocessError:
        return False
    return True
