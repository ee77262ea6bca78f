"""Typical answers to each exercise, from the worst to the best: what students write, as a teacher would rank it.

The last rung of every ladder is the solution in tests/solutions. Each text is a student's file.
"""

LOG_SOFTMAX = """
def log_softmax(z, axis=-1):
    z = z - z.max(axis=axis, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=axis, keepdims=True))
"""
SOFTMAX = """
def softmax(z, axis=-1):
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)
"""


def function(head, *lines):
    return f"def {head}:\n" + "\n".join(f"    {line}" for line in lines) + "\n"


def loss(*lines):
    """Return an answer to exercise 4 whose lines compute one loss per row."""
    last = ["if reduction == 'mean': return rows.mean()", "return rows if reduction == 'none' else rows.sum()"]
    return [*lines, *last]


NLL = function(
    "nll_loss(log_probs, targets, reduction='mean')",
    *loss("rows = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]"),
)
CE_HEAD = "cross_entropy(logits, targets, reduction='mean')"
FILTERS = function(
    "top_k(scores, k)",
    "k = min(k, scores.shape[-1])",
    "return np.where(scores >= np.sort(scores, axis=-1)[..., -k, None], scores, -np.inf).astype(scores.dtype)",
)
TOP_P = [
    "order = np.argsort(-scores, axis=-1, kind='stable')",
    "e = np.exp(scores - scores.max(axis=-1, keepdims=True))",
    "probs = np.take_along_axis(e / e.sum(axis=-1, keepdims=True), order, axis=-1)",
    "before = np.cumsum(probs, axis=-1) - probs",
    "stays = np.zeros(scores.shape, bool)",
    "np.put_along_axis(stays, order, before < p, axis=-1)",
    "return np.where(stays, scores, -np.inf).astype(scores.dtype)",
]
FORWARD = [
    "x = params['embedding'][contexts].reshape(len(contexts), -1)",
    "h = np.tanh(x @ params['hidden_weight'] + params['hidden_bias'])",
]
OUTPUT = "grads = {'output_weight': h.T @ grad_logits, 'output_bias': grad_logits.sum(axis=0)}"
HIDDEN = [
    "g = grad_logits @ params['output_weight'].T * (1 - h**2)",
    "grads |= {'hidden_weight': x.T @ g, 'hidden_bias': g.sum(axis=0)}",
]
RESULT = function("result(running_max, running_sum)", "return running_max + np.log(running_sum)")


def exercise_1():
    head = "softmax(logits, axis=-1)"
    top = "logits.max(axis=axis, keepdims=True)"
    return {
        "probabilities that are all 0": function(head, "return np.zeros_like(logits)"),
        "one sum for the whole array": function(head, "e = np.exp(logits)", "return e / np.sum(e)"),
        "no shift, but float64": function(
            head, "e = np.exp(logits.astype(float))", "return e / e.sum(axis=axis, keepdims=True)"
        ),
        "no shift": function(head, "e = np.exp(logits)", "return e / e.sum(axis=axis, keepdims=True)"),
        "1e-9 in the denominator": function(
            head, f"e = np.exp(logits - {top})", "return e / (e.sum(axis=axis, keepdims=True) + 1e-9)"
        ),
        "shifted in place": function(
            head, f"logits -= {top}", "e = np.exp(logits)", "return e / e.sum(axis=axis, keepdims=True)"
        ),
        "the textbook": SOFTMAX,
    }


