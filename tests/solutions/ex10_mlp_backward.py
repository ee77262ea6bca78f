"""A solution to exercise 10."""

import numpy as np


def mlp_backward(params, contexts, grad_logits):
    x = params["embedding"][contexts].reshape(len(contexts), -1)
    h = np.tanh(x @ params["hidden_weight"] + params["hidden_bias"])
    grad_h = grad_logits @ params["output_weight"].T
    grad_a = grad_h * (1 - h**2)  # tanh' = 1 - tanh^2
    grad_x = grad_a @ params["hidden_weight"].T
    embedding = np.zeros_like(params["embedding"])
    np.add.at(embedding, contexts, grad_x.reshape(*contexts.shape, -1))
    return {
        "embedding": embedding,
        "hidden_weight": x.T @ grad_a,
        "hidden_bias": grad_a.sum(axis=0),
        "output_weight": h.T @ grad_logits,
        "output_bias": grad_logits.sum(axis=0),
    }
