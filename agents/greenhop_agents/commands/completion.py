"""Completion by Tab in bash: commands first, then the keys and choices that Hydra knows of the command."""

from __future__ import annotations

from collections.abc import Sequence

SCRIPT = """\
_greenhop() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}"
  if (( COMP_CWORD == 1 )); then
    COMPREPLY=($(compgen -W "{names}" -- "$word"))
  else
    local line="greenhop ${{COMP_LINE#* * }}"  # the command and its keys, as Hydra reads a line
    local found="$(COMP_LINE="$line" "${{COMP_WORDS[0]}}" "${{COMP_WORDS[1]}}" -sc query=bash 2> /dev/null)"
    COMPREPLY=($(compgen -W "$found" -- "$word"))
  fi
}}
COMP_WORDBREAKS=${{COMP_WORDBREAKS//=}}
complete -o nospace -o default -F _greenhop greenhop"""


def bash_completion(names: Sequence[str]) -> str:
    """The text for bash to evaluate.

    Args:
        names: commands to complete behind `greenhop`.
    """
    return SCRIPT.format(names=" ".join(names))
