"""What a container runs: the words that nats-streaming-server gets, also behind a shell, a script or a wrapper.

Source: Kubernetes command and args, the kubelet's $(NAME), POSIX shell words, and the entry points of the official
images (scratch: the server itself; alpine: a script that puts the server's name before options).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

PROGRAM = "nats-streaming-server"
_SHELLS = ("sh", "bash", "ash", "dash", "busybox", "zsh")
_OTHER_IMAGES = ("exporter", "operator", "reloader", "connector", "box", "bridge", "surveyor", "nui")
_OWN_OPTIONS = ("sc", "stan_config", "ft_group", "cluster_id", "cid", "st", "nats_server", "stan_debug")
_MENTIONS = ("echo", "printf", "which", "command", "test", "[", "cp", "ls", "chmod", "cat", "pgrep", "pkill", "killall")
_OPERATOR = re.compile(r"[;&|()<>\n]+")
_SUBSTITUTION = re.compile(r"\$\((?!\()(?:[^()]|\([^()]*\))*\)|`[^`]*`")
_NAME = re.compile(r"\$(?:\{(\w+)(?::?[-=]([^}]*))?\}|(\w+))")
_ASSIGNMENT = re.compile(r"(\w+)=(.*)", re.DOTALL)
_REFERENCE = re.compile(r"\$\$|\$\((\w[\w.-]*)\)")
_HERE = re.compile(r"<<-?[ \t]*(['\"]?)(\w+)\1")
_INTO = re.compile(r"(?:>|\btee\b(?:\s+-\w+)*)\s*[\"']?([^\s\"'>|;&]+)")
_QUOTED, _LITERAL = "\ue000", "\ue001"  # a $ in double quotes, whose value stays one word, and one in single quotes


@dataclass(frozen=True)
class Command:
    """The words behind the server's name; unread says why they are not known, by_shell whether a shell made them.

    problem says why the container does not start as it is meant; files are those that its script writes.
    """

    words: tuple[str, ...]
    unread: str | None = None
    by_shell: bool = False
    problem: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)


def server(
    image: str,
    command: Sequence[str],
    args: Sequence[str],
    environment: Mapping[str, str | None],
    script: Callable[[str], str | None],
) -> Command | None:
    """How a container runs the server, None if it does not.

    environment holds the container's variables (None for a value that cannot be seen); script gives the text of a
    mounted file.
    """
    words = [expanded(word, environment) for word in [*command, *args]]
    if not command:
        if not _is_image(image) and not _has_own_options(words):
            return None
        if not words or words[0].startswith("-"):
            return Command(tuple(words))
    return _of_words(words, environment, script)


def expanded(word: str, environment: Mapping[str, str | None]) -> str:
    """A word or value with each $(NAME) replaced as the kubelet does; what it does not know stays as it is."""

    def value(match: re.Match[str]) -> str:
        if match.group() == "$$":
            return "$"
        known = environment.get(match.group(1))
        return match.group() if known is None else known

    return _REFERENCE.sub(value, word)


def _is_image(image: str) -> bool:
    name = _image_name(image)
    return ("nats-streaming" in name or name == "stan") and not is_other(image)


def is_other(image: str) -> bool:
    """Whether an image is known by its name as a program beside the server."""
    return any(word in _image_name(image) for word in _OTHER_IMAGES)


def _image_name(image: str) -> str:
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def _has_own_options(words: Sequence[str]) -> bool:
    return any(word.startswith("-") and word.lstrip("-").partition("=")[0] in _OWN_OPTIONS for word in words)


def _of_words(
    words: Sequence[str], environment: Mapping[str, str | None], script: Callable[[str], str | None]
) -> Command | None:
    for at, word in enumerate(words):
        name = word.rpartition("/")[2]
        if name == PROGRAM:
            return Command(tuple(words[at + 1 :]))
        if at == 0 and word.partition(" ")[0].rpartition("/")[2] == PROGRAM:
            said = f"the command is one word, {word!r}, and no program has that name: write each word by itself"
            return Command((), said, problem=said)
        if name in _SHELLS:
            return _of_shell(words[at + 1 :], environment, script)
        if at == 0 and (text := script(word)) is not None:
            return _of_script(text, ["", *words[1:]], environment)
    return None


def _of_shell(
    words: Sequence[str], environment: Mapping[str, str | None], script: Callable[[str], str | None]
) -> Command | None:
    """The words behind a shell's name: options, then the text behind -c or the name of a script."""
    by_text = False
    for at, word in enumerate(words):
        if word == "sh":  # busybox sh
            continue
        if word.startswith(("-", "+")) and word not in ("-", "--"):
            by_text = by_text or (not word.startswith("--") and "c" in word)
            continue
        if by_text:
            return _of_script(word, words[at + 1 :], environment)
        text = script(word)
        if text is None:
            return Command((), f"the script {word} is not among these objects") if PROGRAM in " ".join(words) else None
        return _of_script(text, words[at:], environment)
    return None


