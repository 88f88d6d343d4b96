"""The paper's configuration from download to hit rates, with miniature archives on the loopback address."""

import json
import resource

import numpy as np
import pandas as pd
import paper_world as world
import pytest
import soundfile
import yaml
from workflow_runs import ROOT, snakemake

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def read(path):
    return pd.read_csv(path, dtype={"id": str, "track_id": str}, keep_default_na=False)


def numbers(ids):
    return {int(name.split("/")[-1].split(".")[0]) for name in ids}


def test_paper_from_download_to_hit_rates(server, tmp_path):
    archives = world.paper_archives()
    table = world.write_sources(tmp_path / "sources.tsv", server, archives, placed=("openair", "nafp_mini"))
    downloads = tmp_path / "disk"
    config = world.write_config(tmp_path / "paper.yaml", table, downloads)
    (downloads / "archives").mkdir(parents=True)
    (downloads / "archives/openair.zip").write_bytes(world.openair_archive())  # put in place as an archive
    for name, content in world.nafp_files().items():  # put in place unpacked
        path = downloads / "nafp_mini" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    cut = int(0.6 * len(archives["fma_full"]))
    server.faults["fma_full.zip"] = [{"cut": cut}]

    plan = snakemake(tmp_path, "--dry-run", configfile=config)
    assert plan.returncode == 0, plan.output[-3000:]
    assert f"{sum(map(len, archives.values())):,} bytes" in plan.output
    assert plan.jobs["download"] == len(archives) + 2

    run = snakemake(tmp_path, configfile=config, timeout=600)
    assert run.returncode == 0, run.output[-6000:]
    assert server.sent("fma_full.zip") == len(archives["fma_full"])
    assert ("fma_full.zip", f"bytes={cut}-", len(archives["fma_full"]) - cut) in server.log
    assert json.loads((downloads / "receipts/openair.json").read_text())["origin"] == "placed"
    assert json.loads((downloads / "receipts/nafp_mini.json").read_text())["origin"] == "folder"

    data = tmp_path / "results/paper/data"
    names = ("train", "validation", "database", "queries", "unknown")
    corpora = {name: read(data / name / "tracks.csv") for name in names}
    assert numbers(corpora["train"].id) == set(world.TRAINING)
    assert numbers(corpora["validation"].id) == set(world.VALIDATION)
    assert numbers(corpora["database"].id) == {*world.QUERIES, *world.DATABASE, world.SILENT}
    assert numbers(corpora["unknown"].id) == set(world.VALIDATION)
    assert numbers(corpora["queries"].id) > set(world.QUERIES) and len(corpora["queries"]) == 4

    failures = read(data / "music/failures.csv").set_index("id").reason
    assert failures["full/000/000214.mp3"] == "duplicate of full/000/000210.mp3"
    assert "full/001/001486.mp3" not in failures  # a silent clip's whole track is music
    assert failures["full/000/000002.mp3"] == "belongs to the training set"
    assert "full/000/000215.mp3" in failures  # no mp3 at all

    channels = {"noise": (3, 2), "room": (12, 4), "microphone": (8, 2)}
    for degradation, counts in channels.items():
        for side, n in zip(("train", "test"), counts, strict=True):
            assert len(read(data / f"degradations/{side}/{degradation}.csv")) == n, (degradation, side)

    provenance = read(data / "queries/provenance.csv")
    variants = {v: read(data / f"queries_{v}/tracks.csv") for v in ("clean_shifted", "degraded_shifted")}
    assert list(variants["degraded_shifted"].id) == list(provenance.id) and len(provenance) == 4
    tracks = corpora["database"].set_index("id")
    for row in provenance.itertuples():
        whole, _ = soundfile.read(tmp_path / tracks.path[row.track_id], dtype="int16")
        path = variants["clean_shifted"].set_index("id").path[row.id]
        excerpt, _ = soundfile.read(tmp_path / path, dtype="int16")
        assert np.array_equal(excerpt, whole[row.start_sample_shifted :][: row.samples])

    rates = pd.read_csv(tmp_path / "results/paper/report/hit_rates.csv")
    assert len(rates) == 20 and set(rates.sequences) == {4 * 6}
    assert len(pd.read_csv(tmp_path / "results/paper/models/test/history.csv")) == 2

    again = snakemake(tmp_path, configfile=config)
    assert again.returncode == 0 and "Nothing to be done" in again.output
    assert "Data still to fetch" not in again.output


def test_nafp_degradations_are_a_second_set(server, tmp_path):
    downloads = tmp_path / "disk"
    for name, content in world.nafp_files().items():
        path = downloads / "nafp_mini" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    everything = (*world.EXPECTED, "fma_metadata")
    table = world.write_sources(tmp_path / "sources.tsv", server, {}, placed=everything)
    config = world.write_config(
        tmp_path / "nafp.yaml",
        table,
        downloads,
        experiment="nafp",
        queries={"sets": {"nafp": {"degradations": "nafp"}}},
    )
    targets = [f"results/nafp/data/{name}/files.csv" for name in ("noise-nafp", "room-nafp")]
    run = snakemake(tmp_path, *targets, configfile=config)
    assert run.returncode == 0, run.output[-6000:]
    noise, room = (read(tmp_path / target) for target in targets)
    assert dict(zip(noise.id, noise.role, strict=True)) == {
        "nafp/tr/pub_noise_8k/0.wav": "train",
        "nafp/ts/pub_noise_8k/1.wav": "test",
    }
    assert list(room.role) == ["train", "test"]


