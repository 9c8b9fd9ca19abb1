"""What ``pitwatch cameras`` does: lists cameras, watches one for some seconds, checks this host."""
