"""The file itself: its thread, how it fails, what is copied into memory and back."""
