"""Writes `.h5` files by Keras 2 itself (tf_keras), with its answers: `python tests/keras2_writer.py FOLDER KIND …`.

Of each kind it leaves `KIND.h5` and `KIND.npz`: `image` (3, H, W, 3) and the outputs `0`, `1`, … of Keras 2 for it.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras as keras

layers = keras.layers


def dense_head(values: Any) -> Any:
    values = layers.Dropout(0.4)(values)
    return layers.Dense(8, activation="relu")(layers.Flatten()(values))


def two_outputs() -> Any:
    """The layers that old face models are made of, and two named outputs."""
    image = layers.Input((32, 32, 3), name="root_input")
    values = layers.ZeroPadding2D(((0, 1), (0, 1)))(image)
    values = layers.Conv2D(8, 3, strides=2, use_bias=False, kernel_regularizer="l2")(values)
    values = layers.BatchNormalization(axis=3, epsilon=1.1e-5, momentum=0.9, scale=False)(values)
    values = layers.Activation("relu")(values)
    values = layers.ReLU(6.0)(layers.BatchNormalization(fused=True)(layers.DepthwiseConv2D(3, padding="same")(values)))
    values = layers.LeakyReLU(0.1)(layers.SeparableConv2D(8, 3, padding="same", depth_multiplier=2)(values))
    values = layers.PReLU(shared_axes=[1, 2])(layers.Conv2D(8, 3, groups=2)(values))
    values = layers.Add()([values, layers.ELU(0.5)(layers.Conv2D(8, 1)(values))])
    values = layers.LayerNormalization(axis=[1, 2, 3])(values)
    values = layers.Concatenate(axis=3)([layers.AveragePooling2D()(values), layers.MaxPooling2D()(values)])
    values = layers.Reshape((-1, 16))(layers.UpSampling2D()(values))
    values = layers.Softmax()(layers.SpatialDropout1D(0.1)(values))
    values = dense_head(values)
    gender = layers.Dense(1, activation="sigmoid", name="gender")(values)
    return keras.Model(image, [layers.Dense(1, name="age")(layers.concatenate([values, gender])), gender])


def sequential() -> Any:
    return keras.Sequential([
        layers.Conv2D(4, 3, input_shape=(32, 32, 3), activation="relu"), layers.MaxPooling2D(),
        layers.BatchNormalization(), layers.GlobalAveragePooling2D(), layers.Dropout(0.5),
        layers.Dense(2, activation="softmax"),
    ])  # fmt: skip


def narrow_vgg(size: int = 32) -> Any:
    image = values = layers.Input((size, size, 3))
    for block, (depth, width) in enumerate(((2, 4), (2, 8), (4, 8)), start=1):
        for number in range(1, depth + 1):
            name = f"block{block}_conv{number}"
            values = layers.Conv2D(width, 3, padding="same", activation="relu", name=name)(values)
        values = layers.MaxPooling2D(name=f"block{block}_pool")(values)
    return keras.Model(image, values, name="vgg19")


def base_with_norms() -> Any:
    image = values = layers.Input((32, 32, 3))
    for _ in range(4):
        values = layers.BatchNormalization()(layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(values))
    return keras.Model(image, values, name="base")


def nested(base: Any, activation: str | None = "sigmoid") -> Any:
    """A network as one layer of a Sequential: what transfer learning used to make."""
    return keras.Sequential([
        base, layers.Dropout(0.2), layers.Flatten(), layers.Dense(16, activation="relu"),
        layers.Dense(1, activation=activation),
    ])  # fmt: skip


def nested_partly_frozen() -> Any:
    base = base_with_norms()
    for layer in base.layers[:4]:
        layer.trainable = False
    return nested(base)


def nested_frozen() -> Any:
    base = base_with_norms()
    base.trainable = False
    return nested(base)


def nested_twice() -> Any:
    image = layers.Input((32, 32, 3))
    return keras.Model(image, layers.Dense(1, name="age")(nested(base_with_norms())(image)))


def frozen_after_all() -> Any:
    model = nested_twice()
    model.trainable = False
    return model


def one_share(values: Any, part: int, parts: int) -> Any:
    """Gives the share of a batch that one GPU took."""
    import tensorflow as tf

    count = tf.shape(values)[0] // parts
    return values[part * count :] if part == parts - 1 else values[part * count : (part + 1) * count]


def on_gpus(model: Any, gpus: int = 2) -> Any:
    """Gives the structure that `multi_gpu_model` of those years made: shares, the model on each, and their joining."""
    answers: list[list[Any]] = [[] for _ in model.outputs]
    for part in range(gpus):
        arguments = {"i": part, "parts": gpus}
        shares = [
            layers.Lambda(
                lambda values, i, parts: one_share(values, i, parts),  # noqa: PLW0108
                output_shape=tensor.shape[1:],
                arguments=arguments,
            )(tensor)
            for tensor in model.inputs
        ]
        outputs = model(shares[0] if len(shares) == 1 else shares)
        for found, output in zip(answers, outputs if isinstance(outputs, list) else [outputs], strict=True):
            found.append(output)
    joined = [layers.concatenate(a, axis=0, name=n) for n, a in zip(model.output_names, answers, strict=True)]
    return keras.Model(model.inputs, joined)


def compiled(model: Any, loss: Any) -> Any:
    """Trained for one step: the file holds the optimizer's state and names the loss."""
    model.compile("adam", loss=loss, metrics=["mae", "mse"])
    model.fit(np.zeros((2, 32, 32, 3), "float32"), np.zeros((2, 2), "float32"), verbose=0)
    return model


