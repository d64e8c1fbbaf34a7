"""The first minute with a tuned model: is it put together right, sound, polite, and not emptied?"""
