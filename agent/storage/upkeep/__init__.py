"""What a command does to a state folder while no agent has it: look, restore, adopt."""
