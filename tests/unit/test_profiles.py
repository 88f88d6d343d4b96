"""Profiles, rules and container recipes agree: Snakemake ignores what a profile says of unknown rules."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import slurm_resume
import yaml
from nmfp.errors import NmfpError

ROOT = Path(__file__).parents[2]
PROFILES = {
    name: yaml.safe_load((ROOT / f"profiles/{name}/config.v9+.yaml").read_text())
    for name in ("default", "slurm")
}
SLURM = PROFILES["slurm"]


def rules() -> dict[str, str]:
    """Text of every rule and checkpoint by name."""
    text = "\n".join(path.read_text() for path in sorted(ROOT.glob("rules/*.smk")))
    parts = re.split(r"^\s*(?:rule|checkpoint) (\w+):$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


RULES = rules()
JOBS = {name: body for name, body in RULES.items() if "script:" in body or "shell:" in body}


def test_there_are_rules():
    assert {"train", "extract", "convert", "partition_tracks", "report"} <= set(JOBS)


def test_one_key_of_the_configuration_chooses_the_environment_of_what_a_gpu_makes_faster():
    environments = {name: re.search(r"conda:\s+(\S+)", body)[1] for name, body in JOBS.items()}
    chosen = {name for name, environment in environments.items() if environment == "GPU_ENVIRONMENT"}
    assert chosen == {"train", "extract", "search", "search_shard", "recall", "identify"}
    assert {*environments.values()} == {"GPU_ENVIRONMENT", '"../envs/cpu.yaml"'}
    schema = yaml.safe_load((ROOT / "config/schemas/config.schema.yaml").read_text())
    for value in schema["properties"]["conda_environment"]["enum"]:
        assert (ROOT / f"envs/{value}.yaml").is_file() and (ROOT / f"envs/{value}.post-deploy.sh").is_file()


@pytest.mark.parametrize("profile", PROFILES)
def test_every_rule_named_in_a_profile_exists(profile):
    settings = PROFILES[profile]
    named = {
        *settings.get("set-resources", {}),
        *settings.get("set-threads", {}),
        *settings.get("groups", {}),
    }
    assert named <= set(RULES)
    assert set(settings.get("group-components", {})) <= set(settings.get("groups", {}).values())


@pytest.mark.parametrize("rule", SLURM["groups"])
def test_no_grouped_rule_reads_a_checkpoint(rule):
    """Its jobs would be submitted twice, in two groups, when the checkpoint ends."""
    inputs = RULES[rule].partition("input:")[2].partition("output:")[0]
    # lists of batches and partitions, and the tables of split_music
    assert inputs.strip()
    assert not re.search(
        r"corpus_table|_lists|fingerprint_partitions|/batches|/partitions|checkpoints", inputs
    )


@pytest.mark.parametrize("rule", JOBS)
def test_every_rule_asks_for_memory_and_time(rule):
    resources = JOBS[rule].partition("resources:")[2].partition("params:")[0]
    assert "mem_mb=" in resources and "runtime=" in resources


@pytest.mark.parametrize("rule", [name for name in JOBS if "localrule: True" not in JOBS[name]])
def test_memory_and_time_grow_with_the_attempt(rule):
    resources = JOBS[rule].partition("resources:")[2].partition("params:")[0]
    assert len(re.findall(r"\* attempt", resources)) >= 2


@pytest.mark.parametrize("rule", JOBS)
def test_retries_multiply_inside_a_slurm_job(rule):
    """So they stand in the profile; a local rule has no job within the job."""
    assert "retries:" not in JOBS[rule] or "localrule: True" in JOBS[rule]


def test_exactly_the_rules_with_a_network_or_an_index_to_search_ask_for_a_gpu():
    gpu = {name for name, body in JOBS.items() if re.search(r"\bgpu=", body)}
    assert gpu == {"train", "extract", "search", "search_shard", "recall"} == set(SLURM["set-resources"])


def test_traps_of_the_executor_are_avoided():
    assert SLURM["executor"] == "slurm"
    assert SLURM["slurm-status-command"] == "squeue"  # sacct: "CANCELLED by 0" is waited for without end
    assert SLURM["max-status-checks-per-second"] <= 0.1 and SLURM["slurm-status-attempts"] >= 30
    assert "slurm-array-jobs" not in SLURM
    assert SLURM["retries"] >= 1 and SLURM["rerun-incomplete"] and SLURM["keep-going"]
    assert SLURM["slurm-jobname-prefix"] == slurm_resume.PREFIX
    # profiles/default is read as well, and its limit of one GPU must not hold for the whole cluster
    assert "gpu=1" in PROFILES["default"]["resources"]
    assert SLURM["set-resource-scopes"]["gpu"] == "local"


@pytest.mark.parametrize("profile", PROFILES)
def test_tables_of_the_whole_paper_count_by_content(profile):
    """Files above the limit are compared by time alone: an update would train the model again."""
    name = "full/000/000002.mp3"
    row = f"{name},results/paper/data/music/audio/{name}.wav,database,2160000,{0:064x},ok,\n"
    files_of_fma = 106_574 + 25_000
    assert 2 * files_of_fma * len(row) < PROFILES[profile]["max-checksum-file-size"]


def test_a_site_sets_partition_and_account_first():
    first = next(iter(SLURM))
    assert first == "default-resources" and next(iter(SLURM[first])) == "slurm_partition"
    assert (
        "# slurm_account:"
        in (ROOT / "profiles/slurm/config.v9+.yaml").read_text().partition("set-resources")[0]
    )


def test_reading_the_snakefile_loads_nothing_heavy():
    """Every SLURM job reads it twice."""
    code = (
        "import sys\nfrom nmfp import code_digest, config\nfrom nmfp.model import devices\n"
        "from nmfp.datasets import sources\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'faiss', 'av', 'scipy', 'matplotlib', 'openvino'}\n"
        "print(heavy & set(sys.modules))"
    )
    path = {"PYTHONPATH": str(ROOT / "workflow/scripts")}
    assert subprocess.run([sys.executable, "-c", code], env=path, capture_output=True).stdout == b"set()\n"


# ---- containers and environments ----


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / "envs" / name).read_text().splitlines()
    return dict(line.split()[0].split("==") for line in lines if re.match(r"[A-Za-z0-9._-]+==", line))


def test_one_environment_differs_from_the_other_by_its_gpu_builds():
    cpu, gpu = pins("requirements-cpu.txt"), pins("requirements-gpu.txt")
    assert set(cpu) - set(gpu) == {"tensorflow-cpu", "faiss-cpu"}
    extra = {name for name in set(gpu) - set(cpu) if not name.startswith("nvidia-")}
    assert extra == {"tensorflow", "faiss-gpu"}
    assert {name: cpu[name] for name in set(cpu) & set(gpu)} == {
        name: gpu[name] for name in set(cpu) & set(gpu)
    }
    assert cpu["tensorflow-cpu"] == gpu["tensorflow"]


def test_containers_install_the_pinned_packages_and_sox():
    docker = (ROOT / "Dockerfile").read_text()
    assert "USER 1000" in docker and 'requirements-${VARIANT}.txt"' in docker and "ARG VARIANT=cpu" in docker
    for variant in ("cpu", "gpu"):
        recipe = (ROOT / f"containers/nmfp-{variant}.def").read_text()
        assert f"envs/requirements-{variant}.txt" in recipe
        for text in (docker, recipe):
            assert "libsox-fmt-mp3" in text and text.count("--require-hashes") == 2
    for source in re.findall(r"^COPY (.+) \S+$", docker, flags=re.MULTILINE):
        assert all((ROOT / name).exists() for name in source.split()), source


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_conda_environments_get_the_pinned_packages(variant, tmp_path):
    """Snakemake runs a copy of the script, and makes the environment anew where the script's text changed."""
    conda = yaml.safe_load((ROOT / f"envs/{variant}.yaml").read_text())
    assert {"python=3.11", "sox", "pip"} <= set(conda["dependencies"])
    requirements = ROOT / f"envs/requirements-{variant}.txt"
    script = tmp_path / "copy.sh"
    script.write_text((ROOT / f"envs/{variant}.post-deploy.sh").read_text())
    assert f"# sha256 {hashlib.sha256(requirements.read_bytes()).hexdigest()} " in script.read_text()
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "NMFP_ENVS": str(ROOT / "envs")}
    run = subprocess.run(["sh", script], env=environment, capture_output=True, text=True, check=True)
    words = run.stdout.split()
    assert words[:3] == ["-m", "pip", "install"] and {"--require-hashes", "--no-deps"} < set(words)
    assert words[-1] == str(requirements)


