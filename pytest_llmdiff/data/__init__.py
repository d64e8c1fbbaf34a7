"""The nouns: message, probe, request, reply, comparison, measurement. Frozen values, nothing runs.

`files` reads probes, texts and test sets; `training` what a training leaves beside its weights;
`llamafactory` LLaMA-Factory's data sets and chat templates; `text` has pure functions of texts.
"""