def exercise_2():
    head = "logsumexp(logits, axis=-1, keepdims=False)"
    top = "top = logits.max(axis=axis, keepdims=True)"
    give = "return total if keepdims else total.squeeze(axis)"
    return {
        "the maximum": function(head, "return logits.max(axis=axis, keepdims=keepdims)"),
        "of the whole array": function("logsumexp(logits)", "return np.log(np.exp(logits).sum())"),
        "no shift": function(head, "return np.log(np.exp(logits).sum(axis=axis, keepdims=keepdims))"),
        "the maximum of the whole array": function(
            head, "top = logits.max()", "return top + np.log(np.exp(logits - top).sum(axis=axis, keepdims=keepdims))"
        ),
        "matrices only": function(
            "logsumexp(logits)", "top = logits.max(axis=1)", "return top + np.log(np.exp(logits.T - top).sum(axis=0))"
        ),
        "the textbook": function(
            head, top, "total = top + np.log(np.exp(logits - top).sum(axis=axis, keepdims=True))", give
        ),
    }


def exercise_3():
    head = "log_softmax(logits, axis=-1)"
    return {
        "the scores unchanged": function(head, "return logits"),
        "one sum for the whole array": function(head, "return logits - np.log(np.exp(logits).sum())"),
        "the logarithm of a softmax that overflows": function(
            head, "e = np.exp(logits)", "return np.log(e / e.sum(axis=axis, keepdims=True))"
        ),
        "the logarithm of a stable softmax": SOFTMAX + function(head, "return np.log(softmax(logits, axis))"),
        "z - Z, in one step": function(
            head,
            "top = logits.max(axis=axis, keepdims=True)",
            "return logits - (top + np.log(np.exp(logits - top).sum(axis=axis, keepdims=True)))",
        ),
        "the textbook": LOG_SOFTMAX,
    }


def exercise_4():
    stable = [LOG_SOFTMAX.strip(), NLL]
    return {
        "always nan": NLL.replace("rows = ", "rows = np.nan * ") + function(CE_HEAD, "return np.nan"),
        "nll_loss only, and only the mean": function(
            "nll_loss(log_probs, targets)",
            "return -np.take_along_axis(log_probs, targets[..., None], axis=-1).mean().astype(log_probs.dtype)",
        ),
        "nll_loss only": NLL,
        "one-hot, and no shift": function(
            "nll_loss(log_probs, targets, reduction='mean')",
            *loss("rows = -(np.eye(log_probs.shape[-1])[targets] * log_probs).sum(axis=-1)"),
        )
        + function(
            CE_HEAD,
            "p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)",
            "return nll_loss(np.log(p), targets, reduction)",
        ),
        "no shift": NLL
        + function(
            CE_HEAD,
            "p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)",
            "return nll_loss(np.log(p), targets, reduction)",
        ),
        "the logarithm of a stable softmax": SOFTMAX
        + NLL
        + function(CE_HEAD, "return nll_loss(np.log(softmax(logits)), targets, reduction)"),
        "the textbook": "\n\n".join(
            [*stable, function(CE_HEAD, "return nll_loss(log_softmax(logits), targets, reduction)")]
        ),
    }


def exercise_5():
    head = "cross_entropy_backward(logits, targets, reduction='mean')"
    hot = "hot = np.arange(logits.shape[-1]) == targets[..., None]"
    end = "return grad / targets.size if reduction == 'mean' else grad"
    naive = "p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)"
    return {
        "always 0": function(head, "return logits * 0"),
        "for one row": SOFTMAX
        + function("cross_entropy_backward(logits, targets)", "p = softmax(logits)", "p[targets] -= 1", "return p"),
        "no shift, and only the mean": function(
            "cross_entropy_backward(logits, targets)", hot, naive, "return (p - hot) / targets.size"
        ),
        "no shift": function(head, hot, naive, "grad = p - hot", end),
        "only the mean": SOFTMAX
        + function("cross_entropy_backward(logits, targets)", hot, "return (softmax(logits) - hot) / targets.size"),
        "the textbook": SOFTMAX
        + function(head, hot, "grad = softmax(logits) - hot", "grad = grad.astype(logits.dtype)", end),
    }