# ---- make slurm-resume ----

SQUEUE = """#!/bin/sh
count=$(cat {folder}/count 2>/dev/null || echo 0); echo $((count + 1)) >{folder}/count
[ -e {folder}/down ] && {{ echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1; }}
[ $count -ge 3 ] && exit 0
cat <<X
1\tnmfp_a\tRUNNING\t{work}\trule_train
2\tnmfp_a\tPENDING\t{work}\trule_extract
3\tnmfp_b\tRUNNING\t/elsewhere\trule_train
4\tother_c\tRUNNING\t{work}\t
X
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A squeue whose jobs of this folder are gone at its fourth answer, and a scancel that takes notes."""
    work = tmp_path / "work"
    for folder in (tmp_path / "bin", work):
        folder.mkdir()
    scripts = {
        "squeue": SQUEUE.format(folder=tmp_path, work=work),
        "scancel": f'#!/bin/sh\necho "$@" >>{tmp_path}/cancelled\n',
    }
    for name, text in scripts.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return tmp_path


def test_only_jobs_of_this_folder_are_ours(slurm):
    jobs = slurm_resume.old_jobs(slurm / "work")
    assert [(job.number, job.state, job.comment) for job in jobs] == [
        ("1", "RUNNING", "rule_train"),
        ("2", "PENDING", "rule_extract"),
    ]


