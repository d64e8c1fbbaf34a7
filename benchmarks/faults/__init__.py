"""Kills, full disks, damaged files, hostile inputs: how often the gate says something wrong.

    python -m benchmarks.faults --json faults.json
    python -m benchmarks.faults --kind kills mutations --count 100 --seed 7
    python -m benchmarks.faults --short

Prints a row for each kind of fault, in Markdown, with five counts: how many were tried; wrong
verdicts (a test with another outcome than in an undisturbed run, or a run that reads as finished
and was not); lost (what a later run no longer has or makes, and inputs that end in an exception
which tells a user nothing); hung (no end within a bound of time or memory); half-written (a file
that is neither the old one nor a whole one). The goal is 0 in all columns but the first. Each fault
that counts is told on standard error, with what reproduces it.

`--count` is the number of faults of each kind, `--short` takes a few of each. `--seed` decides the
moments, damages and mutations; moments depend on the machine as well. Linux only. Kinds that need a
small file system mount one (as root, or in a user namespace of their own).
"""
