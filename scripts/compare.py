"""`greenhop compare` from a checkout."""

from greenhop_agents.commands.main import run_command

if __name__ == "__main__":
    run_command("compare")