def own_loss(wanted: Any, found: Any) -> Any:
    return keras.backend.mean(keras.backend.square(wanted - found))


def half_precision() -> Any:
    keras.mixed_precision.set_global_policy("mixed_float16")
    model = sequential()
    keras.mixed_precision.set_global_policy("float32")
    return model


def shared_layer() -> Any:
    image = layers.Input((32, 32, 3))
    conv, norm = layers.Conv2D(3, 3, padding="same"), layers.BatchNormalization()
    values = norm(conv(norm(conv(image))))
    return keras.Model(image, layers.Dense(1, name="age")(layers.GlobalAveragePooling2D()(values)))


def operators() -> Any:
    """Python's own operators on tensors: Keras 2 made a TFOpLambda of each."""
    import tensorflow as tf

    image = layers.Input((8, 8, 3))
    values = (image * 2.0 / [0.25, 0.5, 0.75] + 1.0 - tf.constant([0.1, 0.2, 0.3])) + image
    values = tf.nn.relu6(values * tf.sigmoid(image)) - tf.nn.softmax(tf.nn.relu(image))
    return keras.Model(image, layers.Dense(1, name="age")(layers.Flatten()(values)))


def augmenting() -> Any:
    """What a picture goes through in the model itself: augmentation, scaling, and a base called as in use."""
    image = layers.Input((40, 40, 3), name="image")
    turned = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomZoom(0.1)])(
        image
    )
    values = layers.CenterCrop(32, 32)(layers.Resizing(36, 36)(turned))
    whitening = keras.Sequential([layers.Rescaling(1 / 127.5, offset=-1), layers.Normalization()], name="whitening")
    values = base_with_norms()(whitening(values), training=False)
    return keras.Model(
        image, layers.Dense(1, name="age")(layers.GlobalMaxPooling2D()(layers.GaussianNoise(0.1)(values)))
    )


def slashes() -> Any:
    """Names as old applications have them."""
    image = layers.Input((16, 16, 3))
    values = layers.Conv2D(3, 3, name="stem/conv")(image)
    values = layers.BatchNormalization(name="stem/conv/bn")(layers.Conv2D(3, 3, name="stem_conv")(values))
    return keras.Model(image, layers.Dense(1, name="heads/age")(layers.Flatten()(values)))


def called_twice() -> Any:
    """One inner model on two views of a picture."""
    image, base = layers.Input((32, 32, 3)), base_with_norms()
    both = layers.Subtract()([base(image), base(layers.Permute((2, 1, 3))(image))])
    return keras.Model(image, [layers.Dense(1, name="age")(layers.Flatten()(both)), base(image)])


