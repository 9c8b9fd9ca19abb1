"""What the page asks of the agent beside its state: what was before, what people do there."""
