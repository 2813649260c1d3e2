"""What a fault is: a name, what it needs, the deed, and how it is undone whatever happens."""

from __future__ import annotations

import contextlib
import enum
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from stanft.faults.scene import Scene
from stanft.ground.errors import UserError
from stanft.ground.progress import say


class Need(enum.Enum):
    """What a fault needs in order to be played."""

    API = "the Kubernetes API"
    DEBUG = "the Kubernetes API with ephemeral containers, and an image with sh"
    NODES = "the nodes of the local cluster"


@dataclass(frozen=True)
class Goal:
    """What the chart promises for a fault, in seconds between two acknowledgements; None = no promise of this kind."""

    median: float | None = None
    p99: float | None = None
    worst: float | None = None

    def __str__(self) -> str:
        parts = (("median", self.median), ("p99", self.p99), ("each", self.worst))
        return ", ".join(f"{name} <= {value:g} s" for name, value in parts if value is not None)


@dataclass
class Injection:
    """One fault as it happened: whom it hit, and when (monotonic seconds) it took effect and was healed."""

    fault: str
    victims: list[str] = field(default_factory=list)
    at: float = 0.0
    healed_at: float | None = None
    notes: list[str] = field(default_factory=list)


Act = Callable[[Scene, Injection, contextlib.ExitStack], None]
Prepare = Callable[[Scene, contextlib.ExitStack], None]


@dataclass(frozen=True)
class Fault:
    """A fault as data.

    act does it: it registers on the stack how to undo each step before taking it, and notes the time in the injection.
    takeovers are the fewest and the most that are right. lasts is how many seconds it stays before it is healed; None
    = until publishing goes on again. prepare (if any) readies the scene before the traffic begins, and registers its
    undoing in the same way. patience is for how many seconds publishing may rest before a drill gives the run up.
    spares_bystanders: a server that it does not hit and that restarts all the same makes the run fail.
    """

    name: str
    sentence: str
    need: Need
    act: Act
    takeovers: tuple[int, int] = (1, 1)
    lasts: float | None = None
    goal: Goal = Goal()
    prepare: Prepare | None = None
    patience: float = 120.0
    spares_bystanders: bool = False

    def check(self, scene: Scene) -> None:
        """Raise UserError if the fault cannot be played there."""
        if self.need is Need.NODES and scene.cluster is None:
            raise UserError(
                f"the fault {self.name} needs {self.need.value}, and this cluster's nodes are not reachable from here: "
                "choose one that needs the Kubernetes API only (stan-ft drill --list)."
            )

    @contextlib.contextmanager
    def ready(self, scene: Scene) -> Iterator[None]:
        """The scene as the fault needs it; put back afterwards."""
        self.check(scene)
        with _undoing() as undo:
            if self.prepare is not None:
                self.prepare(scene, undo)
            yield

    @contextlib.contextmanager
    def on(self, scene: Scene, injection: Injection | None = None) -> Iterator[Injection]:
        """The fault holds while the block runs and is healed after it, also after an error or Ctrl-C.

        injection is where to note what happened, so that it is known after an error too. Raises UserError if it cannot
        be played, and what the tools raise that it uses.
        """
        self.check(scene)
        injection = injection or Injection(self.name)
        try:
            with _undoing() as undo:
                self.act(scene, injection, undo)
                yield injection
        finally:
            injection.healed_at = time.monotonic()


@contextlib.contextmanager
def _undoing() -> Iterator[contextlib.ExitStack]:
    """A stack of undoings that are all done at the end, without being interrupted."""
    undo = contextlib.ExitStack()
    try:
        yield undo
    finally:
        with uninterrupted():
            undo.close()


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until the block is done, and take effect then."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread only
        return
    pressed: list[int] = []

    def note(number: int, _frame: Any) -> None:
        pressed.append(number)
        say("    healing first; please wait")

    kept = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
        if pressed:
            raise KeyboardInterrupt
