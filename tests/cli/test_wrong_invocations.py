"""Wrong invocations of every command: exit code, one line, the offending value and the remedy in it.

Each row: the arguments, the exit code, what of them is wrong, and what to do about it. `{P}` is a photo and
a painting that are right.
"""

import shlex
from pathlib import Path

import numpy as np
import pytest
import pyvips

import impasto.network.weights.load
import impasto.transfer.stylize
from impasto.cli.app import main
from impasto.network.vgg import narrow_weights

USAGE, RESOURCE, WEIGHTS = 2, 3, 4
P = "photo.png painting.png"
LONG = "x" * 300
V = f"{P} --vary seed=1,2"

STYLIZE = [
    # flags
    (f"{P} --nonsense", USAGE, "--nonsense", "Did you mean|--help"),
    (f"{P} --size 32 --size 48", USAGE, "--size is given twice, also as 48", "give it once"),
    (f"{P} --bounded=maybe", USAGE, "--bounded=maybe", "give --bounded or --no-bounded"),
    (f"{P} --contnt-weight 1", USAGE, "--contnt-weight", "Did you mean --content-weight?"),
    (f"{P} --quite", USAGE, "--quite", "Did you mean --quiet?"),
    (f"{P} -z", USAGE, "-z", "--help"),
    (f"{P} --size", USAGE, "--size", "requires an argument"),
    (f"{P} -o", USAGE, "-o", "requires an argument"),
    ("-dash.png painting.png", USAGE, "-dash.png", "write the file as ./-dash.png"),
    (f"{P} -o -x.png", USAGE, "-x.png", "./-x.png"),
    # numbers and their units
    (f"{P} --size 0", USAGE, "--size: must be 1 or more, not '0'", "1 or more"),
    (f"{P} --size -5", USAGE, "not '-5'", "1 or more"),
    (f"{P} --size 99999", USAGE, "not '99999'", "30000 or less"),
    (f"{P} --size 512pt", USAGE, "not '512pt'", "must be a whole number"),
    (f"{P} --size 800x600", USAGE, "--size: must be one number, such as 800, not '800x600'", "long edge"),
    (f"{P} --min-size '600 x 800 px'", USAGE, "--min-size: must be one number, such as 800", "long edge"),
    (f"{P} --memory-limit 4", USAGE, "--memory-limit: must have a unit, such as 4GB", "4 are bytes"),
    (f"{P} --size 1e3", USAGE, "not '1e3'", "must be a whole number"),
    (f"{P} --size ''", USAGE, "--size: must be a whole number, not ''", "whole number"),
    (f"{P} --size nan", USAGE, "not 'nan'", "must be a whole number"),
    (f"{P} --content-weight inf", USAGE, "--content-weight", "must be a finite number, not 'inf'"),
    (f"{P} --content-weight -1", USAGE, "not '-1'", "0 or more"),
    (f"{P} --style-weight nan", USAGE, "--style-weight", "must be a finite number, not 'nan'"),
    (f"{P} --style-weight 1e400", USAGE, "not '1e400'", "must be a finite number"),
    (f"{P} --style-weight heavy", USAGE, "not 'heavy'", "must be a number"),
    (f"{P} --total-variation ''", USAGE, "--total-variation", "must be a number, not ''"),
    (f"{P} --evaluations 100001", USAGE, "not '100001'", "100000 or less"),
    (f"{P} --evaluations 2.5", USAGE, "not '2.5'", "must be a whole number"),
    (f"{P} --tolerance 1", USAGE, "--tolerance", "must be below 1, not '1'"),
    (f"{P} --detail 2", USAGE, "not '2'", "1 or less"),
    (f"{P} --learning-rate 0", USAGE, "not '0'", "above 0"),
    (f"{P} --strength 0", USAGE, "--strength", "must be 0.1 or more, not '0'"),
    (f"{P} --strength 11", USAGE, "not '11'", "10 or less"),
    (f"{P} --strength strong", USAGE, "not 'strong'", "must be a number"),
    (f"{P} --init-noise 1.5", USAGE, "--init-noise", "1 or less"),
    (f"{P} --history 0", USAGE, "--history", "1 or more"),
    (f"{P} --adam-beta1 1", USAGE, "--adam-beta1", "must be below 1, not '1'"),
    (f"{P} --adam-epsilon 0", USAGE, "--adam-epsilon", "above 0"),
    (f"{P} --line-search 0", USAGE, "--line-search", "1 or more"),
    (f"{P} --seed 1.5", USAGE, "not '1.5'", "must be a whole number"),
    (f"{P} --seed 99999999999999999999", USAGE, "99999999999999999999", "or less"),
    (f"{P} --threads 0", USAGE, "--threads", "must be 1 or more, not '0'"),
    (f"{P} --tile -1", USAGE, "--tile", "must be 0 or more, not '-1'"),
    (f"{P} --pairs 0", USAGE, "--pairs", "must be 1 or more, not '0'"),
    (f"{P} --jpeg-quality 101", USAGE, "not '101'", "100 or less"),
    (f"{P} --bits 12", USAGE, "--bits: must be one of 8, 16", "not '12'"),
    (f"{P} --memory-limit 1KB", RESOURCE, "more than 0 MB", "larger --memory-limit"),
    (f"{P} --memory-limit 4XB", USAGE, "unknown unit 'xb' in '4XB'", "such as 4GB or 800MB"),
    (f"{P} --memory-limit much", USAGE, "much", "such as 4GB or 800MB"),
    (f"{P} --memory-limit -1GB", USAGE, "-1GB", "such as 4GB or 800MB"),
    (f"{P} --budget soon", USAGE, "soon", "such as 90s, 2m or 1h30m"),
    (f"{P} --budget 5d", USAGE, "'5d'", "such as 90s, 2m or 1h30m"),
    (f"{P} --budget 0", USAGE, "--budget", "must be above 0, not 0"),
    (f"{P} --budget -3s", USAGE, "-3s", "such as 90s, 2m or 1h30m"),
    (f"{P} --budget nan", USAGE, "nan", "such as 90s, 2m or 1h30m"),
    # names
    (f"{P} --quality goood", USAGE, "goood", "good"),
    (f"{P} --pooling averge", USAGE, "averge", "average"),
    (f"{P} --padding mirror", USAGE, "mirror", "reflect"),
    (f"{P} --convention papr", USAGE, "papr", "paper"),
    (f"{P} --preset bld", USAGE, "bld", "Did you mean bold?"),
    (f"{P} --strenght 2", USAGE, "--strenght", "Did you mean --strength?"),
    (f"{P} --learning-rat 2", USAGE, "--learning-rat", "Did you mean --learning-rate?"),
    (f"{P} --init-nois 1", USAGE, "--init-nois", "Did you mean --init-noise?"),
    (f"{P} --init nosie", USAGE, "nosie", "noise"),
    (f"{P} --solver sgd", USAGE, "sgd", "adam"),
    (f"{P} --metadata all", USAGE, "all", "minimal"),
    (f"{P} --preset papr", USAGE, "papr", "Did you mean paper?"),
    (f"{P} --print 40x30", USAGE, "a0 to a6, not 40x30", "such as 40x30cm"),
    (f"{P} --print a4 --size 100", USAGE, "--print sets the size", "leave out --size"),
    (f"{P} --print 900x900in --dpi 99999", USAGE, "--print: comes to", "lower --dpi"),
    (f"{P} --dpi 300 --metadata strip", USAGE, "dpi is metadata", "leave out dpi"),
    (f"{P} --preset ''", USAGE, "''", "impasto presets"),
    (f"{P} --like gaty", USAGE, "gaty", "gatys"),
    (f"{P} --weights vgg19-orignal", WEIGHTS, "vgg19-orignal", "Did you mean vgg19-original"),
    (f"{P} --weights none.pth", WEIGHTS, "none.pth does not exist", "check the path"),
    (f"{P} --weights a-folder", WEIGHTS, "a-folder is a folder", "give one file: weights"),
    (f"{P} --weights text.jpg", WEIGHTS, "text.jpg is not a file of weights", "give a .pth"),
    (f"{P} --device tpu", USAGE, "tpu", "auto, cpu, cuda"),
    (f"{P} --device cuda:99", USAGE, "cuda:99", "this machine has"),
    (f"{P} --content-layers relu9_9", USAGE, "relu9_9", "Did you mean|impasto layers"),
    (
        f"{P} --content-layers ''",
        USAGE,
        "--content-layers: the value is empty",
        "name a layer such as relu4_2",
    ),
    (f"{P} --style-layers relu1_1=", USAGE, "relu1_1", "must be a number"),
    (f"{P} --style-layers relu1_1=-1", USAGE, "relu1_1", "must not be negative"),
    (f"{P} --style-layers relu1_1,relu1_1=2", USAGE, "relu1_1", "leave one out"),
    (f"{P} --style-layers relu1_2,relu12_1", USAGE, "relu12_1", "Did you mean|impasto layers"),
    # what contradicts itself
    (f"{P} --like gatys --preset paper", USAGE, "--like and --preset", "give one"),
    (f"{P} --content-weight 0 --style-weight 0", USAGE, "nothing to do", "a value above 0"),
    (f"{P} --strength 2 --style-weight 0", USAGE, "--strength does nothing", "give --style-weight a weight"),
    (f"{P} --strength 10 --style-weight 9e99", USAGE, "times the square of strength", "must lie between"),
    (f"{P} --learning-rate 0.1", USAGE, "--learning-rate", "give --solver adam"),
    (f"{P} --adam-beta2 0.9 --solver scipy", USAGE, "--solver scipy", "give --solver adam"),
    (f"{P} --line-search 9", USAGE, "--line-search", "give --solver scipy"),
    (f"{P} --history 9 --solver adam", USAGE, "--history", "--solver lbfgs or --solver scipy"),
    (f"{P} --bounded --solver scipy", USAGE, "--bounded", "leave it out"),
    (f"{P} --color-amount 0.5", USAGE, "--color-amount", "give --color luminance, match"),
    (f"{P} --laplacian-pool 2", USAGE, "--laplacian-pool", "give --laplacian a weight"),
    (f"{P} --total-variation-form isotropic", USAGE, "--total-variation-form", "leave it out"),
    (f"{P} --protect-feather 5", USAGE, "--protect-feather", "--protect MASK"),
    (f"grid {P} --vary color_amount=0.5,1", USAGE, "--color-amount", "leave it out"),
    (f"{P} --init content --init-amount 0.5", USAGE, "--init-amount", "--init matched"),
    (f"{P} --quality instant --min-size 64", USAGE, "--min-size", "leave it out"),
    (f"{P} --quality instant --init noise --init-amount 0.5", USAGE, "--init-amount", "leave it out"),
    (f"{P} --init noise --init-noise 0.3", USAGE, "--init-noise", "leave one out"),
    (f"{P} --init picture", USAGE, "--init picture", "--init-picture FILE"),
    (f"{P} --init-picture photo.png --init noise", USAGE, "--init noise", "--init picture"),
    (f"{P} --bits 16 -o x.jpg", USAGE, "x.jpg", "use one of .png"),
    (f"{P} -o - --recipe", USAGE, "--recipe", "give -o a name"),
    (f"{P} --style-weights 1,2", USAGE, "2 given", "1 style picture"),
    (f"{P} --style-weights x", USAGE, "x is not numbers", "by commas"),
    (f"{P} --style-weights ''", USAGE, "--style-weights", "by commas"),
    (f"{P} --style-weights -1", USAGE, "-1", "must not be negative"),
    (f"{P} --save-every 0", USAGE, "not 0", "1 or more"),
    # what other programs call it, and what nobody does
    (f"{P} --iterations 5", USAGE, "--iterations", "Did you mean --evaluations?"),
    (f"{P} --num_steps=5", USAGE, "--num_steps", "Did you mean --evaluations?"),
    (f"{P} -image_size 5", USAGE, "-image_size", "Did you mean --size?"),
    (f"{P} --width 5", USAGE, "--width", "Did you mean --size?"),
    (f"{P} --lr 5", USAGE, "--lr", "Did you mean --learning-rate?"),
    (f"{P} --gpu", USAGE, "--gpu", "Did you mean --device cuda?"),
    (f"{P} -gpu 0", USAGE, "-gpu", "Did you mean --device cuda?"),
    (f"{P} --original-colors", USAGE, "--original-colors", "Did you mean --color luminance?"),
    (f"{P} --style-image a.png", USAGE, "--style-image", "Did you mean --style?"),
    (f"{P} --content photo.png", USAGE, "--content", "comes first, without a flag: impasto PHOTO"),
    (f"{P} --photos x", USAGE, "--photos", "impasto batch photos --style painting.jpg"),
    (f"{P} --color original", USAGE, "'original'", "Did you mean luminance?"),
    (f"{P} --device gpu", USAGE, "'gpu'", "Did you mean cuda?"),
    (f"{P} --formats png,jpg", USAGE, "'jpg'", "Did you mean jpeg?"),
    (f"{P} -o out.jfif", USAGE, "out.jfif", "Did you mean .jpg?"),
    (f"{P} -o out.heic", USAGE, "out.heic", "Did you mean .avif?"),
    (f"{P} --xylophone", USAGE, "Unknown option: --xylophone. See", "--help-all"),
    # which picture is what
    (f"{P} out.png", USAGE, "out.png does not exist, and would be a painting", "-o out.png"),
    (f"{P} photo.png", USAGE, "photo.png would be the photo", "--style painting.png --style photo.png"),
    ("photo.png --style painting.png -- x.png", USAGE, "x.png is too much", "impasto batch"),
    # files
    ("", USAGE, "no photo", "impasto CONTENT STYLE"),
    ("photo.png", USAGE, "no painting given after photo.png", "name a style picture"),
    ("dcotor", USAGE, "dcotor", "Did you mean doctor?"),
    ("missing.png painting.png", USAGE, "missing.png does not exist", "check the path"),
    ("photo.png missing.png", USAGE, "missing.png does not exist", "check the path"),
    ("'' painting.png", USAGE, "is empty ('')", "check the path"),
    (
        "a-folder painting.png",
        USAGE,
        "a-folder is a folder; give one file of it as the photo",
        "paint all of it: impasto batch a-folder --style painting.png -o painted",
    ),
    ("a-folder/ --style painting.png", USAGE, "a-folder/ is a folder", "impasto batch a-folder/ --style"),
    ("estimate a-folder painting.png", USAGE, "a-folder is a folder", "impasto batch a-folder"),
    ("grid a-folder painting.png --vary seed=1,2", USAGE, "a-folder is a folder", "impasto batch a-folder"),
    ("a-folder", USAGE, "a-folder is a folder", "give one file of it as the photo"),
    (f"{P} --mask a-folder", USAGE, "a-folder is a folder", "give one file: a picture"),
    (f"{P} --source-mask a-folder", USAGE, "a-folder is a folder", "give one file: a picture"),
    (f"{P} --protect a-folder", USAGE, "a-folder is a folder", "give one file: a picture"),
    (f"{P} --segments a-folder", USAGE, "a-folder is a folder", "give one file: a picture"),
    (
        f"{P} --init picture --init-picture a-folder",
        USAGE,
        "a-folder is a folder",
        "give one file: a picture",
    ),
    (f"{P} --settings a-folder", USAGE, "a-folder is a folder", "give one file: settings"),
    ("photo.png empty-folder", USAGE, "the folder empty-folder", "a style needs at least one"),
    ("weights import a-folder", WEIGHTS, "a-folder is a folder", "give one file: weights"),
    ("report a-folder", USAGE, "a-folder is a folder", "give one file: a picture or a recipe"),
    ("show a-folder", USAGE, "a-folder is a folder", "give one file: a picture or a recipe"),
    ("experiment a-folder painting.png", USAGE, "a-folder is a folder", "give one file: a picture"),
    ("text.jpg painting.png", USAGE, "text.jpg", "give|export"),
    ("empty.png painting.png", USAGE, "empty.png is empty", "give another file"),
    ("photo.png -", USAGE, "only the photo", "standard input"),
    (f"{P} --init-picture missing.png", USAGE, "missing.png", "check the path"),
    (f"{P} --settings none.toml", USAGE, "none.toml does not exist", "check the path"),
    (f"{P} --settings broken.toml", USAGE, "broken.toml", "line 1"),
    (f"{P} --settings odd.toml", USAGE, "sise", "Did you mean size?"),
    (f"{P} --settings photo.png", USAGE, "photo.png holds no recipe", "--recipe|made by impasto"),
    (f"{P} --save-settings x.txt", USAGE, "x.txt", "must end in .toml"),
    (f"{P} --save-settings none/x.toml", RESOURCE, "the folder none", "create it first"),
    (f"{P} -o ''", USAGE, "-o: the name is empty", "such as out.png"),
    (f"{P} -o out.pgn", USAGE, "out.pgn", "Did you mean .png?"),
    (f"{P} -o none/out.png", RESOURCE, "the folder none does not exist", "create it first"),
    (f"{P} -o nothing/", RESOURCE, "the folder nothing/ does not exist", "create it first"),
    (f"{P} -o text.jpg", RESOURCE, "text.jpg exists already", "--force"),
    (f"{P} -o photo.png --force", USAGE, "photo.png is also an input", "another name"),
    (f"{P} -o {LONG}.png", RESOURCE, "xxx.png: file name too long", "another place or name"),
]

