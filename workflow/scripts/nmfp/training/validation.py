"""A small search on held-out chunks while training: degraded segments against clean ones, as the database
will be asked."""

import numpy as np

from nmfp.files import generator
from nmfp.segments import HOP_SAMPLES, SEGMENT_SAMPLES
from nmfp.training import draws
from nmfp.training.data import Chunks, Recordings, cut_recordings, cut_windows
from nmfp.training.sampling import make_grid

_BATCH = 128


class MiniSearch:
    """Fixed queries, the same in every epoch and every run with the same seed.

    Args:
        chunks: validation chunks; the first `settings.chunks` of them are searched.
        recordings: degradations that are on (those of training; those of the test stay unseen).
        model: resolved model configuration.
        seed: of the experiment.
    """

    def __init__(self, chunks: Chunks, recordings: dict[str, Recordings], model: dict, seed: int):
        settings, length = model["validation"], chunks.audio.shape[1]
        n = min(len(chunks.audio), settings["chunks"])
        self.flat, past = chunks.audio[:n].reshape(-1), draws.past_samples(model)
        self.grid = make_grid(
            chunks.table["samples"].to_numpy()[:n], chunks.table["id"].to_numpy()[:n], length
        )
        self.starts = self.grid.chunk * length + self.grid.segment * HOP_SAMPLES
        rng = generator(seed, "validation")
        count = min(settings["queries"], self.grid.size) // _BATCH * _BATCH or min(_BATCH, self.grid.size)
        self.rows = np.sort(rng.permutation(self.grid.size)[:count])
        # queries begin anywhere, up to half a hop from the row that is right
        near = self.grid.segment[self.rows] * HOP_SAMPLES + rng.integers(
            -HOP_SAMPLES // 2 + 1, HOP_SAMPLES // 2, count
        )
        place = np.clip(near, 0, self.grid.last_start[self.rows])
        window = past + SEGMENT_SAMPLES
        drawn = draws.draw_batch_degradations(rng, count, model["degradation"], recordings, window)
        self.queries = {
            "music": cut_windows(self.flat, self.grid.chunk[self.rows] * length + place - past, window),
            "missing": np.maximum(past - place, 0).astype(np.int32),
            "snr_db": drawn["snr_db"],
            "room": drawn["room"].astype(np.int32),
            "microphone": drawn["microphone"].astype(np.int32),
        }
        if "noise" in recordings:
            self.queries["noise"] = cut_recordings(
                recordings["noise"], drawn["noise"], drawn["noise_start"], window
            )

    def rates(self, embed_clean, embed_degraded) -> dict[str, float]:
        """Share of queries whose nearest clean segment is the right one, within one row of it, of the right track.

        Args:
            embed_clean: segments int16 (B, 8000) -> (B, d).
            embed_degraded: batch of queries -> (B, d).
        """
        clean = np.concatenate(
            [
                embed_clean(cut_windows(self.flat, self.starts[i : i + _BATCH], SEGMENT_SAMPLES))
                for i in range(0, len(self.starts), _BATCH)
            ]
        )
        asked = np.concatenate(
            [
                embed_degraded({name: value[i : i + _BATCH] for name, value in self.queries.items()})
                for i in range(0, len(self.rows), _BATCH)
            ]
        )
        found = np.argmax(asked @ clean.T, axis=1)
        grid, right = self.grid, self.rows
        near = (grid.chunk[found] == grid.chunk[right]) & (
            np.abs(grid.segment[found] - grid.segment[right]) <= 1
        )
        return {
            "validation_exact": float(np.mean(found == right)),
            "validation_near": float(np.mean(near)),
            "validation_track": float(np.mean(grid.track[found] == grid.track[right])),
        }