def _of_script(text: str, parameters: Sequence[str], environment: Mapping[str, str | None]) -> Command | None:
    """The server's words in a shell script; parameters are $0, $1 and so on."""
    if PROGRAM not in text and not any(PROGRAM in word for word in parameters):
        return None
    variables = {name: value for name, value in environment.items() if value is not None}
    text, files = _without_documents(text, variables)
    text = _SUBSTITUTION.sub(_as_variable, text.replace("\\\n", " "))
    taken = re.search(r"\$[@*1-9{]", text) is not None
    try:
        commands = _commands(_marked(text))
    except ValueError as error:
        return Command((), f"the shell's words cannot be read: {error}", by_shell=True)
    for words in commands:
        made = _substituted(words, parameters, variables)
        while made and (made[0] in ("export", "readonly", "local") or _ASSIGNMENT.fullmatch(made[0])):
            if found := _ASSIGNMENT.fullmatch(made[0]):
                variables[found.group(1)] = found.group(2)
            made = made[1:]
        if made[:1] == ["set"] and "--" in made:
            parameters = [*(parameters[:1] or ["sh"]), *made[made.index("--") + 1 :]]
        if made and made[0].rpartition("/")[2] in _MENTIONS:
            continue
        for at, word in enumerate(made):
            if word.rpartition("/")[2] == PROGRAM:
                lost = "" if taken or len(parameters) < 2 or made[at + 1 :] else " ".join(parameters)
                problem = f"the shell runs the one word behind -c, and the server gets nothing of: {lost}"
                return Command(tuple(made[at + 1 :]), by_shell=True, problem=problem if lost else None, files=files)
    return None


def _without_documents(text: str, variables: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """A script without its here documents, and the texts of those that it writes into files."""
    kept: list[str] = []
    files: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        kept.append(line)
        here = _HERE.search(line)
        if here is None:
            continue
        kept[-1] = line[: here.start()] + line[here.end() :]
        body = "\n".join(iter(partial(_until, lines, here.group(2)), None))
        if into := _INTO.search(kept[-1]):
            files[into.group(1)] = body if here.group(1) else _NAME.sub(lambda found: _value(found, variables), body)
    return "\n".join(kept), files


def _until(lines: Iterator[str], end: str) -> str | None:
    """The next line of a here document, None where it ends."""
    line = next(lines, end)
    return None if line.strip() == end else line


def _marked(text: str) -> str:
    """A script without comments, each $ inside of quotes marked: what stands there is not split into words."""
    made: list[str] = []
    quote, escaped, comment = "", False, False
    for at, each in enumerate(text):
        comment = (comment or (each == "#" and not quote and (at == 0 or text[at - 1] in " \t\n;"))) and each != "\n"
        if comment:
            continue
        if escaped:
            escaped = False
        elif each == "\\" and quote != "'":
            escaped = True
        elif each in "'\"":
            quote = ("" if quote == each else quote) if quote else each
        made.append({"'": _LITERAL, '"': _QUOTED}.get(quote, each) if each == "$" else each)
    return "".join(made)


def _as_variable(found: re.Match[str]) -> str:
    """The output of a command stands in the text like a variable that nobody knows."""
    return "$" + re.sub(r"\W+", "_", found.group()).strip("_")


def _commands(text: str) -> list[list[str]]:
    """The simple commands of a script as words without quotes; redirections are left out with what they name."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|()<>\n")
    lexer.whitespace = " \t\r"
    lexer.commenters = ""
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    redirected = False
    for word in lexer:
        if _OPERATOR.fullmatch(word):
            redirected = any(mark in word for mark in "<>") and "\n" not in word
            if redirected:
                if commands[-1] and commands[-1][-1].isdecimal():
                    commands[-1].pop()
            else:
                commands.append([])
        elif redirected:
            redirected = False
        else:
            commands[-1].append(word)
    return [words for words in commands if words]


def _substituted(words: Sequence[str], parameters: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    made: list[str] = []
    known = {**variables, **{str(at): each for at, each in enumerate(parameters)}}
    for word in words:
        if word.replace(_QUOTED, "$") in ("$@", "$*", "${@}", "${*}"):
            made += parameters[1:]
            continue
        bare = _NAME.sub(lambda found: _value(found, known), word)
        whole = _NAME.sub(lambda found: _value(found, known), bare.replace(_QUOTED, "$")).replace(_LITERAL, "$")
        split = bare != word and _QUOTED not in word and not _ASSIGNMENT.match(word)
        made += whole.split() if split else [whole]
    return made


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    """What stands for a $NAME or ${NAME:-otherwise}; itself where nobody knows."""
    name = found.group(1) or found.group(3)
    if name in variables:
        return variables[name]
    return found.group(2) if found.group(2) is not None else found.group()