def exercise_6():
    soft, log = "softmax_backward(grad_output, probs, axis=-1)", "log_softmax_backward(grad_output, log_probs, axis=-1)"
    right = function(soft, "return probs * (grad_output - (grad_output * probs).sum(axis=axis, keepdims=True))")
    return {
        "the gradient unchanged": function(soft, "return grad_output") + function(log, "return grad_output"),
        "of softmax, for one row": function(
            "softmax_backward(grad_output, probs)", "return probs * (grad_output - np.sum(grad_output * probs))"
        ),
        "of softmax, for matrices along axis 1": function(
            "softmax_backward(grad_output, probs)",
            "return probs * (grad_output - (grad_output * probs).sum(axis=1, keepdims=True))",
        ),
        "of softmax": right,
        "both, the second along the last axis": right
        + function(
            "log_softmax_backward(grad_output, log_probs)",
            "return grad_output - np.exp(log_probs) * grad_output.sum(axis=1, keepdims=True)",
        ),
        "both": right
        + function(log, "return grad_output - np.exp(log_probs) * grad_output.sum(axis=axis, keepdims=True)"),
    }


def exercise_7():
    head = "probs_at_temperature(log_probs, temperature)"
    return {
        "nothing": function(head, "return None"),
        "one sum for the whole array": function(head, "e = np.exp(log_probs / temperature)", "return e / e.sum()"),
        "no shift": function(head, "e = np.exp(log_probs / temperature)", "return e / e.sum(axis=-1, keepdims=True)"),
        "1e-12 in the denominator": SOFTMAX.replace(
            "return e / e.sum(axis=axis, keepdims=True)", "return e / (e.sum(axis=axis, keepdims=True) + 1e-12)"
        )
        + function(head, "return softmax(log_probs / temperature)"),
        "masked tokens come back": SOFTMAX
        + function(head, "return softmax(np.maximum(log_probs, -100) / temperature)"),
    }


def exercise_8():
    head = "recover_logits(log_probs, Z)"
    return {
        "the log-probs unchanged": function(head, "return log_probs"),
        "Z along the columns": function(head, "return log_probs + Z"),
        "matrices only": function(head, "return log_probs + Z[:, None]"),
        "in float32": function(head, "return (log_probs + Z[..., None]).astype(np.float32)"),
        "-inf becomes a number": function(head, "return np.nan_to_num(log_probs + Z[..., None])"),
    }


def exercise_9():
    head = "bigram_by_counts(previous, following, vocab_size)"
    zeros = "count = np.zeros((vocab_size, vocab_size))"
    add = "np.add.at(count, (previous, following), 1)"
    share = "return np.log(count / count.sum(axis=1, keepdims=True))"
    return {
        "an empty table": function(head, "return np.zeros((vocab_size, vocab_size))"),
        "pairs counted once": function(head, zeros, "count[previous, following] += 1", share),
        "nan for tokens that nothing followed": function(head, zeros, add, share),
        "0 for tokens that nothing followed": function(
            head, zeros, add, "return np.log(count / np.maximum(count.sum(axis=1, keepdims=True), 1))"
        ),
        "-1e9 for unseen pairs": function(
            head, zeros, add, "count[count.sum(axis=1) == 0] = 1", f"return np.maximum({share[7:]}, -1e9)"
        ),
    }


def exercise_10():
    head = "mlp_backward(params, contexts, grad_logits)"
    table = "grads['embedding'] = np.zeros_like(params['embedding'])"
    back = "gx = (g @ params['hidden_weight'].T).reshape(*contexts.shape, -1)"
    return {
        "zeros": function(head, "return {name: np.zeros_like(w) for name, w in params.items()}"),
        "the output layer": function(head, *FORWARD, OUTPUT, "return grads"),
        "every layer, without the slope of tanh": function(
            head,
            *FORWARD,
            OUTPUT,
            HIDDEN[0].replace(" * (1 - h**2)", ""),
            HIDDEN[1],
            table,
            back,
            "np.add.at(grads['embedding'], contexts, gx)",
            "return grads",
        ),
        "the output and the hidden layer": function(head, *FORWARD, OUTPUT, *HIDDEN, "return grads"),
        "every layer, but each token of the table counts once": function(
            head, *FORWARD, OUTPUT, *HIDDEN, table, back, "grads['embedding'][contexts] += gx", "return grads"
        ),
    }


