"""One training step as a Keras model: a batch of windows in, fingerprints of all views out, the loss on
them."""

import keras
from keras import ops

from nmfp.degradation.graph import Degrader
from nmfp.model.melspectrogram import FRAMES, LogMelSpectrogram
from nmfp.segments import SEGMENT_SAMPLES
from nmfp.training import losses
from nmfp.training.device_audio import DeviceAudio, Places
from nmfp.training.masking import apply_mask

# Smallest number of anchors worth a part of its own, and most parts, of the input side on a processor. Fixed, so
# that the same batch is computed in the same way on any number of cores.
_ANCHORS_IN_PART, _MOST_PARTS = 24, 32


def parts_of(anchors: int) -> int:
    """Into how many equal parts the input side of a batch is cut on a processor."""
    possible = range(1, min(_MOST_PARTS, max(1, anchors // _ANCHORS_IN_PART)) + 1)
    return max(parts for parts in possible if anchors % parts == 0)


def _compiled(function, anchors: int):
    """`function(batch, anchors)` as a fused program for batches of so many anchors.

    JAX compiles the whole step anyway. TensorFlow compiles what it is told to: on a CPU fusion helps the
    transforms and harms the convolutions of the network. One compiled program keeps little more than one core
    busy, so there the batch is cut into parts that run side by side.
    """
    if keras.backend.backend() != "tensorflow":
        return lambda batch: function(batch, anchors)
    import tensorflow as tf

    parts = 1 if tf.config.list_logical_devices("GPU") else parts_of(anchors)
    compiled = tf.function(lambda batch: function(batch, anchors // parts), jit_compile=True)

    @tf.function
    def side_by_side(batch):
        shared = {name: batch[name] for name in ("keep", "fill")}
        items = {name: tf.split(value, parts) for name, value in batch.items() if name not in shared}
        rows = [{name: value[i] for name, value in items.items()} for i in range(parts)]
        return tf.concat([compiled(shared | row) for row in rows], axis=0)

    return compiled if parts == 1 else side_by_side


class Contrast(keras.Model):
    """Batches of `batches.Batches` -> fingerprints float32 (anchors, 1 + positives, d).

    Keras's own train_step differentiates `compute_loss`, so the same class trains on TensorFlow and on JAX.
    """

    def __init__(
        self,
        network: keras.Model,
        degrader: Degrader,
        model: dict,
        seed: int,
        past: int,
        audio_places: dict[str, Places] | None = None,
    ):
        super().__init__(name="contrast")
        self.device_audio = {
            name: DeviceAudio(places, name=name) for name, places in (audio_places or {}).items()
        }
        self.network, self.degrader = network, degrader
        self.log_mel = LogMelSpectrogram(**model["front_end"], name="log_mel")
        self.anchors, self.positives = model["batch"]["anchors"], model["batch"]["positives"]
        self.window = past + SEGMENT_SAMPLES
        self.mask_shape = (model["front_end"]["n_mels"], FRAMES)
        # tracked by this model, so that its state travels through JAX's pure functions and into checkpoints
        self.loss_seed = keras.random.SeedGenerator(seed)
        self.compiled_inputs = _compiled(self._inputs_of_network, self.anchors)
        self.contrastive_loss = losses.make_loss(model["loss"], self.loss_seed)

    def inputs_of_network(self, x):
        """The whole input side of a batch: degraded, transformed, masked; float32 (rows, n_mels, 33)."""
        return self.compiled_inputs(x)

    def _inputs_of_network(self, x, anchors):
        """The whole input side of a batch with so many anchors: degrade, transform and mask; float32
        (anchors * (1 + positives), n_mels, 33)."""
        n, m = anchors, anchors * self.positives
        # Keras forgets the batch's size on its way here; shapes are fixed, and the compiler should know
        x = dict(x)
        if self.device_audio:
            x["anchors"] = self.device_audio["music"](x["anchors"], length=SEGMENT_SAMPLES)
            x |= {name: audio(x[name], length=self.window) for name, audio in self.device_audio.items()}
        for name in ("music", "noise"):
            if name in x:
                x[name] = ops.reshape(x[name], (m, self.window))
        anchors = self.log_mel(ops.reshape(x["anchors"], (n, SEGMENT_SAMPLES)))
        positives = self.log_mel(self.degrader(x))
        mel = ops.concatenate(
            [
                ops.reshape(anchors, (n, 1, *self.mask_shape)),
                ops.reshape(positives, (n, self.positives, *self.mask_shape)),
            ],
            axis=1,
        )
        mel = ops.reshape(mel, (n * (1 + self.positives), *self.mask_shape))
        return apply_mask(
            mel, ops.reshape(x["keep"], self.mask_shape), ops.reshape(x["fill"], self.mask_shape)
        )

    def call(self, x, training=False):
        """Fingerprints float32 (anchors, 1 + positives, d) of a batch."""
        fingerprints = self.network(self.inputs_of_network(x), training=training)
        return ops.reshape(fingerprints, (self.anchors, 1 + self.positives, -1))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The configured loss; there are no labels but the places in the batch."""
        return self.contrastive_loss(y_pred)


class DegradedFingerprinter(keras.Model):
    """Fingerprints float32 (B, d) of degraded segments, for validation: batches as `Degrader` takes them."""

    def __init__(self, contrast: Contrast):
        super().__init__(name="degraded_fingerprinter")
        self.contrast = contrast

    def call(self, x):
        """Fingerprints float32 (B, d) of a batch of queries."""
        return self.contrast.network(self.contrast.log_mel(self.contrast.degrader(x)), training=False)
