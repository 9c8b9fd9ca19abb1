"""Whether intervening where a map points matters, and spares others; stability and cost."""
