"""What a student writes who follows an exercise's hints to the letter: without its stars (0), and with them (2)."""

import textwrap

from ladders import LADDERS, NLL, SOFTMAX, TOP_P

STAR_OF_1 = """
def softmax(logits, axis=-1):
    z = logits.astype(np.float64)
    m = z.max(axis=axis, keepdims=True)
    c = np.where((m >= 0) & (m <= 600), 0, np.floor(m))
    e = np.exp(z - c)
    return (e / e.sum(axis=axis, keepdims=True)).astype(logits.dtype)
"""
TEXTBOOK_2 = """
def logsumexp(logits, axis=-1, keepdims=False):
    z = logits
    m = z.max(axis=axis, keepdims=True)
    Z = m + np.log(np.exp(z - m).sum(axis=axis, keepdims=True))
    return Z if keepdims else Z.squeeze(axis)
"""
STAR_OF_2 = """
def logsumexp(logits, axis=-1, keepdims=False):
    m = logits.max(axis=axis, keepdims=True)
    e = np.exp(logits - m)
    np.put_along_axis(e, np.expand_dims(logits.argmax(axis=axis), axis), 0, axis=axis)
    Z = m + np.log1p(e.sum(axis=axis, keepdims=True))
    return Z if keepdims else Z.squeeze(axis)
"""
STAR_OF_3 = """
def log_softmax(logits, axis=-1):
    z = logits.astype(np.float64)
    m = z.max(axis=axis, keepdims=True)
    c = np.where((m >= 0) & (m <= 600), 0, np.floor(m))
    e = np.exp(z - c)
    np.put_along_axis(e, np.expand_dims(z.argmax(axis=axis), axis), 0, axis=axis)
    odds = e.sum(axis=axis, keepdims=True) / np.exp(m - c)
    return ((z - m) - np.log1p(odds)).astype(logits.dtype)
"""
STAR_OF_4 = (
    NLL
    + """
def cross_entropy(logits, targets, reduction='mean'):
    z = logits.astype(np.float64)
    m = z.max(axis=-1, keepdims=True)
    c = np.floor(m - np.clip(m, 0, 600))
    e = np.exp(z - c)
    np.put_along_axis(e, z.argmax(axis=-1)[..., None], 0, axis=-1)
    odds = e.sum(axis=-1, keepdims=True) / np.exp(m - c)
    loss = ((m - np.take_along_axis(z, targets[..., None], axis=-1)) + np.log1p(odds))[..., 0].astype(logits.dtype)
    return loss if reduction == 'none' else loss.mean() if reduction == 'mean' else loss.sum()
"""
)
GRADIENT = (
    SOFTMAX
    + """
def cross_entropy_backward(logits, targets, reduction='mean'):
    p = softmax(logits)
    y = np.asarray(targets)[..., None]
    np.put_along_axis(p, y, np.take_along_axis(p, y, axis=-1) - 1, axis=-1)
    grad = p
    return grad / targets.size if reduction == 'mean' else grad
"""
)
STAR_OF_5 = """
def cross_entropy_backward(logits, targets, reduction='mean'):
    z, y = logits.astype(np.float64), targets[..., None]
    m = z.max(axis=-1, keepdims=True)
    c = np.where((m >= 0) & (m <= 600), 0, np.floor(m))
    e = np.exp(z - c)
    total = e.sum(axis=-1, keepdims=True)
    np.put_along_axis(e, y, 0, axis=-1)
    np.put_along_axis(e, y, -e.sum(axis=-1, keepdims=True), axis=-1)
    grad = e / total
    return (grad / targets.size if reduction == 'mean' else grad).astype(logits.dtype)
"""
CHAIN = """
def softmax_backward(grad_output, probs, axis=-1):
    g, p = grad_output, probs
    return p * (g - (g * p).sum(axis=axis, keepdims=True))

def log_softmax_backward(grad_output, log_probs, axis=-1):
    g, l = grad_output, log_probs
    return g - np.exp(l) * g.sum(axis=axis, keepdims=True)
"""
STAR_OF_6 = """
def softmax_backward(grad_output, probs, axis=-1):
    g, p = grad_output, probs
    best = p.argmax(axis=axis, keepdims=True)
    sure = np.take_along_axis(p, best, axis=axis) > 0.5
    g = np.where(sure, g - np.take_along_axis(g, best, axis=axis), g)
    return p * (g - (g * p).sum(axis=axis, keepdims=True))

def log_softmax_backward(grad_output, log_probs, axis=-1):
    g, l = grad_output, log_probs
    total = g.sum(axis=axis, keepdims=True)
    favourite = np.exp(l) > 0.5
    others = np.where(favourite, 0, g).sum(axis=axis, keepdims=True)
    return np.where(favourite, -others - np.expm1(l) * total, g - np.exp(l) * total)
"""
TEMPERATURE = (
    SOFTMAX
    + """
def probs_at_temperature(log_probs, temperature):
    return softmax(log_probs / temperature)
"""
)
LEVELS = """
def recover_logits(log_probs, Z):
    return log_probs + Z[..., None]
"""
BIGRAM = """
def bigram_by_counts(previous, following, vocab_size):
    count = np.zeros((vocab_size, vocab_size))
    np.add.at(count, (previous, following), 1)
    count[count.sum(axis=1) == 0] = 1
    with np.errstate(divide='ignore'):
        return np.log(count / count.sum(axis=1, keepdims=True))
"""
BACKWARD = """
def mlp_backward(params, contexts, grad_logits):
    x = params['embedding'][contexts]
    N, C, E = x.shape
    x = x.reshape(len(contexts), -1)
    h = np.tanh(x @ params['hidden_weight'] + params['hidden_bias'])
    grad_h = grad_logits @ params['output_weight'].T * (1 - h**2)
    grad_x = (grad_h @ params['hidden_weight'].T).reshape(N, C, E)
    grad_embedding = np.zeros_like(params['embedding'])
    np.add.at(grad_embedding, contexts, grad_x)
    return {
        'embedding': grad_embedding, 'hidden_weight': x.T @ grad_h, 'hidden_bias': grad_h.sum(axis=0),
        'output_weight': h.T @ grad_logits, 'output_bias': grad_logits.sum(axis=0),
    }
"""
TOP_K_HINT = """
def top_k(scores, k):
    k = min(k, scores.shape[-1])
    stays = scores >= np.sort(scores, axis=-1)[..., -k, None]
    return np.where(stays, scores, -np.inf).astype(scores.dtype)
"""


