"""Sentences about drawn heads, from the parameters that avataaars and facesjs were drawn with.

Only what can be seen is said: nothing of hair below a hat, of eyes behind dark glasses, of a mouth behind a
mask.
"""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

SKIN = {
    "#f8d25c": "yellow", "#ae5d29": "brown", "#d08b5b": "light brown", "#ffdbb4": "pale",
    "#fd9841": "orange", "#edb98a": "tan", "#614335": "dark brown",
}  # fmt: skip
HAIR_COLOUR = {
    "#f59797": "pink", "#e8e1e1": "silver", "#ecdcbf": "platinum", "#724133": "brown", "#2c1b18": "black",
    "#4a312c": "dark brown", "#b58143": "dark blond", "#c93305": "red", "#a55728": "auburn",
    "#d6b370": "blond",
}  # fmt: skip
COLOUR = {
    "#ffafb9": "pink", "#3c4f5c": "slate", "#ffffb1": "yellow", "#b1e2ff": "pale blue",
    "#e6e6e6": "light grey", "#65c9ff": "sky blue", "#5199e4": "blue", "#25557c": "navy", "#929598": "grey",
    "#ff5c5c": "red", "#ff488e": "bright pink", "#a7ffc4": "mint", "#262e33": "black", "#ffffff": "white",
    "#ffdeb5": "peach",
}  # fmt: skip
HAIR = {  # {} is its colour
    "bigHair": "long wavy {} hair", "bob": "a {} bob", "bun": "{} hair in a bun", "curly": "curly {} hair",
    "curvy": "long curled {} hair", "dreads": "long {} dreadlocks", "dreads01": "short {} dreadlocks",
    "dreads02": "short {} dreadlocks", "frida": "{} hair with flowers", "frizzle": "a {} quiff",
    "fro": "a {} afro", "froBand": "a {} afro with a blue band", "longButNotTooLong": "straight {} hair",
    "miaWallace": "a {} bob with a fringe", "shaggy": "shaggy {} hair", "shaggyMullet": "a {} mullet",
    "shavedSides": "long {} hair shaved at the side", "shortCurly": "short curly {} hair",
    "shortFlat": "short {} hair", "shortRound": "short round {} hair", "shortWaved": "short wavy {} hair",
    "sides": "a bald head with {} hair at the sides", "straight01": "long straight {} hair",
    "straight02": "long straight {} hair with a fringe", "straightAndStrand": "long {} hair with a strand",
    "theCaesar": "cropped {} hair", "theCaesarAndSidePart": "cropped {} hair with a parting",
}  # fmt: skip
HAT = {
    "hat": "a {} hat", "hijab": "a {} headscarf", "turban": "a {} turban", "winterHat03": "a {} beanie",
    "winterHat02": "a {} patterned winter hat", "winterHat04": "a {} winter hat with ears",
    "winterHat1": "a white winter hat with {} flaps",
}  # fmt: skip
EYES = {
    "closed": "closed eyes", "cry": "crying eyes", "default": "open eyes", "eyeRoll": "rolling eyes",
    "happy": "smiling eyes", "hearts": "hearts for eyes", "side": "eyes that look aside",
    "squint": "squinting eyes", "surprised": "wide eyes", "wink": "a wink", "winkWacky": "a wild wink",
    "xDizzy": "crosses for eyes",
}  # fmt: skip
MOUTH = {
    "concerned": "a worried mouth", "default": "a small smile", "disbelief": "a doubtful mouth",
    "eating": "full cheeks", "grimace": "clenched teeth", "sad": "a sad mouth", "serious": "a straight mouth",
    "screamOpen": "a screaming mouth", "smile": "a broad smile", "tongue": "the tongue out",
    "twinkle": "a faint smile", "vomit": "a sick green mouth",
}  # fmt: skip
CLOTHES = {
    "blazerAndShirt": "a {} blazer over a shirt", "blazerAndSweater": "a {} blazer over a sweater",
    "collarAndSweater": "a {} sweater with a collar", "graphicShirt": "a {} shirt with a print",
    "hoodie": "a {} hoodie", "overall": "{} overalls", "shirtCrewNeck": "a {} shirt",
    "shirtScoopNeck": "a {} shirt with a wide neck", "shirtVNeck": "a {} shirt with a V-neck",
}  # fmt: skip
BEARD = {
    "beardLight": "a short {} beard", "beardMedium": "a {} beard", "beardMajestic": "a long {} beard",
    "moustacheFancy": "a curled {} moustache", "moustacheMagnum": "a thick {} moustache",
}  # fmt: skip
GLASSES = {
    "eyepatch": "an eyepatch", "kurt": "oval sunglasses", "prescription01": "thin glasses",
    "prescription02": "thick glasses", "round": "round glasses", "sunglasses": "sunglasses",
    "wayfarers": "square sunglasses",
}  # fmt: skip
DARK = ("kurt", "sunglasses", "wayfarers")


def avataaar(row: Row) -> list[str]:
    """Three sentences: all of it, hair and clothes, the face; none where a parameter is unknown."""
    try:
        top = row["top"]
        hat = HAT[top].format(COLOUR[row["hatColor"]]) if top in HAT else None
        hair = hat or HAIR[top].format(HAIR_COLOUR[row["hairColor"]])
        clothes = CLOTHES[row["clothing"]].format(COLOUR[row["clothesColor"]])
        glasses = row.get("accessories")
        face = [] if glasses in DARK else [EYES[row["eyes"]]]
        face += [MOUTH[row["mouth"]]]
        if row.get("facialHair"):
            face.append(BEARD[row["facialHair"]].format(HAIR_COLOUR[row["facialHairColor"]]))
        if glasses:
            face.append(GLASSES[glasses])
        skin = SKIN[row["skinColor"]]
    except KeyError:
        return []
    return _three(f"{skin} face", hair, clothes, face)


