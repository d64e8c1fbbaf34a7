"""Does the tuned model treat groups more differently than its base does?"""
