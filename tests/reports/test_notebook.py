import sys
import types

import numpy as np
import pytest

import impasto

PIXELS = np.random.default_rng(1).integers(0, 256, (2, 48, 64, 3), np.uint8)


@pytest.fixture
def shown(monkeypatch):
    """What a notebook shows, in order; IPython itself is not needed."""
    pages = []
    module = types.ModuleType("IPython.display")
    module.display = lambda item, display_id: types.SimpleNamespace(
        update=lambda item: pages.append(item._repr_html_())
    )
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return pages


def test_a_notebook_shows_the_picture_while_it_is_painted(narrow, shown) -> None:
    options = {"size": 48, "min_size": 24, "evaluations": 5, "weights": narrow}
    impasto.stylize(PIXELS[0], PIXELS[1], on_step=impasto.LivePreview(edge=20, every=0), **options)
    assert len(shown) == 10
    assert all('<img src="data:image/png;base64,' in page for page in shown)
    assert "scale 1 of 2, 24 x 18 px" in shown[0]
    assert " left" not in shown[0]
    assert " left" in shown[4]
    shown.clear()
    impasto.stylize(PIXELS[0], PIXELS[1], on_step=impasto.LivePreview(every=1000), **options)
    assert len(shown) == 3  # the first, and the last of each scale


def test_a_step_knows_how_long_the_rest_takes(narrow) -> None:
    steps = []
    impasto.stylize(
        PIXELS[0], PIXELS[1], size=48, min_size=24, evaluations=20, weights=narrow, on_step=steps.append
    )
    assert steps[0].remaining is None
    assert all(step.remaining >= 0 for step in steps[1:])
    assert steps[-1].remaining == pytest.approx(0, abs=1e-6)
    first, middle = steps[0], steps[19]  # 20 of the 100 units of work, as a fine evaluation is 4 coarse ones
    assert middle.remaining == pytest.approx((middle.seconds - first.seconds) * 80 / 19, rel=0.01)
    small = steps[-1].preview(12)
    assert (small.width, small.height) == (12, 9)
    assert steps[-1].preview(500).width == 48


@pytest.mark.slow
def test_a_step_of_a_budget_has_what_is_left_of_it(narrow) -> None:
    steps = []
    runtime = impasto.Runtime(budget=4)
    impasto.stylize(PIXELS[0], PIXELS[1], size=48, runtime=runtime, weights=narrow, on_step=steps.append)
    assert all(step.remaining == pytest.approx(max(0, step.left), abs=0.05) for step in steps)
