"""The embedded corpus: a band that needs no network.

INPUTS   none; dataset.demo and the seed
OUTPUTS  data/{music,noise,room,microphone}/files.csv: id, path, role, reason; the audio lies in resources/demo/<key>/
STEPS    compose and render music; shape noises, simulate rooms, design microphones
"""

if config["dataset"]["source"] == "demo":

    rule demo_music:
        output:
            files=update(f"{DATA}/music/files.csv"),
        log:
            f"{LOGS}/demo_music.log",
        benchmark:
            f"{BENCHMARKS}/demo_music.tsv"
        conda:
            "../envs/cpu.yaml"
        threads: 8
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 60 * attempt,
        params:
            version=CODE["demo_music"],
            folder=f"{config['paths']['downloads']}/demo",
            seed=config["seed"],
            demo=config["dataset"]["demo"],
        script:
            "../workflow/scripts/demo_music.py"

    rule demo_degradations:
        output:
            noise=update(f"{DATA}/noise/files.csv"),
            room=update(f"{DATA}/room/files.csv"),
            microphone=update(f"{DATA}/microphone/files.csv"),
        log:
            f"{LOGS}/demo_degradations.log",
        benchmark:
            f"{BENCHMARKS}/demo_degradations.tsv"
        conda:
            "../envs/cpu.yaml"
        threads: 2
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 60 * attempt,
        params:
            version=CODE["demo_degradations"],
            folder=f"{config['paths']['downloads']}/demo",
            seed=config["seed"],
            demo=config["dataset"]["demo"],
        script:
            "../workflow/scripts/demo_degradations.py"
