"""The engine over a server that speaks OpenAI's API."""
