"""What commands do for whoever looks after an agent: ask it, pack what support needs, check an
upgrade."""
