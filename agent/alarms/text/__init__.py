"""What operators read: titles, sentences and reasons, in each language."""
