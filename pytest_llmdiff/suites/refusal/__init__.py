"""Does the tuned model refuse what is harmless, or answer what its base refuses?"""
