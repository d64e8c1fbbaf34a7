"""Replies, scores and statistics on disk, shared by parallel workers and later runs."""

from pytest_llmdiff.store.keys import content_key, key_within, store_key
from pytest_llmdiff.store.rows import Store

__all__ = ["Store", "content_key", "key_within", "store_key"]