def exercise_11():
    return {
        "the scores unchanged by both": "def top_k(scores, k): return scores\ndef top_p(scores, p): return scores\n",
        "top_k for a row": function(
            "top_k(scores, k)", "return np.where(scores >= np.sort(scores)[-k], scores, -np.inf)"
        ),
        "top_k, if k is small": FILTERS.replace("    k = min(k, scores.shape[-1])\n", ""),
        "top_k": FILTERS,
        "top_p for a row, without a shift": FILTERS
        + function(
            "top_p(scores, p)",
            "order = np.argsort(-scores)",
            "e = np.exp(scores)",
            "q = (e / e.sum())[order]",
            "stays = np.zeros(len(scores), bool)",
            "stays[order[np.cumsum(q) - q < p]] = True",
            "return np.where(stays, scores, -np.inf).astype(scores.dtype)",
        ).replace("top_p(scores, p):", "top_p(scores, p):\n    if scores.ndim > 1: scores = scores[0]"),
        "top_p without a shift": FILTERS
        + function("top_p(scores, p)", *TOP_P).replace("scores - scores.max(axis=-1, keepdims=True)", "scores"),
    }


def exercise_12():
    head = "absorb(running_max, running_sum, chunk)"
    return {
        "nothing": function(head, "return None"),
        "only the end": RESULT,
        "the old sum is not rescaled": function(
            head, "top = max(running_max, chunk.max())", "return top, running_sum + np.exp(chunk - top).sum()"
        )
        + RESULT,
        "a plain sum": function(head, "return 0.0, running_sum + np.exp(chunk).sum()") + RESULT,
        "nan for an empty start": function(
            head,
            "top = max(running_max, chunk.max(initial=-np.inf))",
            "return top, running_sum * np.exp(running_max - top) + np.exp(chunk - top).sum()",
        )
        + RESULT,
        "empty chunks raise": function(
            head,
            "top = max(running_max, chunk.max())",
            "return top, running_sum * np.exp(running_max - top) + np.exp(chunk - top).sum()",
        )
        + RESULT,
    }


def exercise_13():
    head = "looks_like_softmax(softmax)"
    row = "z = np.array([0.3, -1.2, 2.0, 0.7])"
    sums = "return bool(abs(softmax(z).sum() - 1) < 1e-10)"
    shift = "return bool(abs(p.sum() - 1) < 1e-10 and np.allclose(p, softmax(z + 900), rtol=1e-9, atol=0))"
    ratios = "ok = np.allclose(p / p[0], np.exp(z - z[0]), rtol=1e-9, atol=0) and abs(p.sum() - 1) < 1e-10"
    return {
        "everything is a softmax": function(head, "return True"),
        "the sum": function(head, row, sums),
        "a large shift": function(
            head, row, "try:", "    p = softmax(z)", f"    {shift}", "except Exception:", "    return False"
        ),
        "ratios": function(
            head,
            row,
            "try:",
            "    p = softmax(z)",
            f"    {ratios}",
            "    return bool(ok)",
            "except Exception:",
            "    return False",
        ),
        "ratios, and large scores": function(
            head,
            "try:",
            "    for z in (np.array([0.3, -1.2, 2.0, 0.7]), np.array([1000.0, 999.0]), np.array([-1000.0, -999.0])):",
            "        p = softmax(z)",
            f"        {ratios}",
            "        if not ok: return False",
            "    return True",
            "except Exception:",
            "    return False",
        ),
    }


LADDERS = {number: globals()[f"exercise_{number}"]() for number in range(1, 14)}
