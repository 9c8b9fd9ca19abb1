"""Questions and orders to the running agent, from commands on the same machine.

A Unix socket in ``state_dir``. Who may open it is decided by its permissions (0600) and once more
by the kernel's word on who connects: the agent's own user, or root.
"""
