"""Does the tuned model still keep to JSON, a choice, a pattern or a tool call, as its base does?"""
