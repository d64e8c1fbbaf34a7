"""Does the tuned model insult, where its base does not?"""
