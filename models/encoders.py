"""The encoders by name: ConvNeXt, the method's (models.convnext), and EfficientNet-Lite (models.efficientnet)."""

from typing import Any, NamedTuple

from torch import nn

from models.convnext import CONVNEXTS, LAYER_SCALE, ConvNeXt
from models.efficientnet import EFFICIENTNETS, EfficientNetLite
from models.efficientnet import IMAGE_MEAN as LITE_MEAN
from models.efficientnet import IMAGE_STD as LITE_STD

# The usual ImageNet statistics of RGB in [0, 1]; timm's ConvNeXt weights expect them.
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


class Encoder(NamedTuple):
    """A network and what a UNet has to know of it.

    network : Nx3xHxW -> feature maps at 1/4, 1/8, 1/16 and 1/32
    channels : of these maps
    mean, std : of the RGB images in [0, 1] that its ImageNet weights were trained on, to be subtracted and divided by
    """

    network: nn.Module
    channels: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def make_encoder(name: str, layer_scale: float | None = None, pretrained: bool = False) -> Encoder:
    """An encoder with random weights, or with timm's ImageNet weights.

    Parameters
    ----------
    name : one of EFFICIENTNETS, or any ConvNeXt in timm
    layer_scale : initial value of ConvNeXt's layer scale; None keeps its paper's 1e-6, which suits pre-trained weights.
        With random weights an encoder trains faster from 0.5
    pretrained : start from timm's ImageNet weights, which are downloaded. EfficientNet-Lite's come from a package
        instead (training.learning.encoder_weights).

    Raises
    ------
    ValueError
        If there is no such encoder, or its features are not at these sizes.
    """
    if name in EFFICIENTNETS:
        lite = EfficientNetLite(name)
        return Encoder(lite, lite.channels, LITE_MEAN, LITE_STD)
    if name in CONVNEXTS and not pretrained:
        convnext = ConvNeXt(name, LAYER_SCALE if layer_scale is None else layer_scale)
        return Encoder(convnext, convnext.channels, IMAGE_MEAN, IMAGE_STD)
    import timm  # late: it takes longer to import than PyTorch

    options: dict[str, Any] = {} if layer_scale is None else {"ls_init_value": layer_scale}
    try:
        network: Any = timm.create_model(name, features_only=True, pretrained=pretrained, **options)
    except (RuntimeError, TypeError) as error:  # timm's, for an unknown name, and for one without a layer scale
        raise ValueError(
            f"no encoder {name!r} ({error}); give the name of a ConvNeXt in timm, or one of {', '.join(EFFICIENTNETS)}"
        ) from None
    strides, channels = network.feature_info.reduction(), tuple(network.feature_info.channels())
    if strides != [4, 8, 16, 32]:
        raise ValueError(
            f"encoder {name!r} has feature strides {strides}; a ConvNeXt with [4, 8, 16, 32] or one of "
            f"{', '.join(EFFICIENTNETS)} is needed"
        )
    if name in CONVNEXTS:
        ours = ConvNeXt(name)
        ours.load_state_dict(network.state_dict())
        network = ours
    return Encoder(network, channels, IMAGE_MEAN, IMAGE_STD)
