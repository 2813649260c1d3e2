"""What a container runs: the words that nats-streaming-server gets, also behind a shell, a script or a wrapper.

Source: Kubernetes command and args, the kubelet's $(NAME), POSIX shell words, and the entry points of the official
images (scratch: the server itself; alpine: a script that puts the server's name before options).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Command:
    """The words behind the server's name; unread says why they are not known, by_shell whether a shell made them."""

    words: tuple[str, ...]
    unread: str | None = None
    by_shell: bool = False


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
    name = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return ("nats-streaming" in name or name == "stan") and not any(word in name for word in _OTHER_IMAGES)


def _has_own_options(words: Sequence[str]) -> bool:
    return any(word.startswith("-") and word.lstrip("-").partition("=")[0] in _OWN_OPTIONS for word in words)


def _of_words(
    words: Sequence[str], environment: Mapping[str, str | None], script: Callable[[str], str | None]
) -> Command | None:
    for at, word in enumerate(words):
        name = word.rpartition("/")[2]
        if name == PROGRAM:
            return Command(tuple(words[at + 1 :]))
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
    text = _SUBSTITUTION.sub(_as_variable, text.replace("\\\n", " "))
    variables = {name: value for name, value in environment.items() if value is not None}
    try:
        commands = _commands(text)
    except ValueError as error:
        return Command((), f"the shell's words cannot be read: {error}", by_shell=True)
    for words in commands:
        made = _substituted(words, parameters, variables)
        while made and (made[0] in ("export", "readonly") or _ASSIGNMENT.fullmatch(made[0])):
            if found := _ASSIGNMENT.fullmatch(made[0]):
                variables[found.group(1)] = found.group(2)
            made = made[1:]
        if made and made[0].rpartition("/")[2] in _MENTIONS:
            continue
        for at, word in enumerate(made):
            if word.rpartition("/")[2] == PROGRAM:
                return Command(tuple(made[at + 1 :]), by_shell=True)
    return None


def _as_variable(found: re.Match[str]) -> str:
    """The output of a command stands in the text like a variable that nobody knows."""
    return "$" + re.sub(r"\W+", "_", found.group()).strip("_")


def _commands(text: str) -> list[list[str]]:
    """The simple commands of a script as words without quotes; redirections are left out with what they name."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|()<>\n")
    lexer.whitespace = " \t\r"
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
    for word in words:
        if word in ("$@", "$*", "${@}"):
            made += parameters[1:]
            continue

        def value(found: re.Match[str]) -> str:
            name = found.group(1) or found.group(3)
            if name.isdecimal() and int(name) < len(parameters):
                return parameters[int(name)]
            if name in variables:
                return variables[name]
            return found.group(2) if found.group(2) is not None else found.group()

        made.append(_NAME.sub(value, word))
    return made
