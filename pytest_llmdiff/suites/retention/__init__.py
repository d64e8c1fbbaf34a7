"""Does the tuned model still know what its base knows?"""
