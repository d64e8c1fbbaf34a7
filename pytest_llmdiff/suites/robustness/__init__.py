"""Does the wording of a prompt matter more to the tuned model than to its base?"""
