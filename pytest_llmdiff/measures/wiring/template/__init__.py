"""Is the chat template in use that of the training?"""
