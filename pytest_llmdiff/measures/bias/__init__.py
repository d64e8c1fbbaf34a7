"""Are groups treated more differently by the tuned model than by its base?"""
