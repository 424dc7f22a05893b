"""What a scenario file may say and what it means, down to the numbers a step needs; nothing here steps, draws weather
or decides."""
