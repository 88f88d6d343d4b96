"""Which track is it, and where in it: one query, or the track list of a long recording.

reference  an opened database, ready to be searched
fingerprinting  audio files become fingerprints in this process, as a stream
places     one query: candidates, the best place of each track, other places that fit as well, the decision
stream     a recording of any length: which tracks are in it, from when to when
"""