COMMANDS = [
    ("batch photo.png painting.png", USAGE, "-o FOLDER", "name the folder"),
    ("batch -o out", USAGE, "no photos", "--style PAINTING"),
    ("batch photo.png -o out", USAGE, "no painting", "--style"),
    ("batch missing.png --style painting.png -o out", USAGE, "missing.png does not exist", "check the path"),
    ("batch 'none/*.jpg' --style painting.png -o out", USAGE, "none/*.jpg", "check the path"),
    ("batch photo.png --style missing.png -o out", USAGE, "missing.png does not exist", "check the path"),
    ("batch photo.png --style painting.png -o text.jpg", RESOURCE, "text.jpg is a file", "another name"),
    ("batch photo.png --style painting.png -o ''", USAGE, "-o", "give its name"),
    ("batch photo.png --style painting.png -o out --workers 0", USAGE, "--workers", "1 to 1024"),
    ("batch photo.png --style painting.png -o out --shard 9/8", USAGE, "9/8", "give 1/8 to 8/8"),
    ("batch photo.png --style painting.png -o out --shard x", USAGE, "--shard", "as 3/8"),
    ("batch photo.png --style painting.png -o out --suffix .gif", USAGE, ".gif", "must be one of .png"),
    ("batch photo.png --style painting.png -o out --metadata strip", USAGE, "metadata", "give minimal"),
    ("batch photo.png --style painting.png -o out --budget 2m", USAGE, "--budget", "give evaluations"),
    (
        "batch photo.png --style painting.png --pairs x.csv -o out",
        USAGE,
        "--pairs has the photos",
        "leave out",
    ),
    ("batch --pairs missing.csv -o out", USAGE, "missing.csv", "check the path"),
    ("batch photo.png --mask painting.png -o out", USAGE, "--mask", "--help-all"),
    ("batch status a-folder", USAGE, "a-folder has no manifest", "give its folder"),
    ("demo --size x", USAGE, "not 'x'", "whole number"),
    ("demo --preset paper", USAGE, "--preset", "Did you mean|--help"),
    ("demo -o x.gif", USAGE, "x.gif", "must be one of .png"),
    ("demo picture.png", USAGE, "picture.png", "--help"),
    (f"grid {P}", USAGE, "nothing varies", "--vary style_weight=1,10,100"),
    (f"grid {P} --vary size", USAGE, "--vary size", "size=1,2"),
    (f"grid {P} --vary size=", USAGE, "--vary size: a value is empty", "size=1,2"),
    (f"grid {P} --vary size=x", USAGE, "not 'x'", "whole number"),
    (f"grid {P} --vary sise=1", USAGE, "sise", "Did you mean size?"),
    (f"grid {P} --vary seed=1,1", USAGE, "1 is given twice", "leave one out"),
    (f"grid {P} --vary seed=1 --vary seed=2", USAGE, "seed: given twice", "put all values into one"),
    (f"grid {P} --vary seed=1 --vary size=9 --vary history=2", USAGE, "not 3", "one or two"),
    (f"grid {V} --pick 3,1", USAGE, "no cell 3,1", "1 row and 2 columns"),
    (f"grid {V} --pick x", USAGE, "not x", "ROW,COLUMN such as 2,1"),
    (f"grid {V} --cell 3", USAGE, "not 3", "16 or more"),
    (f"grid {V} --budget 3s", USAGE, "--budget", "give evaluations"),
    (f"grid {V} --metadata strip", USAGE, "--metadata strip", "give minimal or keep"),
    (f"grid {V} -o none/x.png", RESOURCE, "the folder none does not exist", "create it first"),
    (f"grid {V} -o {LONG}.png", RESOURCE, "xxx.png: file name too long", "another place or name"),
    (f"grid {V} -o {LONG[:251]}.png", RESOURCE, "-cells: file name too long", "another"),
    (f"grid {V} -o -", USAGE, "-o -", "needs the name of a file"),
    (f"grid {P} --vary quality=good --evaluations 3", USAGE, "--evaluations", "leave it out"),
    (f"grid {P} --vary strength=1,2 --style-weight 0", USAGE, "--strength", "leave it out"),
    (f"grid {P} --vary strength=0,1", USAGE, "strength", "0.1 or more"),
    ("grid photo.png --vary seed=1,2", USAGE, "after photo.png", "name a style picture"),
    (f"experiment {P} photo.png", USAGE, "3 pictures", "CONTENT STYLE CONTENT STYLE"),
    (f"experiment {P} --only all", USAGE, "'all'", "There are: "),
    (f"experiment {P} --only ''", USAGE, "--only", "name one part"),
    (f"experiment {P} --size 10", USAGE, "not 10", "32 to 2048"),
    (f"experiment {P} --rounds 0", USAGE, "not 0", "1 to 1000"),
    (f"experiment {P} --budget 3s", USAGE, "--budget", "give evaluations|--rounds"),
    (f"experiment {P} -o none/x", RESOURCE, "the folder none does not exist", "create it first"),
    (f"grid {V} --iterations 3", USAGE, "--iterations", "Did you mean --evaluations?"),
    (f"grid {P} --vary iterations=1,2", USAGE, "iterations", "Did you mean evaluations?"),
    (f"experiment {P} -o {LONG}", RESOURCE, "xxx: file name too long", "give another"),
    (f"experiment {P} -o text.jpg", RESOURCE, "text.jpg is a file", "give a folder"),
    ("experiment photo.png missing.png", USAGE, "missing.png does not exist", "check the path"),
    ("report", USAGE, "PICTURE is missing", "--help"),
    ("report missing.png", USAGE, "missing.png does not exist", "check the path"),
    ("report photo.png", USAGE, "photo.png holds no recipe", "made by impasto"),
    ("report photo.png --quik", USAGE, "--quik", "Did you mean --quick?"),
    ("reproduce", USAGE, "PICTURE is missing", "--help"),
    ("reproduce a-folder", USAGE, "a-folder is a folder", "give one file: a picture or a recipe"),
    (f"reproduce {LONG}.png", USAGE, "xxx.png: file name too long", "check the path"),
    ("reproduce photo.png", USAGE, "photo.png holds no recipe", "made by impasto"),
    ("show", USAGE, "FILE is missing", "--help"),
    ("show missing.png", USAGE, "missing.png does not exist", "check the path"),
    ("show photo.png", USAGE, "photo.png holds no recipe", "made by impasto"),
    ("show empty.json", USAGE, "empty.json: not a recipe", "give a picture made by impasto"),
    ("show text.jpg", USAGE, "text.jpg is a text file", "give a JPEG"),
    ("settings --size x", USAGE, "not 'x'", "whole number"),
    ("settings photo.png", USAGE, "photo.png", "--help"),
    ("settings --save-settings x.txt", USAGE, "x.txt", "must end in .toml"),
    ("presets --jsn", USAGE, "--jsn", "Did you mean --json?"),
    ("presets papr", USAGE, "'papr'", "Did you mean paper?"),
    ("presets paper bold", USAGE, "bold", "--help"),
    ("looks photo.png", USAGE, "after photo.png", "name a style picture"),
    (f"looks {P} --size x", USAGE, "not 'x'", "whole number"),
    (f"looks {P} -o -", USAGE, "-o -", "needs the name of a file"),
    (f"grid {P} --vary style=painting.png", USAGE, "leave out painting.png", "--vary style has"),
    ("grid photo.png --vary style=nothing.png", USAGE, "nothing.png does not exist", "check the path"),
    (f"grid {P} --vary preset=paper,bld", USAGE, "'bld'", "Did you mean bold?"),
    (f"grid {P} --vary preset=paper --preset bold", USAGE, "--vary preset", "leave out --preset"),
    ("estimate photo.png", USAGE, "no painting given", "name a style picture"),
    (f"estimate {P} --size x", USAGE, "not 'x'", "whole number"),
    (f"estimate {P} --device cuda:99", USAGE, "cuda:99", "this machine has"),
    ("estimate photo.png -", USAGE, "(-)", "only the photo"),
    ("show -", USAGE, "- is standard input", "give the name of a file"),
    ("report -", USAGE, "- is standard input", "give the name of a file"),
    ("experiment - painting.png", USAGE, "- is standard input", "give the name of a file"),
    ("estimate photo.png missing.png", USAGE, "missing.png does not exist", "check the path"),
    ("weights verfy", USAGE, "verfy", "Did you mean verify?|verify"),
    ("weights verify none.pth", WEIGHTS, "none.pth does not exist", "check the path"),
    ("weights verify nosuch", WEIGHTS, "'nosuch'", "There are: "),
    ("weights path nosuch", WEIGHTS, "'nosuch'", "There are: "),
    ("weights fetch nosuch", USAGE, "'nosuch'", "There are: "),
    ("weights fetch --url ftp://x", USAGE, "ftp://x", "give one of http:// or https://"),
    ("weights import", USAGE, "FILE is missing", "--help"),
    ("weights import text.jpg", WEIGHTS, "text.jpg is not a file of weights", "give a .pth"),
    ("weights import text.jpg --name a/b", USAGE, "'a/b'", "use letters, digits"),
    ("resume nosuch.checkpoint", USAGE, "nosuch.checkpoint: no such file", "give the FILE that"),
    ("resume photo.png", USAGE, "photo.png is cut off or damaged", "give the FILE that"),
    ("resume a-folder", USAGE, "a-folder is a folder", "give one file: a checkpoint"),
    ("resume photo.png --size 64", USAGE, "--size", "Did you mean|--help"),
    ("video", USAGE, "CLIP is missing", "--help"),
    ("video missing.mp4 painting.png", USAGE, "missing.mp4 does not exist", "check the path"),
    ("video photo.png", USAGE, "no painting given after photo.png", "name a style picture"),
    ("video photo.png painting.png", USAGE, "photo.png is a picture", "impasto photo.png STYLE paints it"),
    ("video empty-folder painting.png", USAGE, "empty-folder has no pictures", "give a folder of frames"),
    ("video a-folder painting.png", USAGE, "x is empty", "give another file"),
    ("video text.jpg painting.png", USAGE, "text.jpg is a picture", "impasto text.jpg STYLE paints it"),
    ("video photo.png painting.png --every 9", USAGE, "--every: must be 4 or less", "not '9'"),
    ("video photo.png painting.png --codec mpeg", USAGE, "--codec: must be one of h264", "not 'mpeg'"),
    ("video photo.png painting.png --stedy 1", USAGE, "--stedy", "--help-all|Did you mean"),
    ("studio photo.jpg", USAGE, "photo.jpg", "--help"),
    ("studio --prot 1", USAGE, "--prot", "Did you mean --port?"),
    ("studio --port x", USAGE, "not 'x'", "whole number"),
    ("studio --port 65536", USAGE, "not 65536", "0 to 65535"),
    ("serve --host 0.0.0.0", USAGE, "0.0.0.0", "--token-file FILE or IMPASTO_TOKEN"),
    ("serve --token-file missing.txt", USAGE, "missing.txt", "check the path"),
    ("layers --costs 0", USAGE, "not 0", "1 to 30000"),
    ("layers --costs x", USAGE, "not 'x'", "whole number"),
    ("layers conv1_1", USAGE, "conv1_1", "--help"),
    ("doctor --jsn", USAGE, "--jsn", "Did you mean --json?"),
    ("doctor now", USAGE, "now", "--help"),
    ("completion", USAGE, "SHELL is missing", "bash, zsh or fish|--help"),
    ("completion tcsh", USAGE, "tcsh", "zsh"),
]
ALL = STYLIZE + COMMANDS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with right and wrong files; should a command run all the same, it is quick."""
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", _narrow_unless_named)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("photo.png", "painting.png", "-dash.png"):
        pixels = rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)
        pyvips.Image.new_from_array(pixels, interpretation="srgb").write_to_file(f"./{name}")
    Path("a-folder").mkdir()
    Path("empty-folder").mkdir()
    Path("a-folder", "x").touch()
    Path("text.jpg").write_text("not a picture at all\n")
    Path("empty.png").touch()
    Path("empty.json").write_text("{}")
    Path("broken.toml").write_text("size = = 3")
    Path("odd.toml").write_text("sise = 3\n")
    return tmp_path


def _narrow_unless_named(which=None, real=impasto.network.weights.load.load_weights):
    return narrow_weights() if which is None else real(which)


def state(folder):
    """Every file there and what it holds."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(("line", "code", "value", "remedy"), ALL, ids=lambda item: str(item)[:70])
def test_wrong_invocation(line, code, value, remedy, folder, capsys):
    before = state(folder)
    assert main(shlex.split(line)) == code
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    (one,) = said.err.splitlines()
    assert one.startswith("impasto: error: ")
    for wanted in (value, remedy):
        assert any(word in one for word in wanted.split("|")), one
    assert "\x00" not in one
    assert len(one) < 700
    assert said.out == ""
    assert state(folder) == before


def test_every_command_is_tried(capsys):
    """Prints how many wrong invocations there are; the issue asks for 60."""
    from impasto.cli.app import app

    commands = {name for name in app if not name.startswith("-")}
    tried = {shlex.split(line)[0] for line, *_ in COMMANDS}
    assert commands - tried == {"stylize"}
    assert len({line for line, *_ in ALL}) == len(ALL) >= 60
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{len(ALL)} wrong invocations of {len(commands)} commands, each refused in one line"
        )
