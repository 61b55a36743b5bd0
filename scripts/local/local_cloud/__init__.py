"""The local cloud: ministack started in isolation, with the gaps that this project meets filled in."""