FACE_SKIN = {
    **dict.fromkeys(("#f2d6cb", "#fedac7", "#f0c5a3", "#ddb7a0"), "pale"),
    **dict.fromkeys(("#eab687",), "tan"),
    **dict.fromkeys(("#aa816f", "#bb876f", "#a67358", "#ad6453"), "brown"),
    **dict.fromkeys(("#74453d", "#5c3937"), "dark brown"),
}
FACE_HAIR = {
    **dict.fromkeys(("#272421", "#1c1008", "#0f0902"), "black"),
    **dict.fromkeys(("#D7BF91", "#e9c67b", "#CC9966"), "blond"),
    **dict.fromkeys(("#3D2314", "#5A3825", "#2C1608"), "brown"),
    "#B55239": "red",
}
STYLES = {  # the beginning of a name, the first that fits
    "afro": "a {} afro", "bald": "a bald head", "cornrows": "{} cornrows", "curly": "curly {} hair",
    "dreads": "{} dreadlocks", "spike": "spiky {} hair", "short": "short {} hair", "crop": "cropped {} hair",
    "faux": "a {} mohawk", "messy": "messy {} hair", "shaggy": "shaggy {} hair", "long": "long {} hair",
}  # fmt: skip
WHISKERS = {
    "goatee": "a goatee", "fullgoatee": "a goatee", "mustache": "a moustache", "beard": "a beard",
    "neckbeard": "a beard", "sideburns": "sideburns",
}  # fmt: skip
SPORTS = {"jersey": "basketball", "hockey": "hockey", "football": "football", "baseball": "baseball"}
# Shirts of which more than half has one of the team's colours, and which
SHIRTS = {
    **dict.fromkeys(("baseball", "baseball2", "football", "football2", "football3", "football4"), 0),
    **dict.fromkeys(("hockey2", "hockey4"), 0),
    **dict.fromkeys(("baseball4", "football5"), 1),
}
HEADGEAR = {
    **dict.fromkeys(("hat", "hat2", "hat3"), "a cap"),
    **dict.fromkeys(("headband", "headband-high"), "a headband"),
    "santa-hat": "a Santa hat",
}
NAMED = {
    "black": (25, 25, 25), "white": (250, 250, 250), "grey": (128, 128, 128), "red": (210, 40, 40),
    "orange": (245, 140, 30), "yellow": (245, 220, 60), "green": (50, 160, 60), "mint": (130, 230, 170),
    "cyan": (70, 210, 220), "blue": (40, 90, 210), "navy": (25, 35, 95), "purple": (120, 40, 160),
    "pink": (250, 130, 180), "brown": (115, 70, 35), "lavender": (175, 150, 215), "olive": (130, 130, 30),
    "dark green": (30, 75, 25),
}  # fmt: skip


def face(row: Row) -> list[str]:
    """Three sentences about a facesjs head: all of it, hair and clothes, the face."""
    try:
        shade = FACE_HAIR[row["hair"]["color"]]
        hair = f"{'long ' if row['hairBg']['id'] != 'none' else ''}{shade} hair"
        hair = _first(STYLES, row["hair"]["id"], hair).format(shade)
        gear, glasses, jersey = row["accessories"]["id"], row["glasses"]["id"], row["jersey"]["id"]
        hair = HEADGEAR.get(gear, "") if "hat" in gear else hair
        hair += f" and {HEADGEAR[gear]}" if gear.startswith("headband") else ""
        shirt = f"{_first(SPORTS, jersey, 'sports')} shirt"
        if jersey in SHIRTS:
            shirt = f"{colour_name(row['teamColors'][SHIRTS[jersey]])} {shirt}"
        parts = []
        if glasses == "facemask":
            parts.append("a face mask")
        else:
            mouth = row["mouth"]["id"]
            parts.append("a smile" if mouth.startswith("smile") else _first(_LIPS, mouth, "parted lips"))
            if row["facialHair"]["id"] != "none":
                parts.append(_first(WHISKERS, row["facialHair"]["id"], "whiskers"))
            if glasses != "none":
                parts.append("glasses")
        skin = FACE_SKIN[row["body"]["color"]]
    except (KeyError, TypeError, IndexError, ValueError):
        return []
    return _three(f"{skin} face", hair, f"a {shirt}", parts)


_LIPS = {
    "angry": "bared teeth",
    "closed": "a closed mouth",
    "straight": "a straight mouth",
    "side": "a crooked mouth",
}


def colour_name(colour: str) -> str:
    """The nearest of some named colours to ``#rrggbb``."""
    values = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return min(NAMED, key=lambda name: sum((a - b) ** 2 for a, b in zip(values, NAMED[name], strict=True)))


def _first(table: dict[str, str], name: str, otherwise: str) -> str:
    return next((words for start, words in table.items() if name.startswith(start)), otherwise)


def _three(head: str, hair: str, clothes: str, face: list[str]) -> list[str]:
    shown = face[0] if len(face) == 1 else f"{', '.join(face[:-1])} and {face[-1]}"
    start = "An" if head[0] in "aeiou" else "A"
    return [
        f"{start} {head} with {hair}, {shown}, in {clothes}.",
        f"Somebody with {hair} in {clothes}.",
        f"{start} {head} with {shown}.",
    ]
