"""What bands play: tempo, metre, instruments by General MIDI family and playing habits of each style."""

from typing import NamedTuple

FAMILIES = {
    "piano": (0, 1, 2, 3),
    "electric piano": (4, 5),
    "clavinet": (6, 7),
    "mallets": (8, 9, 10, 11, 12, 13, 14, 15),
    "organ": (16, 17, 18, 19),
    "accordion": (20, 21, 22, 23),
    "acoustic guitar": (24, 25),
    "clean guitar": (26, 27, 28),
    "distorted guitar": (29, 30),
    "acoustic bass": (32, 43),
    "electric bass": (33, 34, 35),
    "slap bass": (36, 37),
    "synth bass": (38, 39),
    "solo strings": (40, 41, 42, 110),
    "plucked strings": (45, 46),
    "strings": (48, 49, 50, 51),
    "choir": (52, 53, 54),
    "brass": (56, 57, 59, 60),
    "brass section": (61, 62, 63),
    "tuba": (58,),
    "saxophone": (64, 65, 66, 67),
    "woodwind": (68, 69, 70, 71),
    "pipes": (72, 73, 74, 75, 78, 79),
    "synth lead": (80, 81, 82, 83, 84, 85, 86, 87),
    "pad": (88, 89, 90, 91, 92, 93, 94, 95),
    "folk strings": (104, 105, 106, 107, 108),
    "bagpipe": (109, 111),
}

# chance in ninths that a drum sounds on each sixteenth of the bar; players.DRUMS gives the drums' MIDI notes
GROOVES = {
    "backbeat": {"kick": "9000003093200030", "snare": "0000901000009001", "hat": "9080818090808180"},
    "half time": {"kick": "9000002000300020", "snare": "0000000091000100", "hat": "9070807080708070"},
    "funk": {"kick": "9020003005900302", "snare": "0000910201009201", "hat": "9696969696969696"},
    "four": {"kick": "9000900090009000", "snare": "0000900000009001", "hat": "1090109010901191"},
    "techno": {
        "kick": "9000900090019000",
        "clap": "0000900000009000",
        "hat": "4292429242924292",
        "ride": "0040004000400040",
    },
    "bossa": {"kick": "9002900090029000", "rim": "9006003000630060", "hat": "8686868686868686"},
    "samba": {"kick": "9003900390039003", "rim": "6063060630630630", "shaker": "9585958595859585"},
    "one drop": {"kick": "0000000092000000", "rim": "0000000090000020", "hat": "8081808180818081"},
    "steppers": {"kick": "9000900090009000", "rim": "0002000090020000", "hat": "8282828282828282"},
    "swing": {
        "kick": "4000300040003000",
        "snare": "0010002100200032",
        "ride": "9000903090009030",
        "pedal": "0000900000009000",
    },
    "boom bap": {"kick": "9030000302930010", "snare": "0000900100009000", "hat": "9181918191819181"},
    "march": {"kick": "9000500090005000", "snare": "9069696990696966", "cymbal": "5000000010000000"},
    "train": {"kick": "9000900090009000", "snare": "6696669666966696"},
    "waltz": {"kick": "900000000030", "snare": "000090009000", "hat": "908080808080"},
    "jazz waltz": {
        "kick": "900000200000",
        "snare": "000030000030",
        "ride": "900090309000",
        "pedal": "000090000000",
    },
    "six eight": {"kick": "900001000302", "snare": "000000900001", "hat": "908080908080"},
    "jig": {"kick": "900000900000", "tom": "002040002040", "tambourine": "905080905080"},
}


class Style(NamedTuple):
    """Ranges that a piece is drawn from; names of families, grooves and of the players' habits."""

    metres: tuple[str, ...]
    tempo: tuple[int, int]
    modes: tuple[str, ...]
    kits: tuple[int, ...]
    grooves: tuple[str, ...]
    bass: tuple[str, ...]
    bass_habits: tuple[str, ...]
    comping: tuple[str, ...]
    comping_habits: tuple[str, ...]
    colour: tuple[str, ...]
    lead: tuple[str, ...]
    richness: float = 0.2
    swing: tuple[float, float] = (0.0, 0.0)


_MAJOR = ("ionian", "ionian", "mixolydian", "lydian")
_MINOR = ("aeolian", "aeolian", "dorian", "harmonic minor", "phrygian")
_ANY = ("ionian", "aeolian", "dorian", "mixolydian", "lydian", "harmonic minor")

