"""nmfp completion bash | zsh | fish: shell completion, written from the parser itself."""

import argparse

from nmfp.cli.options import new_command
from nmfp.cli.status import OK


def add_parser(commands) -> None:
    """Describe the command."""
    command = new_command(
        commands,
        "completion",
        run,
        "print the completion script of a shell",
        '  eval "$(nmfp completion bash)"                     in ~/.bashrc\n'
        '  eval "$(nmfp completion zsh)"                      in ~/.zshrc, after compinit\n'
        "  nmfp completion fish > ~/.config/fish/completions/nmfp.fish\n",
    )
    command.add_argument("shell", choices=["bash", "zsh", "fish"])


def run(arguments) -> int:
    """Print the script."""
    words = dict(_walk(arguments.whole, ()))
    writer = {"bash": _bash, "zsh": _zsh, "fish": _fish}[arguments.shell]
    print(writer(words), end="")
    return OK


def _walk(parser: argparse.ArgumentParser, path: tuple[str, ...]):
    """(command path) -> list of (word, help) that may follow it: commands, options, choices."""
    words = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                words.append((name, child.description or ""))
                yield from _walk(child, (*path, name))
        else:
            words += [
                (option, action.help or "") for option in action.option_strings if option.startswith("--")
            ]
            if not action.option_strings and action.choices:
                words += [(str(choice), "") for choice in action.choices]
    yield path, words


def _bash(words: dict) -> str:
    cases = "".join(
        f"    '{' '.join(path)}') words='{' '.join(word for word, _ in found)}' ;;\n"
        for path, found in sorted(words.items())
    )
    return f"""\
_nmfp() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" path='' word words=''
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case " {" ".join(" ".join(path) for path in words)} " in
      *" ${{path:+$path }}$word "*) path="${{path:+$path }}$word" ;;
    esac
  done
  case "$path" in
{cases}  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _nmfp nmfp
"""


def _zsh(words: dict) -> str:
    return "autoload -U +X bashcompinit && bashcompinit\n" + _bash(words)


def _fish(words: dict) -> str:
    lines = []
    for path, found in sorted(words.items()):
        condition = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in path)
        if not path:
            condition = "__fish_use_subcommand"
        for word, text in found:
            text = text.replace("'", "\\'").replace("%%", "%")
            kind = f"-l {word[2:]}" if word.startswith("--") else f"-a {word}"
            lines.append(f"complete -c nmfp -n '{condition}' {kind} -d '{text}'")
    return "\n".join(lines) + "\n"
