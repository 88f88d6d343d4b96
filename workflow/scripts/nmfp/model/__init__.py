"""The network and its folder: mel spectrogram, weights, the engines that run it, what others published."""
