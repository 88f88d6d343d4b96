"""From source files in any format to 8 kHz mono WAV, with every failure on record.

INPUTS   data/{collection}/files.csv
OUTPUTS  data/{collection}/batches/NNNN.csv, converted/NNNN.csv, tracks.csv, audio/<id>.wav
STEPS    list a user's folder; cut the list into batches; convert each with SoX; gather the tables
"""

from nmfp.datasets.folder import check_counts
from nmfp.errors import NmfpError

if config["dataset"]["source"] == "folder":

    if workflow.is_main_process and "identification" not in config:
        try:
            check_counts(
                config["dataset"]["folder"],
                os.path.exists(f"{DATA}/split.registry.csv"),
            )
        except NmfpError as error:
            sys.exit(f"{error}")


rule list_folder:
    output:
        files=update(f"{DATA}/{{collection}}/files.csv"),
    log:
        f"{LOGS}/list_folder/{{collection}}.log",
    wildcard_constraints:
        collection=one_of(FOLDER_COLLECTIONS),
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        version=CODE["list_folder"],
        folder=lambda wildcards: RECORDINGS[wildcards.collection],
        # the names in it, so that a file that comes or goes is noticed
        state=lambda wildcards: folder_state(RECORDINGS[wildcards.collection]),
    script:
        "../workflow/scripts/list_folder.py"


checkpoint partition_files:
    input:
        table=f"{DATA}/{{collection}}/files.csv",
    output:
        lists=directory(f"{DATA}/{{collection}}/batches"),
    log:
        f"{LOGS}/partition_files/{{collection}}.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        version=CODE["partition"],
        size=config["dataset"]["partition_files"],
    script:
        "../workflow/scripts/partition.py"


rule convert:
    input:
        # ancient: a file that comes, goes or changes is a matter of the lists, and earlier ones keep their bytes
        files=ancient(f"{DATA}/{{collection}}/files.csv"),
        list=f"{DATA}/{{collection}}/batches/{{n}}.csv",
    output:
        table=f"{DATA}/{{collection}}/converted/{{n}}.csv",
    log:
        f"{LOGS}/convert/{{collection}}/{{n}}.log",
    benchmark:
        f"{BENCHMARKS}/convert/{{collection}}/{{n}}.tsv"
    conda:
        "../envs/cpu.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        version=CODE["convert"],
        audio=f"{DATA}/{{collection}}/audio",
        # the channels of a response are rooms of their own; music and noise are averaged
        split_channels=lambda wildcards: kind_of(wildcards.collection)
        in ("room", "microphone"),
    script:
        "../workflow/scripts/convert.py"


rule tracks:
    input:
        files=f"{DATA}/{{collection}}/files.csv",
        # named although only its files are read: where the lists are made anew, this rule must wait for them
        lists=f"{DATA}/{{collection}}/batches",
        tables=lambda wildcards: expand(
            f"{DATA}/{wildcards.collection}/converted/{{n}}.csv",
            n=batch_lists(wildcards),
        ),
    output:
        table=f"{DATA}/{{collection}}/tracks.csv",
        failures=report(
            f"{DATA}/{{collection}}/failures.csv",
            caption="../workflow/report/failures.rst",
            category="Data",
            labels={"collection": "{collection}", "table": "files left out"},
        ),
    log:
        f"{LOGS}/tracks/{{collection}}.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        version=CODE["tracks"],
        failure_budget=config["dataset"]["failure_budget"],
    script:
        "../workflow/scripts/tracks.py"
