"""A solution of exercise 4, with the star."""

import numpy as np


def reduced(loss, reduction):
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def nll_loss(log_probs, targets, reduction="mean"):
    loss = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    return reduced(loss, reduction)


def cross_entropy(logits, targets, reduction="mean"):
    z = logits.astype(np.float64)
    top, y = z.argmax(axis=-1)[..., None], targets[..., None]
    m, z_y = np.take_along_axis(z, top, axis=-1), np.take_along_axis(z, y, axis=-1)
    e = np.exp(z - np.floor(m - np.clip(m, 0, 685)))
    e_top = np.take_along_axis(e, top, axis=-1)
    np.put_along_axis(e, top, 0.0, axis=-1)
    loss = np.log1p(e.sum(axis=-1, keepdims=True) / e_top) + (m - z_y)
    return reduced(loss[..., 0], reduction).astype(logits.dtype)
