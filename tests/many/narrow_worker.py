"""The real painting process with a network of few random weights."""

import sys

import impasto.network.weights.load
from impasto.many import worker
from impasto.network.vgg import narrow_weights

COMMAND = [sys.executable, __file__]

if __name__ == "__main__":
    weights = narrow_weights()
    impasto.network.weights.load.load_weights = lambda *name: weights
    worker.main()
