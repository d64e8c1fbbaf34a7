"""The engine over vLLM, in this process."""
