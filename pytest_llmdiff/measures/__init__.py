"""The assertion helpers and their number-returning twins, a module per family.

Comparison helpers take one comparison, or a set of them for one verdict over the set. A limit is
given by the test; a helper that gets none fails and says how to give one. What a scorer cannot
judge fails as well: nothing that was not judged passes.
"""