def test_archive_of_the_paper_from_download_to_hit_rates(server, tmp_path):
    archives = {"nmfp_archive": world.archive_of_the_paper()}
    table = world.write_sources(tmp_path / "sources.tsv", server, archives)
    config = world.write_config(
        tmp_path / "archive.yaml",
        table,
        tmp_path / "disk",
        experiment="archive",
        dataset={"source": "archive", "keep_archives": False},
        queries={"count": None},
    )
    run = snakemake(tmp_path, configfile=config, timeout=600)
    assert run.returncode == 0, run.output[-6000:]
    assert not (tmp_path / "disk/archives/nmfp_archive.tar.xz").exists(), "keep_archives is false"
    provenance = read(tmp_path / "results/archive/data/queries/provenance.csv")
    assert numbers(provenance.track_id) == {*world.QUERIES, *world.DATABASE}
    for row in provenance.itertuples():
        n = int(row.track_id.split("/")[-1].split(".")[0])
        assert row.start_sample_shifted == 1000 * (n % 7) + 123
    rates = pd.read_csv(tmp_path / "results/archive/report/hit_rates.csv")
    assert set(rates.sequences) == {6 * 6}
    again = snakemake(tmp_path, configfile=config)
    assert again.returncode == 0 and "Nothing to be done" in again.output


def test_missing_archive_without_address_is_a_sentence(server, tmp_path):
    everything = (*world.EXPECTED, "fma_metadata")
    table = world.write_sources(tmp_path / "sources.tsv", server, {}, placed=everything)
    config = world.write_config(tmp_path / "paper.yaml", table, tmp_path / "disk")
    run = snakemake(tmp_path, "results/paper/data/room/files.csv", "--retries", "0", configfile=config)
    assert run.returncode != 0
    assert "openair has no address" in run.output
    assert f"put openair.zip at {tmp_path}/disk/archives/openair.zip" in run.output


def test_plan_of_the_whole_paper_says_bytes_and_disk(tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = snakemake(tmp_path, "--dry-run", configfile=ROOT / "config/config.yaml")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run.returncode == 0, run.output[-3000:]
    assert "Data still to fetch for this experiment: 989,901,757,289 bytes (921.9 GiB)" in run.output
    assert "1,979,803,514,578 bytes" in run.output and "free there:" in run.output
    assert "Not counted, since nobody published a size: mit_survey, openair, microphones" in run.output
    # computing time, so that a busy machine does not count
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 30


def test_wrong_table_of_sources_ends_before_the_plan(tmp_path):
    config = world.write_config(tmp_path / "paper.yaml", tmp_path / "none.tsv", tmp_path / "disk")
    run = snakemake(tmp_path, "--dry-run", configfile=config)
    assert run.returncode != 0 and "paths.sources" in run.output and "Traceback" not in run.output


def released_archives():
    """The two published archives of weights, in miniature, by name in the table of sources."""
    checkpoint = ROOT / "tests/reference/checkpoint"
    content = {p.name: p.read_bytes() for p in checkpoint.iterdir()}
    return {
        f"weights_{name}": world.zipped({f"nmfp-{name}/{member}": data for member, data in content.items()})
        for name in ("triplet", "multiposcon")
    }


def test_published_weights_are_fetched_and_imported(server, tmp_path):
    everything = (*world.EXPECTED, "fma_metadata")
    table = world.write_sources(tmp_path / "sources.tsv", server, released_archives(), placed=everything)
    config = world.write_config(tmp_path / "paper.yaml", table, tmp_path / "disk")
    run = snakemake(tmp_path, "weights", configfile=config)
    assert run.returncode == 0, run.output[-6000:]
    for name in ("nmfp-triplet", "nmfp-multiposcon"):
        folder = tmp_path / "disk/models" / name
        assert json.loads((folder / "model.json").read_text())["embedding_size"] == 16
        assert (folder / "fingerprinter.xml").exists()


def test_released_networks_are_evaluated_without_training(server, tmp_path):
    archives = {"nmfp_archive": world.archive_of_the_paper(), **released_archives()}
    table = world.write_sources(tmp_path / "sources.tsv", server, archives)
    shipped = yaml.safe_load((ROOT / "config/published.yaml").read_text())
    config = world.write_config(tmp_path / "published.yaml", table, tmp_path / "disk", **shipped)
    plan = snakemake(tmp_path, "--dry-run", configfile=config)
    assert plan.returncode == 0, plan.output[-3000:]
    assert plan.jobs["import_model"] == 2 and not {"train", "pack_chunks"} & set(plan.jobs)
    assert f"{sum(map(len, archives.values())):,} bytes" in plan.output

    run = snakemake(tmp_path, configfile=config, timeout=600)
    assert run.returncode == 0, run.output[-6000:]
    report = tmp_path / "results/published/report"
    rates = pd.read_csv(report / "hit_rates.csv")
    models = pd.read_csv(report / "models.csv", index_col="model")
    assert set(rates.model) == set(models.index) == set(shipped["models"])
    assert set(models.weights) == {"imported"}
    for model, name in (("nmfp-triplet-published", "triplet"), ("nmfp-multiposcon-published", "multiposcon")):
        assert models["from"][model] == f"weights_{name}: {tmp_path}/disk/nmfp-{name}/nmfp-{name}/ckpt-1"
    again = snakemake(tmp_path, configfile=config)
    assert again.returncode == 0 and "Nothing to be done" in again.output
