"""What every script needs: settings from a command line, progress, the machine it runs on; nothing about agents."""
