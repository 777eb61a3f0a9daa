"""Remove each guard, one at a time, and show that a test turns red: scripts/mutants [WORD ...].

A guard that no test notices when it is gone is one that somebody removes by mistake. Each row of `MUTANTS`
changes one place of a copy of the tree, never of the tree itself, and runs only the tests that should notice.
Prints guard, the test that turned red, and seconds. Words choose the rows whose guard contains one of them.
Exits with 1 if a guard can be removed unnoticed, or if its text is no longer found once.
"""

import importlib.util
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("src", "tests", "scripts", "pyproject.toml")
LONGEST = 300  # seconds for one row, which takes five
PRINTED = "printed.txt"
FORKS = multiprocessing.get_context("forkserver")  # children find slow imports done
FORKS.set_forkserver_preload(["cyclopts", "numpy", "pydantic", "pytest", "pyvips", "torch"])


@dataclass(frozen=True)
class Mutant:
    """One guard, and how it is removed.

    Attributes:
        guard: What it does, in a few words.
        path: The file below `src/impasto`.
        old: Its text; it occurs there once.
        new: What stands there without it.
        tests: What pytest is told to run: files, or files with names of tests.
        choice: pytest's `-k`, to run few of them.
    """

    guard: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    choice: str


MUTANTS = (
    # --- many pictures ---
    Mutant(
        "results of the same name are refused",
        "many/jobs.py",
        "        if name in seen:",
        "        if False:",
        ("tests/many/test_batch_jobs.py",),
        "collide",
    ),
    Mutant(
        "what is somebody else's is not replaced",
        "many/driver.py",
        "        if at_place in REMEDIES and not self._force:",
        "        if False:",
        ("tests/many/test_driver.py",),
        "somebody_elses",
    ),
    Mutant(
        "a result that is cut off is not done",
        "many/done.py",
        '    if not data.endswith(LAST.get(path.suffix.lower(), b"")):',
        "    if False:",
        ("tests/many/test_done.py",),
        "what_stands",
    ),
    Mutant(
        "the photo that is painted is the one that was planned",
        "many/painter.py",
        "        if result.stopped in ENDED and key_of(result.recipe) != key:",
        "        if False:",
        ("tests/many/test_painter.py",),
        "another_photo",
    ),
    # --- the engine ---
    Mutant(
        "kernels of a recipe are used, not chosen anew",
        "transfer/runtime.py",
        '    if runtime.kernels != "auto":',
        "    if False:",
        ("tests/transfer/test_kernels.py",),
        "two_choices or without_a_measurement",
    ),
    Mutant(
        "times taken on a busy machine do not count",
        "network/kernel_times.py",
        "    return None if load.others() > OTHERS else found",
        "    return found",
        ("tests/network/test_kernel_times.py",),
        "other_programs",
    ),
    Mutant(
        "another way must win by a tenth",
        "network/kernel_times.py",
        "at[default] > GAIN * at[fastest]",
        "at[default] > at[fastest]",
        ("tests/network/test_kernel_times.py",),
        "wins_by_a_tenth",
    ),
    Mutant(
        "a torn file of times is not believed",
        "network/kernel_times.py",
        "            if sound and 0 < len(timed) <= len(EDGES):",
        "            if True:",
        ("tests/network/test_kernel_times.py",),
        "torn",
    ),
    Mutant(
        "fused convolutions are tried before they are used",
        "network/convolution.py",
        "    return all(\n        other.is_contiguous",
        "    return True or all(\n        other.is_contiguous",
        ("tests/network/test_convolution.py",),
        "nothing_is_fused",
    ),
    Mutant(
        "a full GPU leaves the rest to the processor",
        "transfer/out_of_memory.py",
        '    if smaller is not None:\n        logger.warning("out of memory on',
        '    if True:\n        logger.warning("out of memory on',
        ("tests/transfer/test_out_of_memory.py",),
        "nothing_fits",
    ),
    # --- the command line ---
    Mutant(
        "paintings from the photo's own folder are refused",
        "cli/checks.py",
        "    if len(beside) < 2:",
        "    if True:",
        ("tests/cli/test_app.py",),
        "not_taken_for_paintings",
    ),
    Mutant(
        "a picture is not written to a terminal",
        "cli/output.py",
        "        if why := why_no_picture():",
        "        if False:",
        ("tests/cli/test_app.py",),
        "not_written_to_a_terminal",
    ),
    Mutant(
        "a run of another folder is not resumed in silence",
        "cli/commands/resume.py",
        "        if found.belongs_to(folder):",
        "        if True:",
        ("tests/cli/commands/test_resume_command.py",),
        "another_folder",
    ),
    Mutant(
        "a preview replaces no file of others",
        "cli/output.py",
        "overwrite=plan.force or own_preview",
        "overwrite=True",
        ("tests/cli/test_app.py",),
        "preview_never_replaces",
    ),
    Mutant(
        "JSON lines hold no infinite numbers",
        "cli/watch.py",
        "    return None if isinstance(value, float) and not math.isfinite(value) else value",
        "    return value",
        ("tests/cli/test_app.py",),
        "numbers_that_json",
    ),
    # --- regions ---
    Mutant(
        "a mask of another shape is refused",
        "inputs/masks.py",
        "    if not _same_shape((picture.width, picture.height), (over.width, over.height)):",
        "    if False:",
        ("tests/inputs/test_masks.py",),
        "another_shape",
    ),
    Mutant(
        "an empty mask is refused",
        "inputs/masks.py",
        "    if largest < FAINT:",
        "    if False:",
        ("tests/inputs/test_masks.py",),
        "empty",
    ),
    Mutant(
        "a region counts by its share",
        "losses/regions.py",
        "    return [share * float(amounts[region].mean()) for region, share in active]",
        "    return [share for _, share in active]",
        ("tests/losses/test_regions.py",),
        "shares_by_hand",
    ),
    Mutant(
        "what is protected says nothing about style",
        "inputs/pictures.py",
        "            guides = [free if guide is None else guide * free for guide in guides]\n",
        "            del free\n",
        ("tests/losses/test_regions.py",),
        "protected",
    ),
    Mutant(
        "what is protected is the photo in the file",
        "inputs/pictures.py",
        "            canvas = torch.lerp(canvas, photo.to(canvas), kept.to(canvas))\n",
        "",
        ("tests/losses/test_protection.py",),
        "last_bit",
    ),
    Mutant(
        "a photo is no segmentation",
        "inputs/masks.py",
        "    if stray > STRAY:",
        "    if False:",
        ("tests/inputs/test_masks.py",),
        "no_segmentation",
    ),
    Mutant(
        "what is protected does not move",
        "losses/objective.py",
        "            self.protection.reduce(gradient)\n",
        "            pass\n",
        ("tests/losses/test_protection.py",),
        "gradient",
    ),
    # --- files ---
    Mutant(
        "fsync of the file",
        "system/files.py",
        "\n        os.fsync(descriptor)\n",
        "\n",
        ("tests/system/test_files.py",),
        "fault or order",
    ),
    Mutant(
        "fsync of the folder",
        "system/files.py",
        "        _sync_folder(real.parent)\n",
        "",
        ("tests/system/test_files.py",),
        "order",
    ),
    Mutant(
        "rename: the name is given last",
        "system/files.py",
        "            os.replace(temporary, real)  # noqa: PTH105\n        else:",
        "            real.write_bytes(data)\n        else:",
        ("tests/system/test_files.py",),
        "fault or order",
    ),
    Mutant(
        "a file that is there is kept",
        "system/files.py",
        "            _claim(temporary, real)\n",
        "            os.replace(temporary, real)\n",
        ("tests/system/test_files.py",),
        "kept",
    ),
    Mutant(
        "a result whose place fails goes elsewhere",
        "system/fallback.py",
        "        for folder in (Path(), Path(tempfile.gettempdir())):\n",
        "        for folder in ():\n",
        ("tests/system/test_fallback.py",),
        "order",
    ),
    # --- numerics ---
    Mutant(
        "finiteness of the best",
        "optim/tracking.py",
        "        if not self.finite:\n",
        "        if False:\n",
        ("tests/optim/test_minimize.py",),
        "finite",
    ),
    Mutant(
        "finiteness of a step of L-BFGS",
        "optim/lbfgs.py",
        "if there.finite and there.loss <=",
        "if there.loss <=",
        ("tests/optim/test_minimize.py",),
        "finite",
    ),
    Mutant(
        "SciPy does not walk on through NaN",
        "optim/scipy_lbfgsb.py",
        "            if not evaluation.finite:\n                raise _NotFiniteError\n",
        "",
        ("tests/optim/test_minimize.py",),
        "finite or failure",
    ),
    Mutant(
        "best so far is kept",
        "optim/tracking.py",
        "elif self.count == 1 or self.best is None or evaluation.loss < self.best.loss:",
        "else:",
        ("tests/optim/test_minimize.py",),
        "best",
    ),
    Mutant(
        "projection onto the bounds",
        "optim/lbfgs.py",
        "            if self._bounds is not None:\n                after.clamp_(*self._bounds)\n",
        "",
        ("tests/optim/test_minimize.py",),
        "projection",
    ),
    Mutant(
        "curvature begins anew after a step that is not finite",
        "optim/lbfgs.py",
        "            if not (there.finite or patient):\n                return None\n",
        "",
        ("tests/optim/test_minimize.py",),
        "curvature",
    ),
    Mutant(
        "weights divided by their sum",
        "losses/objective.py",
        "_rounded(loss.weight / self.scale)",
        "_rounded(loss.weight)",
        ("tests/losses/test_objective.py",),
        "factor",
    ),
    Mutant(
        "weights rounded to six digits",
        "losses/objective.py",
        "    return float(f\"{float(f'{share:.12g}'):.6g}\")\n",
        "    return share\n",
        ("tests/losses/test_objective.py",),
        "six_digits",
    ),
    Mutant(
        "a canvas that is not finite becomes no picture",
        "image/picture.py",
        'raise PictureError(f"{name}: the picture contains values that are not finite")',
        "pass",
        ("tests/image/test_picture.py",),
        "finite",
    ),
    # --- colours ---
    Mutant(
        "most that colours are spread",
        "inputs/color_matching.py",
        "gains.clip(0.0, GAIN)",
        "gains.clip(0.0, None)",
        ("tests/inputs/test_color_matching.py",),
        "noise",
    ),
    Mutant(
        "colours of transparent pixels not counted",
        "inputs/color_matching.py",
        "counts = _values(alpha)[:, 0]",
        "counts = counts + 0",
        ("tests/inputs/test_color_matching.py",),
        "transparent",
    ),
    Mutant(
        "chroma reduced where sRGB lacks it",
        "inputs/cielab.py",
        "if bool(outside.any()):",
        "if False:",
        ("tests/inputs/test_cielab.py",),
        "lacks",
    ),
    Mutant(
        "what is cut off in matching is made up for",
        "inputs/color_matching.py",
        "        steps.append(linear(current, goal))\n",
        "",
        ("tests/inputs/test_color_matching.py",),
        "mean_and_covariance",
    ),
    Mutant(
        "a painting shown large is softened",
        "inputs/pictures.py",
        "soft = factor > 1 or self.recolor.softens",
        "soft = factor > 1",
        ("tests/inputs/test_colors.py",),
        "large_strokes",
    ),
    Mutant(
        "the noise of a gray painting is raised once",
        "inputs/color_matching.py",
        "        steps.append(linear(current, goal))",
        "        steps.append(linear(current, photo))",
        ("tests/inputs/test_color_matching.py",),
        "noise",
    ),
    # --- the door for pixels ---
    Mutant(
        "limit of pixels",
        "image/guards.py",
        "    if width * height > limits.max_pixels:\n",
        "    if False:\n",
        ("tests/config/test_limits.py",),
        "beyond",
    ),
    Mutant(
        "limit of memory and time",
        "image/guards.py",
        "    if part > factor:\n",
        "    if False:\n",
        ("tests/image/test_cost.py",),
        "limit",
    ),
    Mutant(
        "the program's own cache of libvips",
        "system/libvips.py",
        "            pyvips.cache_set_max(most)\n",
        "            pass\n",
        ("tests/system/test_libvips.py",),
        "last_block",
    ),
    Mutant(
        "limit of frames",
        "image/headers.py",
        "    if frames(kind, data, limits.max_frames) > limits.max_frames:\n",
        "    if False:\n",
        ("tests/config/test_limits.py",),
        "beyond",
    ),
    Mutant(
        "allow-list of formats",
        "image/formats.py",
        '    raise PictureError(f"{label} is {name or',
        '    return "pnm"\n    raise PictureError(f"{label} is {name or',
        ("tests/image/test_formats.py",),
        "no_reader",
    ),
    Mutant(
        "scans of a JPEG that are missing",
        "image/containers/jpeg.py",
        "    if any(head.left.values()):\n",
        "    if False:\n",
        ("tests/image/containers/test_jpeg.py",),
        "scans_that_are_missing",
    ),
    Mutant(
        "data of a JPEG that end early",
        "image/decode.py",
        "    if jpeg.is_damage(warnings):\n",
        "    if False:\n",
        ("tests/image/containers/test_jpeg.py",),
        "end_early and baseline and RGB",
    ),
    Mutant(
        "limit of a file's bytes",
        "system/files.py",
        "    if len(data) > limit:\n",
        "    if False:\n",
        ("tests/system/test_files.py",),
        "read_whole or length",
    ),
    Mutant(
        "no document types in XMP",
        "image/xmp.py",
        'if "<!DOCTYPE" in text:',
        "if False:",
        ("tests/image/test_xmp.py",),
        "cannot_be_read or laughs",
    ),
    # --- weights ---
    Mutant(
        "hash of the package's weights",
        "network/weights/load.py",
        "if hashlib.sha256(data).hexdigest() != PACKED_SHA256:",
        "if False:",
        ("tests/network/weights/test_load.py",),
        "packed_file",
    ),
    Mutant(
        "hash of the decoded weights",
        "network/weights/load.py",
        "        if file_sha256(path) == sha256:\n",
        "        if path.exists():\n",
        ("tests/network/weights/test_load.py",),
        "damaged",
    ),
    Mutant(
        "hash of imported weights",
        "network/weights/load.py",
        "if not right:",
        "if False:",
        ("tests/test_import.py",),
        "damaged",
    ),
    Mutant(
        "pickles run nothing",
        "network/weights/tensor_files.py",
        "torch.load(path, weights_only=True,",
        "torch.load(path, weights_only=False,",
        ("tests/network/weights/test_tensor_files.py",),
        "pickle",
    ),
    Mutant(
        "lock while weights are written",
        "network/weights/store.py",
        "            lock.acquire(timeout=0)\n",
        "            pass\n",
        ("tests/test_import.py",),
        "at_once",
    ),
    # --- recipes ---
    Mutant(
        "hash of a recipe's inputs",
        "transfer/reproduce.py",
        'if record.kind == "file" and file_sha256(path) != record.sha256:',
        "if False:",
        ("tests/transfer/test_reproduce.py",),
        "found",
    ),
    Mutant(
        "hash of a recipe's weights",
        "transfer/reproduce.py",
        "if identity(loaded)[1] != recipe.weights_sha256:",
        "if False:",
        ("tests/transfer/test_reproduce.py",),
        "other_weights",
    ),
    # --- checkpoints ---
    Mutant(
        "sum of a checkpoint",
        "transfer/callbacks/checkpoint_file.py",
        'if said.get(SUM) != f"{summed:08x}":',
        "if False:",
        ("tests/transfer/callbacks/test_checkpoint_file.py",),
        "byte",
    ),
    Mutant(
        "a solver's state fits its canvas",
        "transfer/callbacks/checkpoint_file.py",
        "    if problem := _misfit(header, tensors, canvas):",
        "    if problem := None:",
        ("tests/transfer/callbacks/test_checkpoint_file.py",),
        "does_not_fit",
    ),
    Mutant(
        "Adam's halved rate is part of its state",
        "optim/adam.py",
        'state.get("rate", self._learning_rate)',
        "self._learning_rate",
        ("tests/optim/test_minimize.py",),
        "halved_rate",
    ),
    Mutant(
        "the strength is in the style's weight",
        "losses/build.py",
        "weight = settings.effective_style_weight * term.weight",
        "weight = settings.style_weight * term.weight",
        ("tests/transfer/test_strength.py",),
        "scaled_by_the_square",
    ),
    Mutant(
        "the strength is in the weight of nearest neighbors",
        "losses/neighbors.py",
        "                settings.effective_style_weight,\n",
        "                settings.style_weight,\n",
        ("tests/transfer/test_strength.py",),
        "scaled_by_the_square",
    ),
    Mutant(
        "a checkpoint whose weights an earlier version changed is refused",
        "transfer/callbacks/checkpoint_file.py",
        '    if values["recipe"].get(CALIBRATION):',
        "    if False:",
        ("tests/transfer/callbacks/test_checkpoint_file.py",),
        "earlier_version_changed",
    ),
    Mutant(
        "a Stop ends the run, whatever its reason",
        "transfer/stylize.py",
        "        if run.stopped or reason not in FINISHED:\n",
        "        if reason not in FINISHED:\n",
        ("tests/transfer/test_resume.py",),
        "of_ones_own",
    ),
    Mutant(
        "the best canvas outlives a solver whose memory ran out",
        "transfer/out_of_memory.py",
        "    run.state.tracking = Tracking(best=best, best_canvas=canvas)\n",
        "",
        ("tests/transfer/test_resume.py",),
        "twice_in_a_row",
    ),
    Mutant(
        "version of a checkpoint",
        "transfer/callbacks/checkpoint_file.py",
        "if form != FORM or made != __version__:",
        "if False:",
        ("tests/transfer/callbacks/test_checkpoint_file.py",),
        "version",
    ),
    # --- style statistics ---
    Mutant(
        "no eigenvalues of what is not finite",
        "losses/moments.py",
        "        if not torch.isfinite(product).all():  # a step too far, which `eigvalsh` would not take\n"
        '            return mean.sum() * float("nan")\n',
        "",
        ("tests/losses/test_style_targets.py",),
        "not_finite",
    ),
    Mutant(
        "no eigenvalue is smaller than exact arithmetic allows",
        "losses/moments.py",
        "eigenvalues.clamp(min=self.ridges.square().view(-1, 1)).sqrt()",
        "eigenvalues.sqrt()",
        ("tests/losses/test_style_targets.py",),
        "finite",
    ),
    Mutant(
        "targets of nearest neighbors are those of the scale's start",
        "transfer/callbacks/checkpoint_file.py",
        "    if state.start is not None:\n        tensors[START] = state.start\n",
        "    if state.start is not None:\n        tensors[START] = tensors['canvas']\n",
        ("tests/transfer/test_resume.py",),
        "whatever",
    ),
    Mutant(
        "nor are they others in smaller tiles",
        "transfer/out_of_memory.py",
        "spent=spent, start=state.start)",
        "spent=spent)",
        ("tests/transfer/test_resume.py",),
        "ran_out",
    ),
    Mutant(
        "a layer that the painting leaves dark does not count",
        "losses/neighbors.py",
        "        return self.unit / variance if variance else 0.0\n",
        "        return self.unit / max(variance, LEAST)\n",
        ("tests/losses/test_neighbors.py",),
        "dark",
    ),
    Mutant(
        "no tiles for a statistic that needs the whole picture",
        "transfer/memory.py",
        "    if _needs_whole(settings):  # ranks are known of the whole picture only\n        edges = (0,)\n",
        "",
        ("tests/losses/test_style_targets.py",),
        "planned",
    ),
    Mutant(
        "variances have a least, so that their roots have slopes",
        "losses/style_targets.py",
        "    ridges = RIDGE * squares.mean(1) + LEAST\n",
        "    ridges = 0 * squares.mean(1)\n",
        ("tests/losses/test_style_targets.py",),
        "finite",
    ),
    Mutant(
        "a layer that the painting leaves dark counts nothing",
        "losses/style_targets.py",
        "    if trace <= 0 or norm <= 0:",
        "    if False:",
        ("tests/losses/test_style_targets.py",),
        "factor",
    ),
    # --- the photo's structure, clean pictures ---
    Mutant(
        "places without features have a direction of no length",
        "losses/structure.py",
        "length.clamp(min=SHORTEST)",
        "length",
        ("tests/losses/test_structure.py",),
        "finite",
    ),
    Mutant(
        "places that all look alike are told apart by nothing",
        "losses/structure.py",
        "apart.sum(0, keepdim=True).clamp(min=ALIKE * len(features))",
        "apart.sum(0, keepdim=True)",
        ("tests/losses/test_structure.py",),
        "finite",
    ),
    Mutant(
        "no edges where a picture has fewer than three cells",
        "losses/structure.py",
        "    if min(image.shape[-2:]) < 3 * pool:\n        return image.new_zeros((1, 1, 0, 0))\n",
        "",
        ("tests/losses/test_structure.py",),
        "less_than_three",
    ),
    Mutant(
        "the outermost cells count in no tile",
        "losses/structure.py",
        "            first = max(1, ",
        "            first = max(0, ",
        ("tests/losses/test_structure.py",),
        "adds_up",
    ),
    Mutant(
        "grain that the paintings have is let be",
        "losses/smoothness.py",
        "(r - limit).clamp(min=0)",
        "(r - limit)",
        ("tests/losses/test_grain.py",),
        "finer",
    ),
    Mutant(
        "no grain has a slope, too",
        "losses/smoothness.py",
        "* self.size[1]) + LEAST).pow(0.25)",
        "* self.size[1])).pow(0.25)",
        ("tests/losses/test_grain.py",),
        "finite",
    ),
    Mutant(
        "a painting without a share does not count for the grain",
        "losses/build.py",
        "for style, share in shares if share and settings.style_term]",
        "for style, share in shares]",
        ("tests/losses/test_grain.py",),
        "allowed",
    ),
    Mutant(
        "equal neighbours have a slope",
        "losses/smoothness.py",
        "(across.square() + down.square() + FAINT**2).sqrt() - FAINT",
        "(across.square() + down.square()).sqrt()",
        ("tests/losses/test_grain.py",),
        "finite",
    ),
    # --- the studio ---
    Mutant(
        "a lease that is over renews nothing",
        "studio/store.py",
        "where id = ? and token = ? and state = 'running' returning id",
        "where id = ? and ? > 0 and state = 'running' returning id",
        ("tests/studio/test_store.py",),
        "lease_that_is_over",
    ),
    Mutant(
        "a Host that is not this machine's is not known",
        "studio/security.py",
        "if name in LOCAL or name == self.host:",
        "if True:",
        ("tests/studio/test_security.py",),
        "names_of_this_machine",
    ),
    Mutant(
        "a name of an upload has no folders",
        "studio/files.py",
        '.replace("\\\\", "/").rpartition("/")[2]',
        "",
        ("tests/studio/test_workers.py",),
        "names_become_labels",
    ),
    # --- films ---
    Mutant(
        "frames of another film are not continued",
        "videos/folder.py",
        "        if found is not None and found.key != key and not overwrite:",
        "        if False:",
        ("tests/videos/test_folder.py",),
        "another_film",
    ),
    Mutant(
        "the camera explains nearly all, or nothing",
        "videos/flow.py",
        "    if explained.mean() < SHARE:",
        "    if False:",
        ("tests/videos/test_flow.py",),
        "camera_is_refused",
    ),
    Mutant(
        "colors of a film do not shift by a level",
        "videos/video_file.py",
        "interpolation=EXACT",
        'interpolation="BICUBIC"',
        ("tests/videos/test_film_file.py",),
        "tags_are_kept",
    ),
    Mutant(
        "a frame that is drafted in part is painted on",
        "videos/frames.py",
        "step.iteration >= self.least and ",
        "",
        ("tests/videos/test_frames.py",),
        "style_is_reached",
    ),
)


