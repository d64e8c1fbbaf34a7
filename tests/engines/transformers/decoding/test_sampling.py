"""Which tokens a draw may take: those of transformers, found with less work."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import TopPLogitsWarper

from pytest_llmdiff.data.requests import Sampling
from pytest_llmdiff.engines.transformers.decoding.sampling import LIKELIEST, RowSampling

SIZE = 3 * LIKELIEST


@given(seed=st.integers(0, 1 << 32), spread=st.floats(0.01, 20), top_p=st.floats(0.01, 0.99))
def test_a_nucleus_is_that_of_transformers(seed: int, spread: float, top_p: float) -> None:
    """Flat distributions, whose nucleus is wider than what is sorted first, are among them."""
    scores = spread * torch.randn(4, SIZE, generator=torch.Generator().manual_seed(seed))
    sampling = Sampling(max_new_tokens=1, temperature=1.0, top_p=top_p, seed=0)
    own = RowSampling(sampling, [f"{row:064x}" for row in range(4)])(scores, range(4))
    whole = TopPLogitsWarper(top_p)(None, scores)
    # Sums in another order may round otherwise at the last token.
    unlike = own.isfinite() != whole.isfinite()
    assert unlike.sum() <= 1
    assert (scores.softmax(-1)[unlike] <= 1e-2).all()


def test_a_row_is_cut_alike_among_flat_ones() -> None:
    steep, flat = 20 * torch.randn(1, SIZE), torch.zeros(1, SIZE)
    sampling = Sampling(max_new_tokens=1, temperature=1.0, top_p=0.9, seed=0)
    rows = RowSampling(sampling, ["0" * 64, "1" * 64])
    alone = RowSampling(sampling, ["0" * 64])(steep, [0])
    assert torch.equal(rows(torch.cat([steep, flat]), [0, 1])[:1], alone)
