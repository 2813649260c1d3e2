"""A machine played by QEMU, with KVM or in software emulation."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from pathlib import Path

from harness.nfs_lab.computer import Computer, MachineError, Spec, connected
from harness.nfs_lab.image import Image
from stanft.ground.errors import UserError

START = 20.0  # seconds for QEMU to open its sockets


class Qemu(Computer):
    """A machine of QEMU's; options are -accel and what follows it."""

    def __init__(self, spec: Spec, image: Image, options: Sequence[str]) -> None:
        for port in ("log", "command", "monitor"):
            self._path(spec, port).unlink(missing_ok=True)
        super().__init__(spec, self._command(spec, image, options))
        try:
            self.log, self._commands, self._monitor = (
                connected(str(self._path(spec, port)), self, START) for port in ("log", "command", "monitor")
            )
        except MachineError as error:
            raise UserError(f"QEMU did not start: {error}") from error
        self._monitor_file = self._monitor.makefile("rb")
        self._monitor_file.readline()
        self._qmp("qmp_capabilities")

    def commands(self) -> socket.socket:
        """The agent's end of a virtual serial port, which is there as long as QEMU."""
        return self._commands

    def pause(self) -> None:
        """Stop processor and clock; the network stays connected and silent."""
        self._qmp("stop")

    def resume(self) -> None:
        """Let a paused machine go on; harmless on one that runs."""
        self._qmp("cont")

    def power_off(self) -> None:
        """Kill QEMU."""
        super().power_off()
        self._commands.close()
        self._monitor.close()

    @staticmethod
    def probe(image: Image, options: Sequence[str], _folder: Path) -> list[str]:
        """As Engine.probe; it ends in order, with exit code 0."""
        return [
            *("qemu-system-x86_64", *options, "-m", "128", "-nodefaults", "-display", "none"),
            *("-no-reboot", "-kernel", str(image.kernel), "-append", "panic=-1 quiet"),
        ]

    @staticmethod
    def _path(spec: Spec, port: str) -> Path:
        return spec.folder / f"{spec.name}.{port}"

    def _command(self, spec: Spec, image: Image, options: Sequence[str]) -> list[str]:
        ports = []
        for port in ("log", "command"):
            ports += ["-chardev", f"socket,id={port},path={self._path(spec, port)},server=on,wait=off"]
            ports += ["-device", f"virtserialport,chardev={port},name={port}"]
        words = " ".join(("console=ttyS0", "tsc=unstable", *spec.words("/dev/vda")))
        return [
            *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc"),
            *(*options, "-cpu", "max", "-smp", "1", "-m", str(spec.memory)),
            *("-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", words),
            *("-netdev", f"tap,id=net,ifname={spec.port},script=no,downscript=no"),
            *("-device", f"virtio-net-pci,netdev=net,mac={spec.mac},romfile="),
            *("-device", "virtio-serial-pci", *ports),
            *("-chardev", f"file,id=console,path={spec.console},append=on", "-serial", "chardev:console"),
            *("-qmp", f"unix:{self._path(spec, 'monitor')},server=on,wait=off"),
            *(("-drive", f"if=virtio,format=raw,file={spec.disk},cache=writeback") if spec.disk else ()),
        ]

    def _qmp(self, command: str) -> None:
        self._monitor.sendall(json.dumps({"execute": command}).encode() + b"\n")
        while True:
            answer = json.loads(self._monitor_file.readline() or b'{"error": {"desc": "no answer"}}')
            if "error" in answer:
                raise MachineError(f"{self.spec.name}: QEMU refused {command}: {answer['error']['desc']}")
            if "return" in answer:
                return