@pytest.mark.parametrize(("cancel", "cancelled"), [(False, {"2"}), (True, {"1", "2"})])
def test_running_jobs_are_waited_for_unless_told_otherwise(slurm, cancel, cancelled):
    slurm_resume.clear(slurm / "work", cancel, patience=1, pause=0.01)
    assert set((slurm / "cancelled").read_text().split()) == cancelled
    assert int((slurm / "count").read_text()) == 4  # it went on asking until none was left


def test_silence_is_not_an_empty_queue(slurm):
    (slurm / "down").touch()
    with pytest.raises(NmfpError, match="SLURM does not answer"):
        slurm_resume.clear(slurm / "work", False, patience=1, pause=0.01)
    assert not (slurm / "cancelled").exists()


def test_patience_ends(slurm):
    with pytest.raises(NmfpError, match="Jobs 1, 2 still run"):
        slurm_resume.clear(slurm / "work", False, patience=0, pause=0.01)


def test_a_living_main_process_is_found(tmp_path):
    fake = tmp_path / "snakemake"
    fake.write_text("import time\nprint('up', flush=True)\ntime.sleep(60)\n")
    work = tmp_path / "work"
    work.mkdir()
    assert slurm_resume.main_process(work) is None
    outside = {name: value for name, value in os.environ.items() if name != "SLURM_JOB_ID"}
    for environment, found in ((outside, True), ({**outside, "SLURM_JOB_ID": "1"}, False)):
        with subprocess.Popen(
            [sys.executable, fake], cwd=work, stdout=subprocess.PIPE, env=environment
        ) as main:
            main.stdout.readline()
            assert slurm_resume.main_process(work) == (main.pid if found else None)
            main.kill()
