"""Exercise 10: backward through a network, by hand.

This is Bengio's network of 2003. It looks up the tokens before the target in a table (the embedding), places the rows
side by side, and sends them through a tanh layer and a linear layer. The forward pass is given, and it is right: read
it. You write the way back, from the gradient of the scores to the gradient of every parameter. Go through forward from
its last line to its first, and ask about each line: how does its result depend on its inputs?

Next: filters for writing text, top-k and top-p.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def mlp_forward(params, contexts):
    """Return the logits (N, V) of the token after each context (N, C). You only need to read this.

    Shapes: embedding (V, E), hidden_weight (C E, H), hidden_bias (H,), output_weight (H, V), output_bias (V,).
    """
    x = params["embedding"][contexts]  # (N, C, E): a row of the table for every token
    x = x.reshape(len(contexts), -1)  # (N, C E): the rows of a context side by side
    h = np.tanh(x @ params["hidden_weight"] + params["hidden_bias"])  # (N, H)
    return h @ params["output_weight"] + params["output_bias"]  # (N, V)


def mlp_backward(params, contexts, grad_logits):
    """Return the gradient of every parameter, as a dict with the names and shapes of `params`.

    Shapes: contexts (N, C) of token ids, grad_logits (N, V), the gradient of a loss with respect to the logits.
    Recompute whatever you need from the forward pass.

    This is its meaning for a parameter w: raise one entry of w by a tiny number t. The logits change, and

        sum over n, v of grad_logits[n, v] * (change of logits[n, v]) / t

    is the gradient of that entry. For the last layer, in plain loops:

        for n in range(N):
            for v in range(V):
                grad_output_bias[v] += grad_logits[n, v]
                for i in range(H):
                    grad_output_weight[i, v] += h[n, i] * grad_logits[n, v]

    And for the table, once you have grad_x (N, C, E):

        for n in range(N):
            for c in range(C):
                grad_embedding[contexts[n, c]] += grad_x[n, c]

    Think: every gradient has the shape of its parameter. That tells you which factor to transpose in y = x @ W.
    Think: you can compute the derivative of tanh from tanh itself. How?
    Think: what if a token occurs twice in a context? See `np.add.at`.
    """
    raise NotImplementedError