@dataclass(frozen=True)
class Verdict:
    """How a row came out: killed by a test or not, in how many seconds."""

    mutant: Mutant
    killed: bool
    by: str
    seconds: float


def copied(folder: Path) -> Path:
    """Copy what the tests need into a folder; return it."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy2(source, folder / name)
    return folder


def changed(text: str, mutant: Mutant) -> str:
    """Return the text without the guard.

    Raises:
        ValueError: The guard's text does not stand there exactly once.
    """
    if (count := text.count(mutant.old)) != 1:
        raise ValueError(f"its text stands {count} times in {mutant.path}, not once")
    return text.replace(mutant.old, mutant.new)


def written(path: Path, text: str) -> None:
    """Write a module, and drop its bytecode: Python takes that for another text of this size and second."""
    path.write_text(text, encoding="utf-8")
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def run_tests(tree: Path, mutants: Sequence[Mutant]) -> tuple[int | None, str]:
    """Run the tests of some rows in a copy; return pytest's exit status and what it printed."""
    files = list(dict.fromkeys(name for mutant in mutants for name in mutant.tests))
    arguments = ["-x", "-q", "--tb=no", "-rf", *files, "-p", "no:cacheprovider"]
    arguments += ["-k", " or ".join(f"({mutant.choice})" for mutant in mutants)]
    longest = LONGEST * (1 if len(mutants) == 1 else 4)
    child = FORKS.Process(target=_pytest, args=(tree, arguments))
    child.start()
    child.join(longest)
    if child.is_alive():
        child.kill()
        return -1, f"no end after {longest} s"
    return child.exitcode, (tree / PRINTED).read_text(encoding="utf-8", errors="replace")


