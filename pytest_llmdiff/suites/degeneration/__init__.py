"""Does the tuned model loop, fall silent or change the script, where its base talks well?"""
