"""The measures: in each module a metric, its `assert_` helper, and the twin that returns numbers.

A helper takes one comparison, or a set of them for one verdict on the set. The test gives the
limit; without one, and without a baseline, the helper fails and says how to give one. A reply that
a scorer cannot judge fails as well: only what was judged passes.

Four modules are no measures but what all of them use: `subject` (one comparison or a set), `settle`
(from a question to verdicts), `raising` (records verdicts and raises), and `inputs` (scores and
likelihoods from the run). `pairs` pairs prompts with their changed forms.
"""
