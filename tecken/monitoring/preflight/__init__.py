"""What each Redis server must be like, and whether it is."""
