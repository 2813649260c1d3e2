"""Pieces of work at the same time, each in a process and a network of its own."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from harness.nfs_lab import network
from stanft.cli import common

T = TypeVar("T")
PR_SET_PDEATHSIG = 1  # prctl(2)


def each(work: Sequence[Callable[[], T]], jobs: int) -> Iterator[tuple[int, T]]:
    """Do each piece, at most jobs at a time; gives its place and what it returned, as they end.

    Raises what a piece raises, and RuntimeError for one whose process ended without a word. Those under way are ended
    with the iterator, in order.
    """
    # A fork, as the pieces are closures; this process has no other thread here.
    context = multiprocessing.get_context("fork")
    waiting = list(enumerate(work))[::-1]
    running: dict[Connection, tuple[int, BaseProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                place, piece = waiting.pop()
                ours, theirs = context.Pipe(duplex=False)
                child = context.Process(target=_do, args=(piece, theirs, os.getpid()))
                child.start()
                theirs.close()
                running[ours] = (place, child)
            for ours in [one for one in wait(list(running)) if isinstance(one, Connection)]:
                yield running[ours][0], _answer(ours, running[ours][1])
                del running[ours]
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()


def _answer(connection: Connection, process: BaseProcess) -> Any:
    with connection:
        try:
            good, found = connection.recv()
        except EOFError:
            process.join()
            raise RuntimeError(f"a run's process ended with {process.exitcode} and no result") from None
    process.join()
    if not good:
        raise found
    return found


def _do(piece: Callable[[], T], answer: Connection, parent: int) -> None:
    common.end_like_ctrl_c()
    # The lab's machines end with this process, and it ends with the one that asked for it.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        return
    try:
        network.enter()
        answer.send((True, piece()))
    except KeyboardInterrupt:
        os._exit(130)
    except Exception as error:
        answer.send((False, error))
