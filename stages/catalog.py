"""The networks and the backbones that there are: what is fixed about each, in one place.

No stage depends on this file, as none depends on `params.py`, so that a new row makes no stage out
of date. After a change of a backbone's `application` or `module` force its `features` by hand.
"""

from typing import NamedTuple


class OutsideFile(NamedTuple):
    """A file by its name, and its pinned checksum, `sha256:...` or `md5:...`."""

    name: str
    sum: str


class Backbone(NamedTuple):
    """A network with published ImageNet weights.

    title: for people.
    application: the function in `keras.applications` that builds it.
    module: the module in `keras.applications` that has its `preprocess_input`.
    licence: of the published weights, as Hugging Face names it.
    home: the base URL of its files.
    files: any of them will do; they hold the same tensors in another container.
    tensor_sums: by the layer that it is cut off after, the checksum of its tensors.
    """

    title: str
    application: str
    module: str
    licence: str
    home: str
    files: tuple[OutsideFile, ...]
    tensor_sums: dict[str, str]


class Network(NamedTuple):
    """A network that is trained here: from scratch, or a head on a frozen backbone."""

    title: str
    backbone: str | None = None

    @property
    def frozen(self) -> bool:
        return self.backbone is not None


KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"

# The MD5 sums are those that Keras itself pins (keras/src/applications). The other files hold all
# layers (VGG16), and those up to conv4_block6_out (ResNet50).
BACKBONES = {
    "resnet50": Backbone(
        title="ResNet50",
        application="ResNet50",
        module="resnet50",
        licence="mit",
        home=f"{KERAS}/resnet",
        files=(
            OutsideFile(
                "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
                "md5:4d473c1dd8becc155b73f8504c6f6626",
            ),
            OutsideFile(
                "resnet50_imagenet_conv1_to_conv4.h5",
                "sha256:05324203d5a886b69613ff183d331b16a9deba445d104cf8f3c6a49df43ed12e",
            ),
        ),
        tensor_sums={
            "conv4_block6_out": "f4cc91763b97a6da2061f93989dd39e4525ebceae9fec1d359a1ab29c83cbb84"
        },
    ),
    "vgg16": Backbone(
        title="VGG16",
        application="VGG16",
        module="vgg16",
        licence="cc-by-4.0",  # Oxford's
        home=f"{KERAS}/vgg16",
        files=(
            OutsideFile(
                "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
                "md5:6d6bbae143d832006294945121d1f1fc",
            ),
            OutsideFile(
                "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
                "sha256:56fc6fafddce31d459eb76f99700fbf28c3223c891adb88224f22f75962cad61",
            ),
        ),
        tensor_sums={
            "block5_pool": "a72a2735161573acfc8ca824f2470bea0dfb503a366e5f5d9d0a0cd19346bf47"
        },
    ),
}

# By the section of `params.yaml` that holds the recipes, in the order of the tables.
NETWORKS = {
    "lenet": Network("LeNet-5"),
    "resnet": Network("ResNet50", backbone="resnet50"),
    "vgg": Network("VGG16", backbone="vgg16"),
}
HEADS = {name: network for name, network in NETWORKS.items() if network.frozen}
