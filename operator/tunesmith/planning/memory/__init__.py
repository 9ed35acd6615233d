"""Will a training fit on its GPUs, how fast will it be, what will it cost: closed formulas, and what follows of them.

`work` says what is trained, `terms` where the memory of one GPU goes, `fit` what follows: sequences, contexts, GPUs.
`throughput` and `price` tell hours and dollars, `fixes` what would have to change. See docs/design/memory-formula.md.
"""
