"""CelebA's forty attributes, as far as a drawing shows them."""

from hdf5_helper.labels import MALE
from hdf5_helper.sample.pictures import Picture
from hdf5_helper.sample.traits import Traits

#: The names in the order of `list_attr_celeba.txt` (Liu, Luo, Wang and Tang, 2015).
ATTRIBUTE_NAMES = (
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
)


def attributes_of(picture: Picture) -> dict[str, bool]:
    """Gives all forty attributes of a picture by name, in order.

    False where a drawing does not show them: Attractive, which nobody is asked to judge, Arched_Eyebrows,
    High_Cheekbones, Pointy_Nose, Sideburns, Wearing_Necklace and Wearing_Necktie.
    """
    shown = {**_hair(picture.person), **_face(picture.person), **_picture(picture)}
    return {name: shown.get(name, False) for name in ATTRIBUTE_NAMES}


def _hair(traits: Traits) -> dict[str, bool]:
    hair = traits.hair
    coloured = hair.grey < 0.5 and not hair.bald
    return {
        "Bald": hair.bald,
        "Bangs": hair.fringe,
        "Black_Hair": coloured and hair.colour == "black",
        "Blond_Hair": coloured and hair.colour == "blond",
        "Brown_Hair": coloured and hair.colour == "brown",
        "Gray_Hair": hair.grey >= 0.5,
        "Receding_Hairline": hair.receding >= 0.25 and not hair.bald,
        "Straight_Hair": not hair.wavy and not hair.bald,
        "Wavy_Hair": hair.wavy and not hair.bald,
        "5_o_Clock_Shadow": hair.beard == "stubble",
        "Goatee": hair.beard == "goatee",
        "Mustache": hair.beard in ("mustache", "goatee", "full"),
        "No_Beard": hair.beard in ("none", "mustache"),
    }


def _face(traits: Traits) -> dict[str, bool]:
    face = traits.face
    return {
        "Male": traits.gender == MALE,
        "Young": traits.age < 40,
        "Bags_Under_Eyes": face.wrinkles > 0.4,
        "Big_Lips": face.lips > 0.6,
        "Big_Nose": face.nose > 0.6,
        "Bushy_Eyebrows": face.brow > 0.6,
        "Chubby": face.width > 0.81,
        "Double_Chin": face.wrinkles > 0.65,
        "Narrow_Eyes": face.eye < 0.92,
        "Oval_Face": face.jaw < 0.35,
        "Pale_Skin": traits.tone == 0,
        "Heavy_Makeup": traits.worn.makeup,
        "Rosy_Cheeks": traits.worn.makeup,
        "Eyeglasses": traits.worn.glasses,
        "Wearing_Earrings": traits.worn.earrings,
        "Wearing_Lipstick": traits.worn.lipstick,
    }


def _picture(picture: Picture) -> dict[str, bool]:
    shot = picture.shot
    return {
        "Blurry": shot.blur > 0,
        "Mouth_Slightly_Open": shot.open_mouth,
        "Smiling": shot.smile > 0.25,
        "Wearing_Hat": shot.hat,
    }
