"""How far attention moved, how much of it falls on given words, and the map of one head."""