def _pytest(tree: Path, arguments: list[str]) -> None:
    """Run pytest in a copy of the tree, in this process, which has not imported impasto yet."""
    with (tree / PRINTED).open("wb") as printed:
        for stream in (1, 2):
            os.dup2(printed.fileno(), stream)
    os.environ["PYTHONPATH"] = str(tree / "src")  # of processes that tests start
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(tree / ".hypothesis")
    sys.path.insert(0, str(tree / "src"))
    os.chdir(tree)
    sys.exit(pytest.main(arguments))


def verdict(tree: Path, mutant: Mutant) -> Verdict:
    """Remove a guard from the copy, run its tests, and put it back."""
    began = time.monotonic()
    path = tree / "src" / "impasto" / mutant.path
    whole = path.read_text(encoding="utf-8")
    try:
        written(path, changed(whole, mutant))
        status, said = run_tests(tree, [mutant])
    except ValueError as error:
        return Verdict(mutant, False, str(error), 0.0)
    finally:
        written(path, whole)
    red = re.findall(r"^FAILED (\S.*?)(?: - .*)?$", said, re.MULTILINE)
    seconds = time.monotonic() - began
    if status == 1 and red:
        return Verdict(mutant, True, red[0].removeprefix("tests/"), seconds)
    why = "SURVIVED" if status == 0 else f"no verdict: {said.strip()[-300:]}"
    return Verdict(mutant, False, why, seconds)


def main(words: Sequence[str] = (), mutants: Sequence[Mutant] = MUTANTS) -> int:
    """Print the table; return 1 if a guard can be removed unnoticed, or the tests are red anyway."""
    chosen = [m for m in mutants if not words or any(word in m.guard for word in words)]
    if not chosen:
        print("no guard is called so", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="impasto-mutants-") as folder:
        tree = copied(Path(folder))
        status, said = run_tests(tree, chosen)
        if status:
            print(f"the tests are red with all guards in place:\n{said[-3000:]}", file=sys.stderr)
            return 1
        print(f"{'guard':<56}{'killed by':<76}seconds")
        found = []
        for mutant in chosen:
            found.append(verdict(tree, mutant))
            last = found[-1]
            print(f"{mutant.guard:<56}{last.by:<76}{last.seconds:6.1f}", flush=True)
    alive = [item for item in found if not item.killed]
    print(f"{len(found) - len(alive)} of {len(found)} guards are missed by a test when removed")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
