"""Replicas of llama.cpp's server behind one URL, by Ray Serve."""
