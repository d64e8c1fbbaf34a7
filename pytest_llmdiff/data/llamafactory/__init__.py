"""LLaMA-Factory's data sets and chat templates, read without running its code."""