STYLES = {
    "rock": Style(("4/4",), (100, 168), _ANY, (0, 8, 16), ("backbeat", "half time"),
                  ("electric bass",), ("pulse", "roots", "syncopated"),
                  ("distorted guitar", "clean guitar", "organ"), ("strum", "pulse", "stabs"),
                  ("organ", "strings", "piano"), ("distorted guitar", "synth lead", "saxophone", "organ")),
    "ballad": Style(("4/4", "6/8", "4/4"), (70, 96), _ANY, (0, 8, 40), ("half time", "backbeat", "six eight"),
                    ("electric bass", "acoustic bass"), ("roots", "fifths"),
                    ("piano", "electric piano", "acoustic guitar"), ("arpeggio", "alberti", "stabs"),
                    ("strings", "choir", "pad"), ("woodwind", "solo strings", "pipes", "saxophone", "choir"),
                    0.3),
    "funk": Style(("4/4",), (88, 118), ("dorian", "mixolydian", "aeolian"), (0, 8), ("funk",),
                  ("slap bass", "electric bass"), ("syncopated",),
                  ("clavinet", "clean guitar", "electric piano"), ("stabs", "sixteenths"),
                  ("organ", "brass section"), ("brass section", "saxophone", "organ"), 0.6, (0.0, 0.12)),
    "disco": Style(("4/4",), (110, 132), _ANY, (0, 16, 24), ("four",),
                   ("electric bass", "synth bass"), ("octaves", "pulse"),
                   ("clean guitar", "piano", "electric piano"), ("stabs", "offbeat", "sixteenths"),
                   ("strings",), ("brass section", "synth lead", "brass", "strings"), 0.4),
    "techno": Style(("4/4",), (120, 152), _MINOR, (24, 25), ("techno", "four"),
                    ("synth bass",), ("offbeat", "octaves", "syncopated"),
                    ("synth lead", "pad", "mallets"), ("arpeggio", "sixteenths", "stabs"),
                    ("pad", "choir"), ("synth lead",), 0.15),
    "latin": Style(("4/4",), (104, 150), _ANY, (0, 40), ("bossa", "samba"),
                   ("acoustic bass", "electric bass"), ("tumbao", "fifths"),
                   ("acoustic guitar", "piano"), ("syncopated", "stabs", "arpeggio"),
                   ("mallets", "strings"), ("pipes", "brass", "mallets", "saxophone"), 0.6),
    "reggae": Style(("4/4",), (72, 100), _ANY, (0, 8), ("one drop", "steppers"),
                    ("electric bass", "synth bass"), ("syncopated", "roots"),
                    ("clean guitar", "organ", "piano"), ("offbeat",),
                    ("organ", "clavinet"), ("accordion", "brass", "synth lead", "saxophone"), 0.2, (0.1,
                    0.3)),
    "swing": Style(("4/4", "4/4", "3/4"), (108, 170), _ANY, (32, 40), ("swing", "jazz waltz"),
                   ("acoustic bass",), ("walking",),
                   ("piano", "clean guitar", "electric piano"), ("stabs", "syncopated"),
                   ("mallets", "organ"), ("saxophone", "brass", "woodwind", "mallets"), 0.9, (0.5, 0.67)),
    "waltz": Style(("3/4",), (84, 168), _ANY, (0, 40), ("waltz", "jazz waltz"),
                   ("acoustic bass", "tuba"), ("roots", "fifths"),
                   ("accordion", "piano", "strings", "acoustic guitar"), ("oompah", "arpeggio"),
                   ("strings", "plucked strings"), ("solo strings", "woodwind", "accordion", "mallets"), 0.3),
    "folk": Style(("6/8", "4/4"), (90, 150), ("ionian", "dorian", "mixolydian", "aeolian"), (0, 40), ("jig",
                  "train"),
                  ("acoustic bass", "electric bass"), ("fifths", "roots"),
                  ("acoustic guitar", "folk strings", "accordion"), ("strum", "arpeggio"),
                  ("strings", "accordion"), ("pipes", "solo strings", "bagpipe", "folk strings"), 0.05),
    "orchestra": Style(("4/4", "3/4"), (80, 140), _ANY, (48,), ("march", "waltz"),
                       ("acoustic bass", "tuba"), ("roots", "fifths", "pulse"),
                       ("strings", "brass section", "plucked strings"), ("pulse", "alberti", "stabs"),
                       ("choir", "strings"), ("brass", "woodwind", "solo strings", "pipes"), 0.2),
    "chamber": Style(("4/4", "3/4", "6/8"), (76, 150), _ANY, (), (),
                     ("acoustic bass", "solo strings"), ("fifths", "roots", "walking"),
                     ("plucked strings", "piano", "mallets", "acoustic guitar"), ("arpeggio", "alberti"),
                     ("strings", "woodwind"), ("solo strings", "woodwind", "pipes", "piano"), 0.3),
    "soul": Style(("4/4", "6/8"), (70, 108), ("dorian", "mixolydian", "ionian", "aeolian"), (0, 8),
                  ("backbeat", "funk", "six eight"),
                  ("electric bass", "slap bass"), ("syncopated", "fifths"),
                  ("electric piano", "organ", "clean guitar"), ("stabs", "syncopated"),
                  ("strings", "brass section", "organ"), ("saxophone", "brass section", "choir", "pipes"),
                  0.7, (0.0, 0.3)),
    "hip hop": Style(("4/4",), (78, 104), _MINOR, (24, 25, 16), ("boom bap",),
                     ("synth bass", "electric bass"), ("syncopated", "roots"),
                     ("electric piano", "plucked strings", "mallets", "piano"), ("arpeggio", "stabs",
                     "syncopated"),
                     ("pad", "choir", "strings"), ("synth lead", "pipes", "mallets"), 0.4, (0.2, 0.5)),
    "pop": Style(("4/4",), (92, 140), _MAJOR + _MINOR, (0, 8, 16, 24), ("backbeat", "four", "half time"),
                 ("electric bass", "synth bass"), ("pulse", "roots", "syncopated"),
                 ("piano", "acoustic guitar", "clean guitar", "synth lead"), ("strum", "arpeggio", "pulse",
                 "syncopated"),
                 ("pad", "strings", "mallets"), ("synth lead", "choir", "pipes", "saxophone",
                 "distorted guitar"), 0.2),
}  # fmt: skip
