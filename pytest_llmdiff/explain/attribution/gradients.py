"""Attribution by gradients with respect to the embeddings of the prompt."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.packages import third_party_warnings_ignored
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.text.differences import common_length
from pytest_llmdiff.engines import Continuation, capability
from pytest_llmdiff.errors import CapabilityError, ProbeError
from pytest_llmdiff.explain.attribution.coalitions import require_captum
from pytest_llmdiff.explain.pieces import pieces

if TYPE_CHECKING:
    import torch

BATCH_TOKENS = 512  # of a pass forward and backward, whose activations are large
Spans = Sequence[tuple[int, int]]


def word_gradients(
    engine: Any,
    messages: Sequence[Message],
    place: int,
    spans: Spans,
    reply: str,
    method: str,
    steps: int,
) -> dict[str, Any]:
    """`scores` of the words at `spans` of the message at `place`, for the reply's log-likelihood in
    nats; its value for the `whole` prompt, and `without` these words, whose embeddings are replaced
    by the mean of all embeddings. (Zeros would not do: models that normalise their input, as most
    do, jump there, and no number of steps is enough.)

    A token's score is the sum over its embedding, a word's the sum over its tokens. Integrated
    gradients (Sundararajan et al. 2017, arXiv 1703.01365) go from `without` to `whole` in `steps`
    steps, and their scores add up to the difference. Input × gradient uses only the slope at the
    whole prompt.

    Raises:
        CapabilityError: the engine has no weights to differentiate, the model cannot run from
            embeddings, or its template changes the message.
        MissingPackageError: captum is not installed.
        ProbeError: the reply has no tokens, or there is one that the model has not.
    """
    opened = capability(engine, "differentiable")
    if opened is None:
        raise CapabilityError(
            f"{method} needs the weights in this process, and {type(engine).__name__} has none"
        )
    require_captum(f"the method {method}")
    prompt, answer = list(engine.render(messages)), list(engine.encode(reply))
    if not answer:
        raise ProbeError(f"a reply without tokens has no likelihood: {reply!r}")
    if (require := capability(engine, "require_readable")) is not None:
        whole = Continuation(prompt_ids=(*prompt, *answer), reply_ids=())
        require(whole, engine.embedding_rows())
    owners = token_words(engine, messages, place, spans)
    with opened() as model, third_party_warnings_ignored():
        try:
            return _attributed(model, prompt, answer, owners, len(spans), method, steps)
        except (RuntimeError, TypeError, ValueError) as error:
            raise CapabilityError(f"{method} through this model fails: {error}") from error


def token_words(
    engine: Any, messages: Sequence[Message], place: int, spans: Spans
) -> list[int | None]:
    """For each token of the rendered prompt, the word that most of its text belongs to, if any."""
    texts = pieces(engine, engine.render(messages))
    whole, content = "".join(texts), messages[place]["content"]
    lead = len(content) - len(content.lstrip())
    # The message begins where the prompt differs from that of a different message.
    other = "y" if content[lead] == "x" else "x"
    other = content[:lead] + other + content[lead + 1 :]
    changed = [*messages]
    changed[place] = {**messages[place], "content": other}
    at = common_length(whole, "".join(pieces(engine, engine.render(changed))))
    if not whole.startswith(content.strip(), at):
        raise CapabilityError("the chat template changes the message: its tokens cannot be found")
    words, start = list[int | None](), 0
    for text in texts:
        end = start + len(text)
        common = [min(end - at + lead, b) - max(start - at + lead, a) for a, b in spans]
        most = max(common, default=0)
        words.append(common.index(most) if most > 0 else None)
        start = end
    return _with_first_bytes(texts, words)


def _with_first_bytes(texts: Sequence[str], words: Sequence[int | None]) -> list[int | None]:
    """The same, with the first tokens of a character in several, which have no text of their own,
    moved to the word of its last token."""
    owners = list(words)
    for number in range(len(texts) - 2, -1, -1):
        if not texts[number]:
            owners[number] = owners[number + 1]
    return owners


def _attributed(
    model: Any,
    prompt: list[int],
    answer: list[int],
    owners: Sequence[int | None],
    count: int,
    method: str,
    steps: int,
) -> dict[str, Any]:
    import torch
    from captum.attr import InputXGradient, IntegratedGradients

    from pytest_llmdiff.engines.transformers.weights import input_device

    ids = torch.tensor([[*prompt, *answer]], device=input_device(model))
    words = torch.tensor([-1 if owner is None else owner for owner in owners], device=ids.device)
    embeddings = model.get_input_embeddings()
    inputs = embeddings(ids).detach()
    baseline = inputs.clone()
    baseline[0, : len(prompt)][words >= 0] = _mean(embeddings, inputs)
    forward = _likelihood(model, ids[0, len(prompt) :])
    if method == "input-x-gradient":
        scores = InputXGradient(forward).attribute(inputs)
    else:
        scores = IntegratedGradients(forward).attribute(
            inputs,
            baselines=baseline,
            n_steps=steps,
            internal_batch_size=max(1, BATCH_TOKENS // ids.shape[1]),
        )
    tokens = scores[0, : len(prompt)].float().sum(-1).detach()
    with torch.no_grad():
        whole, without = (float(forward(each)) for each in (inputs, baseline))
    by_word = [float(tokens[words == word].sum()) for word in range(count)]
    return {"scores": by_word, "whole": whole, "without": without}


def _mean(embeddings: Any, like: torch.Tensor) -> torch.Tensor:
    """The mean embedding of the vocabulary, as the layer returns it: some layers scale weights."""
    import torch

    count, step = len(embeddings.weight), 4096
    total = like.new_zeros(like.shape[-1], dtype=torch.float32)
    with torch.no_grad():
        for start in range(0, count, step):
            ids = torch.arange(start, min(start + step, count), device=like.device)
            total += embeddings(ids).float().sum(0)
    mean: torch.Tensor = (total / count).to(like.dtype)
    return mean


def _likelihood(model: Any, answer: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Log-likelihood (nats) of the answer at the end of embeddings `[batch, tokens, hidden]`."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    rows = len(answer) + 1  # each token is predicted at the position before it
    known = inspect.signature(inner.forward).parameters
    only = {"logits_to_keep": rows} if "logits_to_keep" in known else {}

    def forward(embeddings: torch.Tensor) -> torch.Tensor:
        logits = model(inputs_embeds=embeddings, use_cache=False, **only).logits
        logprobs = logits[:, -rows:-1].float().log_softmax(-1)
        picked = answer[None, :, None].expand(len(logprobs), -1, 1)
        likelihood: torch.Tensor = logprobs.gather(-1, picked)[..., 0].sum(-1)
        return likelihood

    return forward
