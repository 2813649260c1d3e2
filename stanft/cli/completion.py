"""stan-ft completion: prints the completion of stan-ft for a shell, made from the commands' own options."""

from __future__ import annotations

import argparse

SHELLS = ("bash", "zsh", "fish")
EPILOG = """examples:
  source <(stan-ft completion bash)                                        in ~/.bashrc, for every shell
  source <(stan-ft completion zsh)                                         in ~/.zshrc, after compinit
  stan-ft completion fish > ~/.config/fish/completions/stan-ft.fish"""
_BASH = """\
# stan-ft completion for bash: words from stan-ft itself, files where an option or a command takes one.
_stan_ft() {{
  local word=${{COMP_WORDS[COMP_CWORD]}}
  local before=${{COMP_WORDS[COMP_CWORD-1]}} words=
  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    COMPREPLY=($(compgen -W "{commands} --help --version" -- "$word"))
    return
  fi
  case ${{COMP_WORDS[1]}}:$before in
{choices}  esac
  if [ -z "$words" ]; then
    case ${{COMP_WORDS[1]}} in
{options}    esac
    case $word in -*) ;; *) words= ;; esac
  fi
  [ -n "$words" ] && COMPREPLY=($(compgen -W "$words" -- "$word")) || COMPREPLY=($(compgen -f -- "$word"))
}}
complete -o filenames -F _stan_ft stan-ft
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="stan-ft completion",
        description="Print what makes a shell complete the words of stan-ft with Tab.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("shell", choices=SHELLS, help="the shell")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Print the completion for the shell that the arguments name."""
    options = parser().parse_args(arguments)
    print({"bash": bash, "zsh": zsh, "fish": fish}[options.shell](), end="")
    return 0


def _parsers() -> dict[str, argparse.ArgumentParser]:
    from stanft.cli import main as entry  # noqa: PLC0415 (it knows this command too)

    return {name: entry.command(name).parser() for name in entry.COMMANDS}


def bash() -> str:
    """The completion for bash."""
    choices, options = "", ""
    for name, made in _parsers().items():
        words = [option for action in made._actions for option in action.option_strings if option.startswith("--")]
        options += f"      {name}) words='{' '.join(words)}' ;;\n"
        for action in made._actions:
            if action.choices:
                before = [f"{name}:{option}" for option in action.option_strings] or [f"{name}:{name}"]
                choices += f"    {' | '.join(before)}) words='{' '.join(map(str, action.choices))}' ;;\n"
    return _BASH.format(commands=" ".join(_parsers()), choices=choices, options=options)


def zsh() -> str:
    """The completion for zsh, which reads bash's."""
    return "autoload -U +X bashcompinit && bashcompinit\n" + bash()


def fish() -> str:
    """The completion for fish."""
    from stanft.cli import main as entry  # noqa: PLC0415 (it knows this command too)

    lines = ["# stan-ft completion for fish"]
    for name, sentence in entry.COMMANDS.items():
        lines.append(f"complete -c stan-ft -n __fish_use_subcommand -f -a {name} -d '{_quoted(sentence)}'")
    for name, made in _parsers().items():
        for action in made._actions:
            words = [f"-l {option[2:]}" for option in action.option_strings if option.startswith("--")]
            words += [f"-s {option[1:]}" for option in action.option_strings if not option.startswith("--")]
            if words:
                takes = "" if action.nargs == 0 else " -r"
                takes += f" -f -a '{' '.join(map(str, action.choices))}'" if action.choices else ""
                about = _quoted((action.help or "").partition(" (")[0].replace("%%", "%"))
                lines.append(
                    f"complete -c stan-ft -n '__fish_seen_subcommand_from {name}' {' '.join(words)}{takes} -d '{about}'"
                )
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
