"""Workers in a Ray cluster: the agent's side, the driver's process, the actor on each machine."""
