"""A solution to exercise 8."""

import numpy as np


def recover_logits(log_probs, Z):
    return log_probs + np.expand_dims(Z, -1)
