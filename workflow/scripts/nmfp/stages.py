"""The version of what each stage computes.

Snakemake reruns a rule when its script, inputs or params change, but not when a module that the script imports does.
Every rule therefore carries its stage's number as a param: raise it in the commit that changes what the stage writes.
"""

VERSION = {
    "download": 1,
    "unpack": 1,
    "list_archive": 1,
    "list_degradations": 2,
    "archive_queries": 2,
    "import_weights": 2,
    "demo_music": 2,
    "demo_degradations": 2,
    "list_folder": 1,
    "list_fma": 2,
    "partition": 1,
    "convert": 1,
    "tracks": 1,
    "split_music": 1,
    "pack_chunks": 1,
    "pack_degradations": 1,
    "degrade": 3,
    "queries": 3,
    "train": 2,
    "extract": 1,
    "merge": 1,
    "train_index": 3,
    "fill_index": 2,
    "search": 1,
    "recall": 1,
    "hit_rates": 2,
    "calibrate": 1,
    "report": 5,
    "identify": 1,
}
