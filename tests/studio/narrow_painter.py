"""The real painting process with a network of few random weights; torch computes in one thread."""

import impasto.network.weights.load
from impasto.network.vgg import narrow_weights
from impasto.studio.workers import painter

weights = narrow_weights()
impasto.network.weights.load.load_weights = lambda *name: weights

if __name__ == "__main__":
    painter.main()
