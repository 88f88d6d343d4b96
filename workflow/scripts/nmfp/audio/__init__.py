"""Sound in and out: 8 kHz WAV files, the streaming decoder of every other format, SoX."""
