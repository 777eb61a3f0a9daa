"""What people type who know other programs, for "Did you mean": names of settings, and values. No torch here.

Names are written as fields, `image_size` for `--image-size` and `-image_size`. A suggestion is the name of a
field or flag of ours, and may have a value after it.
"""

from collections.abc import Iterable

from impasto.messages import did_you_mean

_NAMES = {  # ours -> what it is called elsewhere
    "evaluations": "iterations iteration iters iter n_iter num_iter num_iters num_iterations max_iter "
    "max_iterations niter steps n_steps num_steps max_steps epochs n_epochs num_epochs passes "
    "initial_iterations",
    "size": "s width height image_size img_size imsize image_width image_height max_size max_dim "
    "resolution res output_size out_size result_size target_size end_scale end_size resize scale dimension "
    "long_edge dimensions",
    "min_size": "min_scale start_size start_scale min_width coarsest",
    "learning_rate": "lr step_size alpha_lr adam_lr",
    "device cuda": "gpu cuda use_gpu use_cuda gpu_id gpus cuda_device gpu_device",
    "device cpu": "cpu no_cuda no_gpu use_cpu",
    "device": "devices backend platform accelerator",
    "color luminance": "original_colors original_color preserve_color preserve_colors preserve_luminance "
    "keep_colors keep_color luminance luminance_only luma content_colors color_transfer color_preserve",
    "color": "colors colour colours color_mode color_match",
    "color_amount": "colour_amount color_strength",
    "style": "style_image style_images style_img style_path painting paintings styles style_file "
    "style_targets style_picture artwork reference",
    "style_weights": "style_blend_weights style_blend blend_weights blend shares style_interpolation_weights",
    "content_weight": "alpha content_alpha cw photo_weight c_weight content_loss_weight",
    "style_weight": "beta style_beta sw painting_weight s_weight style_loss_weight",
    "total_variation": "tv tv_weight tvw variation smooth smoothness smoothing tv_loss",
    "strength": "intensity style_strength style_intensity style_amount effect power degree style_degree",
    "stroke": "style_scale style_size brush brush_size stroke_size brush_stroke style_scales strokes_size",
    "output": "out output_image output_file output_path output_dir outdir out_dir output_folder result dest "
    "destination save save_path outfile result_prefix to folder target",
    "force": "overwrite replace clobber f",
    "solver": "optimizer optimiser optim method algorithm",
    "init": "initial start initialization initialisation init_type start_from",
    "init noise": "random random_init init_random noise_init from_noise white_noise",
    "init matched": "recolor recolored color_start matched_start init_color init_colors",
    "init_amount": "matched_amount recolor_amount start_amount",
    "init_noise": "noise noise_ratio noise_amount initial_noiseblend noise_share",
    "init_picture": "init_image initial_image init_img start_image initial_picture start_picture",
    "save_every": "save_iter save_freq save_interval checkpoint_iterations checkpoint_every save_image_every "
    "save_step",
    "seed": "random_seed rng_seed manual_seed",
    "weights": "model model_file model_path network caffemodel vgg vgg_path weights_file checkpoint_model "
    "net pretrained",
    "pooling": "pool pool_type pooling_type",
    "history": "lbfgs_num_correction num_correction history_size lbfgs_history memory_pairs",
    "style_layers": "style_layer style_features layers_style slayers style_layer_names",
    "content_layers": "content_layer content_features layers_content clayers content_layer_names",
    "memory_limit": "memory mem max_memory ram max_ram mem_limit vram",
    "threads": "num_threads cores workers num_workers jobs cpus nproc n_threads j",
    "tile": "tile_size tiles tiling tile_width",
    "precision": "dtype fp16 half half_precision bf16 float16 amp",
    "quality": "preset_quality effort",
    "budget": "time timeout time_limit max_time seconds minutes duration time_budget",
    "jpeg_quality": "jpg_quality compression jpeg_q q",
    "mask": "content_mask content_masks region regions",
    "source_mask": "style_mask style_masks",
    "segments": "segmentation seg content_seg semantic content_segmentation",
    "source_segments": "style_seg style_segmentation",
    "bits": "depth bit_depth bitdepth",
    "checkpoint": "checkpoint_output checkpoint_file save_checkpoint state",
    "preview": "live display show_image watch live_preview monitor",
    "verbose": "debug log print_iter print_iterations verbosity loglevel log_level",
    "quiet": "silent no_progress",
    "json": "json_output machine_readable progress_json",
    "settings": "config config_file cfg options parameters params",
    "preset": "look looks profile theme mode",
    "metadata": "exif meta keep_exif strip_exif strip",
    "laplacian": "lap laplacian_weight edges edge_weight",
    "tolerance": "tol ftol stop early_stop early_stopping eps",
    "detail": "details sharpness",
    "style_statistic": "style_loss loss statistic gram wasserstein nnst",
    "neighbours_photo": "neighbors_photo",
    "neighbours_from": "neighbors_from",
    "inputs": "input_folder input_dir search folder_inputs",
}  # fmt: skip
NAMES = {other: ours for ours, others in _NAMES.items() for other in others.split()}

_VALUES = {  # of choices
    "luminance": "original keep preserve luma photo content yuv lab y original_colors content_colors",
    "style": "painting none new reference",
    "match": "mean_std linear transfer cholesky mean",
    "lbfgs": "l_bfgs bfgs l_bfgs_b",
    "scipy": "lbfgsb fmin_l_bfgs_b l_bfgs_b_scipy",
    "adam": "sgd adamw",
    "average": "avg mean averagepooling avg_pool",
    "max": "maximum max_pool",
    "reflect": "mirror symmetric reflection",
    "replicate": "edge border clamp nearest",
    "zero": "zeros none constant",
    "noise": "random white gaussian rand",
    "content": "photo image original",
    "best": "high highest ultra fine",
    "instant": "immediate fastest",
    "draft": "low fast quick preview",
    "good": "medium normal default middle",
    "bf16": "half fp16 float16 bfloat16",
    "fp32": "float float32 full single",
    "strip": "remove none off",
    "keep": "all full exif",
    "gram": "gatys default",
    "sliced": "swd sliced_wasserstein",
    "neighbours": "neighbors neighbor neighbour nnst nearest patches",
    "cuda": "gpu nvidia",
    "mps": "metal apple",
    "isotropic": "l2 length",
    "anisotropic": "l1 abs",
    "jpeg": "jpg jfif jpe",
    "tiff": "tif",
    "heic": "heif",
    "jpeg2000": "jp2 j2k",
    "pnm": "ppm pgm pbm",
}


def name_hint(name: str, known: Iterable[str]) -> str:
    """Return `" Did you mean X?"` for a setting or flag by what others call it, else by its letters."""
    return did_you_mean(name, known, NAMES)


def value_hint(value: object, choices: Iterable[object]) -> str:
    """Return `" Did you mean X?"` for one of the choices, by meaning or letters, or an empty string."""
    allowed = [str(choice) for choice in choices]
    word = str(value).lower().replace("-", "_")
    meant = [ours for ours, others in _VALUES.items() if ours in allowed and word in others.split()]
    return did_you_mean(word, allowed, dict.fromkeys([word], meant[0]) if meant else None)
