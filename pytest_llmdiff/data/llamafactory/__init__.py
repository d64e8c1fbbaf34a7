"""LLaMA-Factory's files: data sets and chat templates, read without running its code."""
