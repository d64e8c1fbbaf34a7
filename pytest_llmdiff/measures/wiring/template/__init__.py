"""Is the chat template in force that of the training?"""