STREAM = """
def absorb(running_max, running_sum, chunk):
    new_max = max(running_max, chunk.max(initial=-np.inf))
    if new_max == -np.inf:
        return -np.inf, 0.0
    return new_max, running_sum * np.exp(running_max - new_max) + np.exp(chunk - new_max).sum()

def result(running_max, running_sum):
    return running_max + np.log(running_sum)
"""
EXAMINER = """
def looks_like_softmax(softmax):
    rows = [[0.3, -1.2, 2.0], [2.0, 2.0, -1.0], [1000.0, 999.0, 998.0], [-1000.0, -999.0], [1.5, -np.inf, 0.5], [7.0]]
    close = lambda a, b: np.all(abs(a - b) <= 1e-10 * abs(b))
    try:
        for row in rows:
            z = np.array(row)
            p = softmax(z.copy())
            k = z.argmax()
            if not (close(p.sum(), 1) and close(p / p[k], np.exp(z - z[k]))):
                return False
        batch = np.array([[1.0, 2.0, 0.5], [900.0, 899.0, 901.5], [-900.0, -899.0, -901.5]])
        return bool(all(close(p, softmax(z.copy())) for p, z in zip(softmax(batch.copy()), batch)))
    except Exception:
        return False
"""
NUCLEUS = "def top_p(scores, p):\n" + textwrap.indent("\n".join(TOP_P), "    ")
HINTED = {
    (1, 0): SOFTMAX, (1, 2): STAR_OF_1,
    (2, 0): TEXTBOOK_2, (2, 2): STAR_OF_2,
    (3, 0): LADDERS[3]["the textbook"], (3, 2): STAR_OF_3,
    (4, 0): LADDERS[4]["the textbook"], (4, 2): STAR_OF_4,
    (5, 0): GRADIENT, (5, 2): STAR_OF_5,
    (6, 0): CHAIN, (6, 2): STAR_OF_6,
    (7, 0): TEMPERATURE, (8, 0): LEVELS, (9, 0): BIGRAM, (10, 0): BACKWARD,
    (11, 0): TOP_K_HINT + SOFTMAX + NUCLEUS,
    (12, 0): STREAM, (13, 0): EXAMINER,
}  # fmt: skip
