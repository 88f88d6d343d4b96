"""What a model configuration must satisfy beyond its schema; asked when a configuration is read, and in training."""

from nmfp.errors import NmfpError
from nmfp.segments import SEGMENT_SAMPLES, seconds_to_samples

TWO_VIEW_LOSSES = ("dcl", "kcl", "alignment_uniformity")


def check(model: dict, n_chunks: int | None = None) -> None:
    """Refuse a configuration that makes no sense, by the key at fault.

    Args:
        model: resolved model configuration.
        n_chunks: number of training chunks, where known.

    Raises:
        NmfpError: see the sentences below.
    """
    loss, batch, degradation = model["loss"], model["batch"], model["degradation"]
    front_end, network = model["front_end"], model["network"]
    if loss["name"] in TWO_VIEW_LOSSES and batch["positives"] != 1:
        raise NmfpError(
            f"batch.positives is {batch['positives']}, but loss.name {loss['name']} "
            "compares exactly two views; set it to 1 or choose ntxent or triplet."
        )
    if loss["margin"] <= 0:
        raise NmfpError(f"loss.margin is {loss['margin']}; it must be greater than 0.")
    if loss["tau"] <= 0:
        raise NmfpError(f"loss.tau is {loss['tau']}; it must be greater than 0.")
    if batch["anchors"] < 2:
        raise NmfpError(f"batch.anchors is {batch['anchors']}; a batch needs at least 2 to tell apart.")
    if n_chunks is not None and batch["anchors"] > n_chunks:
        raise NmfpError(
            f"batch.anchors is {batch['anchors']}, but there are only {n_chunks} training "
            "chunks and every anchor comes from a different one; lower it or give more music."
        )
    low, high = degradation["snr_db"]
    if low > high:
        raise NmfpError(f"degradation.snr_db is [{low}, {high}]; the smaller number comes first.")
    if not 0 <= front_end["f_min"] < front_end["f_max"] <= 4000:
        raise NmfpError(
            f"front_end.f_min {front_end['f_min']} and f_max {front_end['f_max']} must satisfy 0 <= f_min < "
            f"f_max <= 4000 Hz."
        )
    if seconds_to_samples(batch["max_shift_seconds"]) >= SEGMENT_SAMPLES:
        raise NmfpError("batch.max_shift_seconds must be shorter than a segment (1 s).")
    if flat_features(front_end, network) % network["embedding_size"]:
        raise NmfpError(
            f"network.embedding_size {network['embedding_size']} does not "
            f"divide the {flat_features(front_end, network)} features of "
            "the last block; choose a divisor or change network.channels."
        )


def flat_features(front_end: dict, network: dict) -> int:
    """Numbers that come out of the last block: its channels times the frequency bins that eight strides leave."""
    bins = front_end["n_mels"]
    for _ in network["channels"]:
        bins = -(-bins // 2)
    return network["channels"][-1] * bins
