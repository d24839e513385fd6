"""GenderModel and its kin: the five lines of Python that train a model on a packed file."""

from models.interface.face_model import FaceModel


class GenderModel(FaceModel):
    """Learns gender: 0 = male, 1 = female, output P(female)."""

    labels, folder = ("gender",), "gender"


class AgeModel(FaceModel):
    """Learns age in years."""

    labels, folder, dropout = ("age",), "age", 0.4


class AgeGenderModel(FaceModel):
    """Learns age and gender in one graph."""

    labels, folder = ("age", "gender"), "age-gender"


class AttributeModel(FaceModel):
    """Learns many yes-or-no attributes at once."""

    labels, folder = ("attributes",), "attributes"
