"""Does the tuned model loop, fall silent, change the language or leak where its base is sound?"""
