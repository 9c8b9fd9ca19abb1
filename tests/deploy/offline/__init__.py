"""The bundle for machines without a network, and the locks that it is made from."""
