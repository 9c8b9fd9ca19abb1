"""GigE Vision without a driver: whom the networks have, and by whom a camera is used."""
