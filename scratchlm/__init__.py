"""scratchlm: softmax, log-softmax, cross-entropy and two tiny language models, by hand in NumPy, and measured."""
