"""What `greenhop COMMAND key=value` does: settings in, printed tables and files out; the work itself is the other
rooms'. One module a command, with a `main(config)`; its keys are those of `configs/NAME.yaml`."""
