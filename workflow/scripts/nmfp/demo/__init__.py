"""The embedded band: music, noises, rooms and microphones from one seed, without a network."""
