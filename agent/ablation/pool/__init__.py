"""Ablation workers in processes of their own: slots, deadlines, replacement, messages."""
