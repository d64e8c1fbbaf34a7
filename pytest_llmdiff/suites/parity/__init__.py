"""Parity: does the served model answer as the tuned one does?"""
