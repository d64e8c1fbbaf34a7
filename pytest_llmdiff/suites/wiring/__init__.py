"""Is the tuned model put together right? Run before anything is judged."""