def many_layers() -> Any:
    """So many long names that HDF5 cannot hold them in one attribute."""
    image = values = layers.Input((8, 8, 3))
    for number in range(300):
        values = layers.Activation("linear", name=f"{number:03}" + "x" * 230)(values)
    return keras.Model(image, layers.Dense(1, name="age")(layers.Flatten()(values)))


def hard_sigmoid() -> Any:
    return keras.Sequential([layers.GlobalAveragePooling2D(input_shape=(8, 8, 3)), layers.Activation("hard_sigmoid")])


def application(name: str, **arguments: Any) -> Any:
    arguments = {"weights": None, "input_shape": (64, 64, 3), "pooling": "avg", "include_top": False, **arguments}
    return getattr(keras.applications, name)(**arguments)


KINDS: dict[str, Callable[[], Any]] = {
    "two_outputs": two_outputs,
    "sequential": sequential,
    "nested": lambda: nested(narrow_vgg()),
    "nested_partly_frozen": nested_partly_frozen,
    "nested_frozen": nested_frozen,
    "nested_twice": nested_twice,
    "frozen_after_all": frozen_after_all,
    "compiled": lambda: compiled(sequential(), own_loss),
    "half_precision": half_precision,
    "shared_layer": shared_layer,
    "many_layers": many_layers,
    "operators": operators,
    "augmenting": augmenting,
    "slashes": slashes,
    "called_twice": called_twice,
    "weights_only": sequential,
    "hard_sigmoid": hard_sigmoid,
    "gpus_sequential": lambda: on_gpus(nested(narrow_vgg())),
    "gpus_frozen": lambda: on_gpus(nested_partly_frozen(), 3),
    "gpus_two_outputs": lambda: on_gpus(two_outputs(), 4),
}

HEAVY: dict[str, Callable[[], Any]] = {
    "mobilenet": lambda: application("MobileNet", alpha=0.25),
    "mobilenet_v2": lambda: application("MobileNetV2", alpha=0.35),
    "mobilenet_v3": lambda: application("MobileNetV3Small"),
    "vgg19": lambda: application("VGG19"),
    "resnet50": lambda: application("ResNet50"),
    "densenet121": lambda: application("DenseNet121"),
    "xception": lambda: application("Xception", input_shape=(71, 71, 3)),
    "efficientnet_v2": lambda: application("EfficientNetV2B0"),
    "efficientnet": lambda: application("EfficientNetB0"),
    "inception": lambda: application("InceptionV3", input_shape=(75, 75, 3)),
}


def randomise(model: Any, random: np.random.Generator) -> None:
    """Gives weights that tell images apart: He's spread for kernels, positive scales and variances."""
    for weight in model.weights:
        shape = tuple(weight.shape)
        if any(word in weight.name for word in ("gamma", "variance")):
            value = random.uniform(0.5, 1.5, shape)
        else:
            inputs = shape[:2] if "depthwise" in weight.name else shape[:-1]
            spread = np.sqrt(2 / np.prod(inputs)) if len(shape) > 1 else 0.2
            value = random.normal(0, spread, shape)
        weight.assign(value.astype("float32"))
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def settle(model: Any, images: Any) -> None:
    """Gives BatchNormalization the statistics of these images, so that values keep their range in deep networks."""
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(images, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def inner(model: Any) -> Any:
    """Gives the model whose answers are wanted: what runs on each GPU, or the model itself."""
    calls = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return calls[0] if any(isinstance(layer, layers.Lambda) for layer in model.layers) else model


def write(kind: str, folder: Path) -> None:
    """Writes one kind: its file and its answers."""
    keras.backend.clear_session()
    random = np.random.default_rng(sum(map(ord, kind)))
    model = {**KINDS, **HEAVY}[kind]()
    randomise(model, random)
    images = random.uniform(0, 255 if "net" in kind else 1, (3, *model.input_shape[1:])).astype("float32")
    if kind in HEAVY:
        settle(model, images)
    save = model.save_weights if kind == "weights_only" else model.save
    save(folder / f"{kind}.h5", save_format="h5")
    outputs = inner(model)(images, training=False)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    np.savez(folder / f"{kind}.npz", image=images, **{str(i): o.numpy() for i, o in enumerate(outputs)})


if __name__ == "__main__":
    for wanted in sys.argv[2:]:
        write(wanted, Path(sys.argv[1]))
