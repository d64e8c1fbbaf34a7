"""Probes from where others publish them: data sets of the hub, and the files of other tools."""
