"""The supervisor over programs of these tests' own, through the real kernel: sameness, attacks, ends, refusals."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from processes import gone

from harness.cluster.kind import wait_for
from harness.loopback import supervised
from stanft.ground import wait

PATIENCE = 30.0
GUARDED = "guards "


def words(store: Path, program: str, *options: str) -> list[str]:
    """The command line of a Python program under the supervisor."""
    return [*supervised.command(store, "--name", "test", *options), sys.executable, "-c", textwrap.dedent(program)]


def run(store: Path, program: str, *options: str, **more: object) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        words(store, program, *options), capture_output=True, text=True, timeout=PATIENCE, check=False, **more
    )


@contextmanager
def running(store: Path, program: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A program under the supervisor, in a session of its own; both are ended afterwards."""
    with subprocess.Popen(
        words(store, program, *options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def child(process: subprocess.Popen[str]) -> int:
    """The process id of the supervised program."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(found[0])


def line(process: subprocess.Popen[str]) -> str:
    """The next line that the program prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


# --- the same as without it -------------------------------------------------------------------------------------------

# Does each step in the store and in a folder that is not supervised, and tells where they differ.
TWINS = """
import json, os, sys
twins = sys.argv[1:] or json.loads(sys.stdin.readline())
held = [{}, {}]
def is_at(held, path):
    try: return os.path.samestat(os.fstat(held), os.stat(path))
    except OSError: return False
def step(side, kind, one, two, number):
    path, other = os.path.join(twins[side], one), os.path.join(twins[side], two)
    files = held[side]
    if kind == "open":
        # A file that is held keeps its lock, so nobody gets it twice for writing, not even its holder.
        for name in [each for each, file in files.items() if each == one or is_at(file, path)]:
            os.close(files.pop(name))
        files[one] = os.open(path, number, 0o666)
    elif kind == "close": os.close(files.pop(one))
    elif kind == "write": return os.write(files[one], two.encode())
    elif kind == "truncate": os.ftruncate(files[one], number % 7)
    elif kind == "cut": os.truncate(path, number % 7)
    elif kind == "unlink": os.unlink(path)
    elif kind == "rename": os.rename(path, other)
    elif kind == "mkdir": os.mkdir(path)
    elif kind == "rmdir": os.rmdir(path)
    elif kind == "link": os.link(path, other)
    elif kind == "symlink": os.symlink(two.rstrip("/"), path)
def done(side, *what):
    try: return step(side, *what)
    except OSError as error: return error.errno
    except KeyError: return "none"
def tree(side):
    found = {}
    for folder, folders, files in os.walk(twins[side]):
        for name in folders + files:
            path = os.path.join(folder, name)
            if name.startswith(".lease."): continue
            look = os.lstat(path)
            content = open(path, "rb").read().hex() if os.path.isfile(path) and not os.path.islink(path) else ""
            kind = os.readlink(path) if os.path.islink(path) else oct(look.st_mode)
            found[os.path.relpath(path, twins[side])] = (kind, content)
    return found
for text in sys.stdin:
    steps, verdict = json.loads(text), "same"
    for number, what in enumerate(steps):
        answers = [done(side, *what) for side in (0, 1)]
        if answers[0] != answers[1] or tree(0) != tree(1):
            verdict = f"step {number} {what}: {answers} {tree(0)} {tree(1)}"
            break
    for files in held:
        for descriptor in files.values(): os.close(descriptor)
        files.clear()
    for side in (0, 1):
        for folder, folders, files in os.walk(twins[side], topdown=False):
            for name in files:
                if not name.startswith(".lease."): os.unlink(os.path.join(folder, name))
            for name in folders:
                path = os.path.join(folder, name)
                os.unlink(path) if os.path.islink(path) else os.rmdir(path)
    print(verdict, flush=True)
"""
_NAMES = st.sampled_from(["server.dat", "subs.dat", "foo", "foo/msgs.1.dat", "foo/x", "bar", "bar/../foo/x", "foo/"])
_FLAGS = st.sets(st.sampled_from([os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND, os.O_NOFOLLOW])).flatmap(
    lambda chosen: st.sampled_from([os.O_RDONLY, os.O_WRONLY, os.O_RDWR]).map(lambda mode: sum(chosen) | mode)
)
_KINDS = ("open", "close", "write", "truncate", "cut", "unlink", "rename", "mkdir", "rmdir", "link", "symlink")
_STEPS = st.lists(st.tuples(st.sampled_from(_KINDS), _NAMES, _NAMES, _FLAGS), max_size=12)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A supervised program that does each step in the store and beside it."""
    folder = tmp_path_factory.mktemp("twins")
    (folder / "beside").mkdir()
    with running(folder / "store", TWINS) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps([str(folder / "store"), str(folder / "beside")]) + "\n")
        yield process


@example([("mkdir", "server.dat", "x", 0), ("open", "server.dat", "x", os.O_CREAT)])
@example([("open", "foo", "x", os.O_CREAT | os.O_WRONLY), ("link", "server.dat", "foo/msgs.1.dat", 0)])
@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
def test_the_store_behaves_as_a_folder_that_nobody_supervises(
    twins: subprocess.Popen[str], steps: list[tuple[str, str, str, int]]
) -> None:
    assert twins.stdin is not None
    twins.stdin.write(json.dumps(steps) + "\n")
    twins.stdin.flush()
    assert line(twins) == "same"


# --- locks ------------------------------------------------------------------------------------------------------------


def locks(pid: int) -> set[int]:
    """Inodes of the files that a process's descriptors own locks of."""
    found = set()
    for text in Path("/proc/locks").read_text().splitlines():
        match = re.search(r"FLOCK .* WRITE (\d+) \w+:\w+:(\d+) ", text)
        if match and int(match[1]) == pid:
            found.add(int(match[2]))
    return found


def test_a_lock_lives_as_long_as_the_programs_descriptor(tmp_path: Path) -> None:
    program = """
    import os, sys
    store = input()
    files = [os.open(f"{store}/msgs.{n}.dat", os.O_RDWR | os.O_CREAT) for n in range(3)]
    print("open", flush=True); input()
    for file in files: os.close(file)
    print("closed", flush=True); input()
    """
    with running(tmp_path, program) as process:
        assert process.stdin is not None
        process.stdin.write(f"{tmp_path}\n")
        process.stdin.flush()
        assert line(process) == "open"
        inodes = {path.stat().st_ino for path in tmp_path.glob("msgs.*")}
        assert inodes < locks(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        assert line(process) == "closed"
        wait_for(lambda: not inodes & locks(process.pid), PATIENCE, lambda: "the locks stay")


# --- attacks ----------------------------------------------------------------------------------------------------------


def test_the_program_dies_with_its_killed_supervisor(tmp_path: Path) -> None:
    with running(tmp_path, "print('up', flush=True); import time; time.sleep(60)") as process:
        assert line(process) == "up"
        server = child(process)
        process.kill()
        wait_for(lambda: gone(server), PATIENCE, lambda: "the program lives on without its supervisor")


def test_ten_thousand_files_are_opened_and_each_is_locked(tmp_path: Path) -> None:
    count = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 100)
    program = f"""
    import os, resource, sys
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files = [os.open({str(tmp_path)!r} + f"/{{n}}", os.O_RDWR | os.O_CREAT) for n in range({count})]
    print(len(set(files)), flush=True); input()
    """
    with running(tmp_path, program) as process:
        assert line(process) == str(count)
        # And the lease file. /proc/locks is read in pieces, and an entry may slip by while other programs lock.
        wait.until(lambda: len(locks(process.pid)) == count + 1, 20, lambda: f"{len(locks(process.pid))} are locked")


def test_opens_of_many_threads_at_once_are_all_answered(tmp_path: Path) -> None:
    program = f"""
    import os, threading
    done = []
    def work(n):
        for i in range(20):
            file = os.open({str(tmp_path)!r} + f"/{{n}}.{{i}}", os.O_RDWR | os.O_CREAT)
            os.write(file, b"x"); os.close(file); done.append(1)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(100)]
    [t.start() for t in threads]; [t.join() for t in threads]
    print(len(done))
    """
    assert run(tmp_path, program).stdout.strip() == "2000"
    assert len([path for path in tmp_path.iterdir() if path.name[0] != "."]) == 2000


def test_a_program_without_free_descriptors_gets_the_kernels_error_and_goes_on(tmp_path: Path) -> None:
    program = f"""
    import os, resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    files, number = [], 0
    try:
        while True: files.append(os.open({str(tmp_path)!r} + f"/{{len(files)}}", os.O_RDWR | os.O_CREAT))
    except OSError as error: number = error.errno
    os.close(files.pop())
    os.close(os.open({str(tmp_path)!r} + "/again", os.O_RDWR | os.O_CREAT))
    print(number)
    """
    assert run(tmp_path, program).stdout.strip() == "24"  # EMFILE


def test_an_open_that_hangs_holds_up_no_other(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # an open for writing waits for a reader, as one on a silent store waits
    program = f"""
    import os, threading, time
    for _ in range(100):
        threading.Thread(target=lambda: os.open({str(tmp_path)!r} + "/pipe", os.O_WRONLY), daemon=True).start()
    time.sleep(0.5)
    os.close(os.open({str(tmp_path)!r} + "/file", os.O_RDWR | os.O_CREAT))
    print("opened", flush=True)
    os._exit(3)
    """
    done = run(tmp_path, program)
    assert (done.stdout.strip(), done.returncode) == ("opened", 3)


def test_interrupted_opens_leave_nothing_behind(tmp_path: Path) -> None:
    program = f"""
    import os, signal
    count = 0
    def ring(*_):
        global count
        count += 1
    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    for n in range(500):
        os.close(os.open({str(tmp_path)!r} + f"/subs{{n}}", os.O_RDWR | os.O_CREAT | os.O_EXCL))
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(count > 10)
    """
    assert run(tmp_path, program).stdout.strip() == "True"
    assert len(list(tmp_path.glob("subs*"))) == 500


# Opens a file through the 32-bit gate of x86-64 (int 0x80), whose numbers the filter does not know; prints the answer.
BY_32_BITS = """
    import ctypes, os, sys
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    page = libc.mmap(None, ctypes.c_size_t(8192), 7, 0x62, -1, ctypes.c_long(0))  # below 4 GiB
    ctypes.memmove(page + 4096, sys.argv[1].encode() + bytes(1), len(sys.argv[1]) + 1)
    # push rbx; mov eax,edi; mov ebx,esi; mov ecx,edx; mov edx,0666; int 0x80; pop rbx; ret
    code = bytes.fromhex("5389f889f389d1bab6010000cd805bc3")
    ctypes.memmove(page, code, len(code))
    call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_uint, ctypes.c_int)(page)
    print(call(5, page + 4096, os.O_RDWR | os.O_CREAT))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have no such gate")
def test_the_gate_for_32_bit_programs_does_not_lead_into_the_store(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "store" / "file"
    bare = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BY_32_BITS), outside], capture_output=True, text=True, check=False
    )
    if bare.returncode == -signal.SIGSEGV:
        pytest.skip("this kernel runs no 32-bit programs")
    assert outside.exists(), "unsupervised it opens a file"
    done = subprocess.run(
        [*words(tmp_path / "store", BY_32_BITS), inside], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.stdout.strip() == str(-errno.ENOSYS)
    assert not inside.exists()


def test_what_the_program_starts_is_supervised_too(tmp_path: Path) -> None:
    program = f"""
    import subprocess, sys
    subprocess.run(["/bin/sh", "-c", "echo x > {tmp_path}/made; mv {tmp_path}/made {tmp_path}/moved"], check=True)
    subprocess.run(["/bin/sh", "-c", "exec 5> {tmp_path}/held; read -r word"])
    """
    with running(tmp_path, program) as process:
        held = tmp_path / "held"
        wait_for(held.exists, PATIENCE, lambda: "nothing was made")
        wait_for(lambda: held.stat().st_ino in locks(process.pid), PATIENCE, lambda: "no lock")
        assert (tmp_path / "moved").read_text() == "x\n"


def test_a_store_that_is_a_link_and_a_mount_point_is_the_one_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "way").symlink_to("real")
    program = f"import os; os.open('{tmp_path}/real/x', os.O_RDWR | os.O_CREAT); print(1, flush=True); input()"
    with running(tmp_path / "way", program) as process:
        assert line(process) == "1"
        assert (tmp_path / "real/x").stat().st_ino in locks(process.pid)


def test_another_server_on_the_same_file_ends_this_one(tmp_path: Path) -> None:
    take = "import os; os.open({0!r} + '/msgs.1.dat', os.O_RDWR | os.O_CREAT); print('has', flush=True); input()"
    with running(tmp_path, take.format(str(tmp_path))) as first:
        assert line(first) == "has"
        done = run(tmp_path, take.format(str(tmp_path)))
        assert done.returncode == 1
        assert f"another server holds the lock of {tmp_path}/msgs.1.dat" in done.stderr.splitlines()[-1]
        assert first.poll() is None


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "code"),
    [("raise SystemExit(0)", 0), ("raise SystemExit(143)", 143), ("import os; os.kill(os.getpid(), 9)", 137)],
)
def test_the_exit_code_is_the_programs(tmp_path: Path, program: str, code: int) -> None:
    assert run(tmp_path, program).returncode == code


def test_the_programs_last_words_are_the_last_in_the_log(tmp_path: Path) -> None:
    done = run(tmp_path, "import sys; sys.exit('panic: words')")
    assert done.stderr.splitlines()[-1] == "panic: words"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGABRT])
def test_signals_reach_the_program(tmp_path: Path, number: signal.Signals) -> None:
    program = f"""
    import signal, time
    got = []
    signal.signal({int(number)}, lambda *_: got.append(1))
    print("ready", flush=True)
    while not got: time.sleep(0.01)
    print("got it", flush=True)
    raise SystemExit(5)
    """
    with running(tmp_path, program) as process:
        assert line(process) == "ready"
        process.send_signal(number)
        assert line(process) == "got it"
        assert process.wait(PATIENCE) == 5


def test_the_program_starts_with_no_signal_blocked_or_ignored_also_under_nohup(tmp_path: Path) -> None:
    def nohup() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    done = run(tmp_path, "print(open('/proc/self/status').read())", preexec_fn=nohup)
    blocked, ignored = (re.search(rf"^{name}:\s+(\w+)", done.stdout, re.MULTILINE) for name in ("SigBlk", "SigIgn"))
    python = (1 << signal.SIGPIPE - 1) | (1 << signal.SIGXFSZ - 1)  # Python itself ignores these
    assert blocked is not None
    assert ignored is not None
    assert (int(blocked[1], 16), int(ignored[1], 16) & ~python) == (0, 0)


# A storage that is asked for a lock here waits so many seconds.
SLOW = """
import lease, time
real = lease.hold
def hold(*a, **k):
    time.sleep({0})
    return real(*a, **k)
lease.hold = hold
"""


def test_a_reload_that_comes_before_the_store_answers_does_not_end_the_program(tmp_path: Path) -> None:
    command = words(tmp_path, "print('runs')")
    command[1:2] = ["-c", LACKING.format(SLOW.format(1.0))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        wait_for(lambda: held_back(process), PATIENCE, lambda: "no program is held back")
        process.send_signal(signal.SIGHUP)
        assert (line(process), process.wait(PATIENCE)) == ("runs", 0)


def held_back(process: subprocess.Popen[str]) -> bool:
    """Whether the supervised program has been made and waits for its start."""
    with suppress(IndexError):
        return "Seccomp:\t2" in Path(f"/proc/{child(process)}/status").read_text()
    return False


def test_orphans_are_reaped_where_it_is_the_first_process(tmp_path: Path) -> None:
    program = """
    import os, time
    if os.fork() == 0:
        if os.fork() == 0: time.sleep(0.2); os._exit(0)
        os._exit(0)
    os.wait(); time.sleep(1)
    states = [open(f"/proc/{p}/stat").read().rpartition(")")[2].split()[0] for p in os.listdir("/proc") if p.isdigit()]
    print(states.count("Z"), flush=True)
    """
    alone = ["unshare", "--pid", "--fork", "--mount-proc"]
    done = subprocess.run(
        [*alone, *words(tmp_path, program)],
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if os.geteuid() != 0 and "Operation not permitted" in done.stderr:
        pytest.skip("a PID namespace of its own needs root")
    assert done.stdout.strip() == "0"


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [*supervised.command(tmp_path), "/no/such/server"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 127
    assert "supervisor: cannot start /no/such/server: No such file or directory" in done.stderr


# --- what it needs ----------------------------------------------------------------------------------------------------

# A machine that lacks something: this part of the kernel's interface fails in the supervisor that these words start.
LACKING = """
import os, runpy, sys
sys.path.insert(0, os.path.dirname(sys.argv[1]))
import fcntl, seccomp
{0}
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
NO_SECCOMP = "def no(): raise OSError(38, 'Function not implemented')\nseccomp.install = no"
NO_MEMORY = "def no(*_): raise OSError(13, 'Permission denied')\nseccomp.read_path = no"
OLD = NO_SECCOMP + "\ndef old(_): raise OSError(38, 'Function not implemented')\nos.pidfd_open = old"
NO_LOCKS = "def no(*_): raise OSError(95, 'Operation not supported')\nfcntl.flock = no"


def lacking(what: str, store: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a program that prints a word, where this is missing."""
    command = words(store, "print('runs')", *options)
    command[1:2] = ["-c", LACKING.format(what)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (NO_SECCOMP, "seccomp gives no listener: [Errno 38] Function not implemented"),
        (OLD, "seccomp gives no listener: [Errno 38] Function not implemented"),
        ("def no(): os._exit(9)\nseccomp.install = no", "seccomp gives no listener: the child has ended"),
        (NO_MEMORY, "a child's memory cannot be read (Permission denied); kernel.yama.ptrace_scope has to be 0 or 1"),
        (NO_LOCKS, "knows no locks"),
    ],
    ids=["seccomp", "old kernel", "child", "memory", "locks"],
)
def test_what_is_missing_is_told_and_the_mode_decides(tmp_path: Path, what: str, said: str) -> None:
    required = lacking(what, tmp_path)
    assert (required.returncode, required.stdout) == (1, "")
    assert said in required.stderr
    assert "set fencing.mode=prefer to run unguarded: " in required.stderr
    preferred = lacking(what, tmp_path, "--mode", "prefer")
    assert (preferred.returncode, preferred.stdout) == (0, "runs\n")
    assert "THE STORE IS NOT GUARDED" in preferred.stderr
    assert said in preferred.stderr
    assert GUARDED not in preferred.stderr


@pytest.mark.parametrize("address", ["", "127.0.0.1", "[::1]"])
def test_its_state_is_told_over_http_on_every_family(tmp_path: Path, address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    program = "print('up', flush=True); input()"
    with running(tmp_path, program, "--listen", f"{address}:{port}") as process:
        assert line(process) == "up"
        with urllib.request.urlopen(f"http://{address or '127.0.0.1'}:{port}/healthz", timeout=PATIENCE) as answer:
            told = json.load(answer)
    assert told["stan_fencing_guarded"] == 1
    assert told["stan_fencing_lease_age_seconds"] < 3


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(tmp_path, "print('runs')", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"supervisor: .*Address already in use.*Set fencing.port\n", done.stderr)


def test_callers_that_take_all_descriptors_end_no_server(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with running(tmp_path, "print('up', flush=True); input()", "--listen", f"127.0.0.1:{port}") as process:
        assert line(process) == "up"
        used = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (used + 2, used + 2))
        callers = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
        callers[0].settimeout(PATIENCE)
        assert callers[0].recv(1) == b"", "who asks nothing is let go"
        for caller in callers:
            caller.close()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE) as answer:
            assert json.load(answer)["stan_fencing_guarded"] == 1


def test_questions_are_answered_also_where_no_more_threads_are_to_be_had(tmp_path: Path) -> None:
    program = f"""
    import os, threading
    def work(n): os.close(os.open({str(tmp_path)!r} + f"/{{n}}", os.O_RDWR | os.O_CREAT))
    threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    [t.start() for t in threads]; [t.join() for t in threads]
    print("runs")
    """
    command = words(tmp_path, program)
    command[1:2] = ["-c", LACKING.format(FEW)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.stdout, done.returncode) == ("runs\n", 0)


FEW = """
import threading
real = threading.Thread.start
def start(thread):
    if thread.name.startswith("answer_") and thread.name > "answer_1": raise RuntimeError("can't start new thread")
    real(thread)
threading.Thread.start = start
"""


def test_a_store_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(tmp_path / "file" / "store", "print('runs')")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("supervisor: ended the server: no lease file in the store")


def test_a_lease_file_that_is_none_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / ".lease.test").mkdir()
    done = run(tmp_path, "print('runs')")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].endswith(f"no lease file in the store: Is a directory ({tmp_path}/.lease.test)")


# A storage, not this machine's own, that answers nothing while this file is there.
SILENT = """
import lease, time
real, lease.LOCAL = lease.overwrite, ()
def write(descriptor):
    while os.path.exists({0!r}): time.sleep(0.05)
    real(descriptor)
lease.Lease.__init__.__kwdefaults__["write"] = write
"""


# A storage, not this machine's own, whose lease is lost once this file is there.
LOSING = SILENT.replace("while os", "if os").replace("time.sleep(0.05)", "raise OSError(5, 'lost')")


@pytest.mark.parametrize("hangs", [False, True], ids=["is gone", "hangs"])
def test_a_lost_lease_ends_the_server_also_when_the_logs_reader(tmp_path: Path, *, hangs: bool) -> None:
    flag = tmp_path / "flag"
    command = words(tmp_path / "store", "import time; print('up', flush=True); time.sleep(60)")
    command[1:2] = ["-c", LACKING.format(LOSING.format(str(flag)))]
    reads, writes = os.pipe()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=writes, text=True) as process:
        try:
            assert line(process) == "up"
            server = child(process)
            if hangs:
                fill(writes)
            else:
                os.close(reads)
            flag.touch()
            wait_for(lambda: gone(server), PATIENCE, lambda: "the server lives on without its lease")
        finally:
            process.kill()
    os.close(writes)
    if hangs:
        os.close(reads)


def fill(pipe: int) -> None:
    """Write into a pipe until it takes no more."""
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b"x")
    os.set_blocking(pipe, True)


def silent(store: Path, flag: Path, *options: str, files: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program over a store that falls silent, lease 2 s; with a file of the store it is active."""
    opens = f"os.open({str(store)!r} + '/x', os.O_RDWR | os.O_CREAT); " if files else ""
    program = f"import os, time; {opens}open({str(flag)!r}, 'w'); time.sleep(5); print('survived')"
    command = words(store, program, "--lease", "2", *options)
    command[1:2] = ["-c", LACKING.format(SILENT.format(str(flag)))]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_an_active_is_ended_when_the_store_is_silent_for_half_the_lease(tmp_path: Path) -> None:
    began = time.monotonic()
    done = silent(tmp_path / "store", tmp_path / "flag")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"ended the server: the store has been silent for 1\.\d s", done.stderr)
    assert time.monotonic() - began < 5


def test_a_standby_is_not_ended_by_a_silent_store(tmp_path: Path) -> None:
    done = silent(tmp_path / "store", tmp_path / "flag", files=False)
    assert (done.returncode, done.stdout) == (0, "survived\n")


def test_silence_acts_once_in_a_while_only(tmp_path: Path) -> None:
    options = ("--memory", str(tmp_path / "memory"))
    assert silent(tmp_path / "store", tmp_path / "flag", *options).returncode == 1
    (tmp_path / "flag").unlink()
    assert silent(tmp_path / "store", tmp_path / "flag", *options).stdout == "survived\n"


def state(pid: int) -> str:
    """A process's state, as in R (runs), S (sleeps), T (stopped)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_an_active_that_slept_for_half_its_lease_stands_still_until_the_storage_confirms_it(tmp_path: Path) -> None:
    store, flag = tmp_path / "store", tmp_path / "flag"
    program = f"import os; os.open({str(store)!r} + '/x', os.O_RDWR | os.O_CREAT); print('up', flush=True); input()"
    command = words(store, program, "--lease", "8")
    command[1:2] = ["-c", LACKING.format(SILENT.format(str(flag)))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert line(process) == "up"
            both = (process.pid, server := child(process))
            flag.touch()
            for pid in both:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(4.5)
            for pid in reversed(both):
                os.kill(pid, signal.SIGCONT)
            wait_for(lambda: state(server) == "T", PATIENCE, lambda: "the server runs without a proof")
            flag.unlink()
            wait_for(lambda: state(server) == "S", PATIENCE, lambda: "the server stands still after a proof")
        finally:
            process.kill()
